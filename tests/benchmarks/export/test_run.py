"""tools/export.py: timm, torchvision, safetensors and detectron2; what is refused; what is left on
the disk.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors import safe_open

from benchmarks.commands.main import load
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.export import run as module
from benchmarks.export.run import FORMATS, export
from benchmarks.export.source import Difference, Network, largest_difference
from benchmarks.export.to_graph import MapAndVector, _compare
from benchmarks.export.to_torchvision import _RESNETS as torchvision_names
from pretrain.backbones.sincos_vit import SinCosViT

ROOT = Path(__file__).resolve().parents[3]
RESNET = "resnet18?layers=(1,1,1,1)"
VIT = "vit_tiny_patch16_224?depth=2&img_size=32&embed_dim=64&num_heads=2"
NARROW = "resnet18?channels=(8,16,32,64)"


def load_as_told(line: str) -> torch.nn.Module:
    """Runs the line that the report prints."""
    names = dict(timm=timm, torch=torch, torchvision=torchvision)
    exec(line, names)
    return names["model"].eval()


def ours(path: Path, images: torch.Tensor, weights: str = "online") -> torch.Tensor:
    """The vector of the checkpoint, from normalised images."""
    backbone = FeatureExtractor.load(str(path), weights=weights).backbone
    with torch.no_grad():
        return backbone(images).vector


@pytest.mark.parametrize(
    ("spec", "to"),
    [("test_resnet", "timm"), (VIT, "timm"), (RESNET, "torchvision"), (VIT, "torchvision")],
)
def test_the_printed_line_gives_the_same_features(
    write_ours: Callable[..., Path], spec: str, to: str
) -> None:
    path = write_ours(spec)
    images = torch.randn(2, 3, 32, 32)
    for weights in ("online", "target"):
        done = export(str(path), to, weights=weights)
        expected = ours(path, images, weights)
        with torch.no_grad():
            found = load_as_told(done.export.line)(images)
        assert torch.allclose(found, expected, atol=1e-5), float((found - expected).abs().max())
        assert (
            isinstance(done.verified, Difference)
            and done.verified.single < 1e-5
            and done.verified.double < 1e-9
        )
        assert done.export.keys == len(torch.load(done.path))
    assert {p.name for p in path.parent.iterdir()} == {
        "final.pth",
        f"final_{to}.pth",
        f"final_{to}.pth.json",
        f"final_target_{to}.pth",
        f"final_target_{to}.pth.json",
    }


def test_provenance_says_where_from_and_how_to_load(write_ours: Callable[..., Path]) -> None:
    path = write_ours(RESNET)
    done = export(str(path), "torchvision", weights="target")
    said = json.loads(done.provenance.read_text())
    subject = FeatureExtractor.load(str(path), weights="target").describe()
    assert said["fingerprint"] == subject["fingerprint"] and said["weights"] == "target"
    assert said["normalisation"]["mean"] == [0.5, 0.4, 0.3] and said["format_version"] == 1
    assert said["load"] == done.export.line and str(done.path) in said["load"]
    for word in (
        "72 keys, 0 renamed",
        "load it: model = torchvision.models.ResNet(",
        "verified: max |difference|",
    ):
        assert word in str(done)


@pytest.mark.parametrize("sizes", torchvision_names, ids=torchvision_names.values())
def test_networks_that_torchvision_has_a_name_for(
    sizes: tuple[str, tuple[int, ...], int, int],
) -> None:
    block, layers, groups, width = sizes
    kind = {
        "basic": torchvision.models.resnet.BasicBlock,
        "bottleneck": torchvision.models.resnet.Bottleneck,
    }[block]
    with torch.device("meta"):
        named = getattr(torchvision.models, torchvision_names[sizes])()
        built = torchvision.models.ResNet(kind, list(layers), groups=groups, width_per_group=width)
    assert {k: v.shape for k, v in named.state_dict().items()} == {
        k: v.shape for k, v in built.state_dict().items()
    }


def test_dilated_networks(write_ours: Callable[..., Path]) -> None:
    path = write_ours("wide_resnet50_2?layers=(1,1,1,1)&output_stride=8")
    done = export(str(path), "torchvision")
    assert (
        "width_per_group=128, replace_stride_with_dilation=[False, True, True]" in done.export.line
    )
    assert isinstance(done.verified, Difference) and done.verified.single < 1e-5
    done = export(str(write_ours(RESNET + "&output_stride=8")), "torchvision", overwrite=True)
    assert "output stride 32, not 8: torchvision's basic blocks do not dilate" in str(done)


@pytest.mark.parametrize("position_resize", ["timm", "factor"])
def test_networks_that_draw_their_own_weights(tmp_path: Path, position_resize: str) -> None:
    """A SinCosViT is a plain ViT once its weights are drawn, on images of its own size."""
    options = dict(img_size=32, depth=1, embed_dim=64, num_heads=2, position_resize=position_resize)
    backbone = SinCosViT("vit_tiny_patch16_224", **options)
    state = {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
    torch.save(dict(state_dict=state, meta=dict(backbone=backbone.config)), tmp_path / "cim.pth")
    done = export(str(tmp_path / "cim.pth"), "timm")
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            load_as_told(done.export.line)(images), ours(tmp_path / "cim.pth", images)
        )
    done = export(str(tmp_path / "cim.pth"), "torchscript")
    several = torch.randn(3, 3, 32, 32)
    found = torch.jit.load(str(done.path))(several)[1]
    torch.testing.assert_close(found, ours(tmp_path / "cim.pth", several))


def test_safetensors_carry_their_provenance(write_ours: Callable[..., Path]) -> None:
    path = write_ours("test_resnet?output_stride=8")
    done = export(str(path), "safetensors")
    with safe_open(done.path, "pt") as file:
        metadata, keys = file.metadata(), set(file.keys())
    assert metadata["format"] == "pt" and json.loads(metadata["normalisation"])["std"] == [
        0.25,
        0.2,
        0.3,
    ]
    backbone = FeatureExtractor.load(str(path)).backbone
    assert {f"model.{key}" for key in keys} == set(backbone.state_dict())


def detectron2_shapes(
    depth: dict[str, int], planes: int, expansion: int
) -> dict[str, tuple[int, ...]]:
    """detectron2's ResNet of bottlenecks, written out by hand from its module tree: stem, res2 to
    res5, shortcuts.
    """

    def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
        return {
            f"{name}.norm.{part}": (channels,)
            for part in ("weight", "bias", "running_mean", "running_var")
        }

    shapes: dict[str, tuple[int, ...]] = {"stem.conv1.weight": (64, 3, 7, 7)} | norm(
        "stem.conv1", 64
    )
    before = 64
    for stage, (name, count) in enumerate(depth.items()):
        width = planes * 2**stage
        for block in range(count):
            convs = {
                "conv1": (width, before, 1, 1),
                "conv2": (width, width, 3, 3),
                "conv3": (width * expansion, width, 1, 1),
            }
            if block == 0:
                convs["shortcut"] = (width * expansion, before, 1, 1)
            for conv, shape in convs.items():
                shapes |= {f"{name}.{block}.{conv}.weight": shape} | norm(
                    f"{name}.{block}.{conv}", shape[0]
                )
            before = width * expansion
    return shapes


def test_detectron2_gets_its_own_names_and_shapes(write_ours: Callable[..., Path]) -> None:
    path = write_ours("resnet50?channels=(8,16,32,64)")
    done = export(str(path), "detectron2")
    content = pickle.loads(done.path.read_bytes())
    assert content["matching_heuristics"] is True and content["__author__"]
    model = content["model"]
    expected = detectron2_shapes(dict(res2=3, res3=4, res4=6, res5=3), planes=8, expansion=4)
    assert {key: value.shape for key, value in model.items()} == expected
    source = torch.load(path)["state_dict"]
    for theirs, timms in {  # one of each kind, by hand
        "stem.conv1.weight": "conv1.weight",
        "stem.conv1.norm.bias": "bn1.bias",
        "res2.0.shortcut.weight": "layer1.0.downsample.0.weight",
        "res4.5.conv3.weight": "layer3.5.conv3.weight",
        "res5.0.shortcut.norm.running_mean": "layer4.0.downsample.1.running_mean",
        "res3.2.conv2.norm.running_var": "layer2.2.bn2.running_var",
    }.items():
        assert (model[theirs] == source[f"backbone.model.{timms}"].numpy()).all()
    for word in (
        "'MODEL.RESNETS.DEPTH', 50",
        "STRIDE_IN_1X1', False",
        "'RGB'",
        "[127.5, 102.0, 76.5]",
    ):
        assert word in done.export.line
    assert "not verified: detectron2" in str(done) and "53 keys (bn1.num_batches_tracked" in str(
        done
    )


@pytest.mark.parametrize(
    ("spec", "to", "words"),
    [
        (
            "resnet10t",
            "torchvision",
            "Formats that hold this network: timm, mmdet, mmseg, huggingface, safetensors",
        ),
        (NARROW, "torchvision", "64 to 512 channels; 'resnet18' does not"),
        ("resnet18?norm_layer=groupnorm", "mmdet_native", "is not a format"),
        ("resnet18?norm_layer=groupnorm", "detectron2", "another norm than BatchNorm"),
        ("seresnet18", "detectron2", "its blocks have attention"),
        ("convnext_atto", "torchvision", "timm class ConvNeXt"),
        (VIT + "&global_pool=avg", "torchvision", "pool the class token"),
        (VIT + "&reg_tokens=2", "torchvision", "it has 2 register tokens"),
        (VIT + "&init_values=0.1", "detectron2", "is not a plain ResNet"),
    ],
)
def test_networks_without_a_counterpart(tmp_path: Path, spec: str, to: str, words: str) -> None:
    with pytest.raises(ValueError, match="--to") as raised:
        export(f"random:{spec}", to, out=tmp_path / "out.pth")
    assert words in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_exist_are_left_alone(write_ours: Callable[..., Path], tmp_path: Path) -> None:
    path = write_ours("test_resnet")
    before = path.read_bytes()
    with pytest.raises(
        FileExistsError, match="final.pth exists; give another --out, or --overwrite"
    ):
        export(str(path), "timm", out=path)
    with pytest.raises(FileExistsError, match="is the checkpoint itself"):
        export(str(path), "timm", out=path, overwrite=True)
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError, match="not one of our exports"):
        export(str(path), "huggingface", out=tmp_path / "mine", overwrite=True)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        export("nowhere.pth", "timm")
    assert path.read_bytes() == before
    first = export(str(path), "timm")
    assert export(str(path), "timm", overwrite=True).path == first.path


def test_files_that_would_not_load_are_not_left_behind(
    write_ours: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_ours(NARROW)
    made = FORMATS["timm"]

    def broken(network: module.Network) -> module.Export:
        network.state["layer1.0.bn1.bias"], network.state["layer1.0.bn2.bias"] = (
            network.state["layer1.0.bn2.bias"],
            network.state["layer1.0.bn1.bias"],
        )
        return made(network)

    monkeypatch.setitem(FORMATS, "timm", broken)
    with pytest.raises(
        ValueError, match="to timm: features differ after loading, max .difference."
    ):
        export(str(path), "timm")
    assert [p.name for p in tmp_path.iterdir()] == ["final.pth"]


def test_command_line(
    write_ours: Callable[..., Path],
    run_tool: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_ours("test_resnet")
    assert run_tool("export", path, "--to", "timm") == 0
    assert "load it: model = timm.create_model('test_resnet'" in capsys.readouterr().out
    assert run_tool("export", path, "--to", "tim") == 2
    assert "export: --to 'tim' is not a format; did you mean 'timm'?" in capsys.readouterr().err
    usage = load("export").parser("export").format_help()
    assert all(name in usage for name in FORMATS)


def test_weights_that_are_no_numbers_are_named_and_nothing_is_written(
    write_ours: Callable[..., Path],
) -> None:
    path = write_ours("test_resnet")
    content = torch.load(path)
    content["state_dict"]["backbone.model.layer2.0.bn1.weight"][3] = float("nan")
    torch.save(content, path)
    for to in FORMATS:
        with pytest.raises(
            ValueError, match="backbone.model.layer2.0.bn1.weight holds 1 values of 48 that are NaN"
        ):
            export(str(path), to)
    assert [p.name for p in path.parent.iterdir()] == ["final.pth"]
    extractor = FeatureExtractor.load(
        "random:test_resnet"
    )  # changed in memory, no reader has looked at it
    extractor.backbone.model.layer2[0].bn1.bias.data[0] = float("inf")
    with pytest.raises(ValueError, match="random:test_resnet: layer2.0.bn1.bias holds 1 values"):
        Network(extractor)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_feature_that_is_no_number_never_passes(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = [torch.zeros(2), torch.ones(2), torch.ones(2)]
    theirs = [t.clone() for t in ours]
    theirs[place][0] = float("nan")
    gap, scale, count = largest_difference(ours, theirs)
    assert math.isnan(gap) and (scale, count) == (1.0, 3)
    with pytest.raises(ValueError, match="features differ after loading, max .difference. nan"):
        Difference(gap, None, scale, count).require("x.pth to timm")
    with pytest.raises(ValueError, match="differ after loading"):
        Difference(0.0, gap, scale, count).require("x.pth to timm")
    with pytest.raises(
        ValueError, match="the network's own features of random images are NaN or infinite"
    ):
        largest_difference(theirs, theirs)


@pytest.mark.parametrize("broken", [0, 1])
def test_nor_does_one_in_any_batch_of_a_graph(broken: int) -> None:
    network = Network(FeatureExtractor.load("random:test_resnet"))
    own = module_outputs(network)
    calls: list[int] = []

    def run(images: torch.Tensor) -> list[torch.Tensor]:
        found = [t.clone() for t in own(images)]
        if len(calls) == broken:
            found[-1][0, 0] = float("nan")
        calls.append(1)
        return found

    compared = _compare(network, run, [network.images, network.images])
    assert math.isnan(compared.single) and compared.maps == 4
    with pytest.raises(ValueError, match="nan"):
        compared.require("x.pth to onnx")


def module_outputs(network: Network) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    module = MapAndVector(network).eval()

    def run(images: torch.Tensor) -> list[torch.Tensor]:
        with torch.no_grad():
            return list(module(images))

    return run
