"""Exports of the computation together with its weights: ONNX and TorchScript."""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.export.source import Difference, Export, Network, largest, largest_difference
from benchmarks.export.to_timm import as_text

_ONNX_TOLERANCE = 1e-4  # other kernels than torch's


class MapAndVector(nn.Module):
    """A network as the graph formats hold it: normalised images (B, 3, H, W) to its deepest map and
    its vector.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.backbone = network.backbone

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the map (B, D, h, w) and the vector (B, D)."""
        features = self.backbone(images)
        return features.map(), features.vector


def to_onnx(network: Network) -> Export:
    """An ONNX graph with ``map`` and ``vector`` for any batch and, where it can be traced so, any
    size of image.
    """

    def write(path: Path) -> None:
        missing = [
            name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None
        ]
        if missing:
            raise ValueError(
                f"--to onnx needs {' and '.join(missing)}: pip install {' '.join(missing)}"
            )
        program, any_size = _onnx_program(network)
        program.model.metadata_props.update(as_text(network.provenance("onnx")))
        program.save(str(path), external_data=False)
        sides = "x".join(map(str, network.image_size))
        export.notes = (
            "images: any batch, "
            f"{'any size that the network takes' if any_size else f'{sides} only'}",
        )

    def check(path: Path) -> Difference | str:
        if importlib.util.find_spec("onnxruntime") is None:
            return "onnxruntime is not installed"
        session = importlib.import_module("onnxruntime").InferenceSession(str(path))
        fixed = all(isinstance(side, int) for side in session.get_inputs()[0].shape[2:])

        def run(images: Tensor) -> list[Tensor]:
            outputs = session.run(None, {"images": images.numpy()})
            return [torch.from_numpy(output) for output in outputs]

        return _compare(network, run, _batches(network)[: 1 if fixed else 2])

    export = Export(
        suffix=".onnx",
        write=write,
        check=check,
        keys=len(network.weights),
        tolerance=_ONNX_TOLERANCE,
        line="map, vector = onnxruntime.InferenceSession({file}).run(None, {'images': images})",
    )
    return export


def to_torchscript(network: Network) -> Export:
    """A traced TorchScript module that returns map and vector; neither timm nor this project is
    needed to run it.
    """

    def write(path: Path) -> None:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # the tracer's remarks on sizes: what they mean is measured in check
            traced = torch.jit.trace(
                MapAndVector(network).eval(), network.images, check_trace=False
            )
            torch.jit.save(
                traced, str(path), _extra_files=as_text(network.provenance("torchscript"))
            )

    def check(path: Path) -> Difference:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.jit.load(str(path))
        own, other = _batches(network)
        try:
            difference = _compare(network, loaded, [own, other])
            difference.require("another size")
            export.notes = ("images: any batch, any size that the network takes",)
        except (RuntimeError, ValueError):  # a size that tracing wrote down as a constant
            difference = _compare(network, loaded, [own])
            export.notes = (f"images: any batch, {'x'.join(map(str, network.image_size))} only",)
        return difference

    export = Export(
        suffix=".pt",
        write=write,
        check=check,
        keys=len(network.state),
        line="map, vector = torch.jit.load({file})(images)",
    )
    return export


def _onnx_program(network: Network) -> tuple[Any, bool]:
    """The traced graph, and whether it takes any size of image."""
    dynamic = torch.export.Dim.DYNAMIC
    module, images = MapAndVector(network).eval(), network.images.repeat(2, 1, 1, 1)
    errors = []
    for sizes in ({0: dynamic, 2: dynamic, 3: dynamic}, {0: dynamic}):
        try:
            with (
                warnings.catch_warnings(),
                redirect_stdout(io.StringIO()),
                redirect_stderr(io.StringIO()),
            ):
                warnings.simplefilter("ignore")
                program = torch.onnx.export(
                    module,
                    (images,),
                    dynamo=True,
                    dynamic_shapes=(sizes,),
                    input_names=["images"],
                    output_names=["map", "vector"],
                    verbose=False,
                )
            return program, len(sizes) > 1
        except torch.onnx.OnnxExporterError as error:
            errors.append(str(error).strip().splitlines()[0])
    raise ValueError(f"--to onnx: torch cannot trace {network.name!r}: {errors[-1][:300]}")


def _batches(network: Network) -> tuple[Tensor, Tensor]:
    """Two batches: images of the network's own size, and others of twice the sides."""
    height, width = network.image_size
    generator = torch.Generator().manual_seed(1)
    return network.images.repeat(3, 1, 1, 1), torch.randn(
        2, 3, 2 * height, 2 * width, generator=generator
    )


@torch.no_grad()
def _compare(
    network: Network, run: Callable[[Tensor], Sequence[Tensor]], batches: Sequence[Tensor]
) -> Difference:
    """Map and vector of what was loaded against the network's own, in float32."""
    module = MapAndVector(network).eval()
    differences = [largest_difference(module(images), run(images)) for images in batches]
    gaps, scales, counts = zip(*differences, strict=True)
    return Difference(largest(gaps), None, largest(scales), sum(counts))
