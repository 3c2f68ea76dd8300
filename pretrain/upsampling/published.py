"""Published upsamplers of others, run from a copy of their repository and weights on disk.

Nothing is downloaded, and nothing of theirs is imported before one of them is built. Building one
runs the code of the repository it is given: name only folders that you trust. Their networks stay
under their own licences.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from heads.upsamplers.base import Upsampler
from pretrain.checkpoint_file import read_checkpoint

_NESTED = ("state_dict", "model", "model_state_dict")


class HubUpsampler(Upsampler):
    """What the wrappers share: an entry of a local torch.hub repository, filled with weights from a
    file.

    Args:
        repository: Folder with the repository's ``hubconf.py``.
        weights: File of its published weights, read as tensors and plain values only.
        entry: Name of a function in ``hubconf.py`` that takes ``pretrained=False``.

    Raises:
        FileNotFoundError: the folder or the file is absent; says what to get.
        ValueError: a file that is no checkpoint, no such entry, or weights that do not fill the
            network.
        RuntimeError: a package that the repository needs is not installed.
    """

    source = "repository"
    #: Where the method is published.
    home: str
    #: Packages that its code imports beside torch, as pip calls them.
    needs: tuple[str, ...] = ()

    def __init__(self, repository: str, weights: str, entry: str, **options: Any) -> None:
        super().__init__(repository=str(repository), weights=str(weights), entry=entry, **options)
        name, folder, file = type(self).__name__, Path(repository), Path(weights)
        if not (folder / "hubconf.py").is_file():
            raise FileNotFoundError(
                f"{name}: repository={str(repository)!r} has no hubconf.py; get it with: "
                f"git clone https://github.com/{self.home}"
            )
        if not file.is_file():
            raise FileNotFoundError(
                f"{name}: weights={str(weights)!r} is not a file; get the weights of {entry!r} "
                f"from the links of https://github.com/{self.home}, nothing is downloaded here"
            )
        content = read_checkpoint(file)  # before any of their code runs
        self.model = _entry(name, folder, entry, needs=self.needs)
        _fill(self.model, content, source=f"{name}: {file}")
        self.model.eval()

    def _run(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        """Calls their network; (B, C, H', W')."""
        raise NotImplementedError

    def _hint(self, image: Tensor) -> str:
        """What most likely went wrong when their network failed on an image (B, 3, H, W)."""
        return "; weights, entry and the network's features must belong together"

    def check(self, features: Tensor, output_size: tuple[int, int]) -> None:
        """Raises a ValueError for features (B, C, h, w) or an output size that are known not to go;
        before any work."""

    def try_width(self, channels: int) -> None:
        """Upsamples one small map of that many channels, so that a file of another width shows
        before the first image.

        Raises:
            ValueError: their network does not take it.
        """
        parameter = next(self.model.parameters())
        generator = torch.Generator().manual_seed(0)
        cells = 16  # of their training; more than any of them needs
        features = torch.randn(1, channels, cells, cells, generator=generator).to(parameter)
        with torch.no_grad():
            self.upsample(
                features.new_zeros(1, 3, 4 * cells, 4 * cells), features, (4 * cells, 4 * cells)
            )

    def upsample(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        """See :class:`Upsampler`; the image must be normalised as theirs was (ImageNet's mean and
        deviation).

        Raises:
            ValueError: their network refuses image or features, or gives another shape, as another
                version might.
        """
        self.check(features, tuple(output_size))
        try:
            out = self._run(image, features, tuple(output_size))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever their code raises
            raise ValueError(
                f"{type(self).__name__}: the published network failed on features "
                f"{tuple(features.shape)} and an image {tuple(image.shape)} on {image.device.type} "
                f"({type(error).__name__}: {str(error)[:200]}){self._hint(image)}"
            ) from error
        expected = (*features.shape[:2], *output_size)
        if tuple(out.shape) != expected:
            raise ValueError(
                f"{type(self).__name__} gave {tuple(out.shape)}, expected {expected}: another "
                "version?"
            )
        return out.to(features.dtype)


@MODELS.register_module()
class AnyUp(HubUpsampler):
    """AnyUp (ICLR 2026): one set of weights for every backbone, window attention from image to
    features.

    Args:
        repository: see :class:`HubUpsampler`.
        weights: see :class:`HubUpsampler`.
        entry: ``anyup`` or ``anyup_multi_backbone``.
        chunk: queries per step where memory is short; None for all at once.
    """

    kind = "anyup"
    home = "wimmerth/anyup"

    def __init__(
        self,
        repository: str,
        weights: str,
        entry: str = "anyup_multi_backbone",
        chunk: int | None = None,
    ) -> None:
        super().__init__(repository, weights, entry, chunk=chunk)
        self.chunk = chunk

    def _run(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        return self.model(image, features, output_size=output_size, q_chunk_size=self.chunk)


@MODELS.register_module()
class NAF(HubUpsampler):
    """NAF (CVPR 2026): neighbourhood attention from the image alone, one set of weights for every
    backbone.

    Needs the packages ``natten`` and ``einops``. With a recent natten (one without ``na2d_qk``) its
    code asks for the back-end cutlass-fna, which is a CUDA one: run it on a GPU. The features'
    channels must be a multiple of its 4 heads; a window of 9 × 9 cells must fit into their grid.
    Arguments as :class:`HubUpsampler`.
    """

    kind = "naf"
    home = "valeoai/NAF"
    needs = ("natten", "einops")
    window, heads = 9, 4  # of the published network

    def __init__(self, repository: str, weights: str, entry: str = "naf") -> None:
        super().__init__(repository, weights, entry)

    def check(self, features: Tensor, output_size: tuple[int, int]) -> None:
        """See :class:`HubUpsampler`."""
        channels, grid = features.shape[1], tuple(features.shape[-2:])
        if channels % self.heads:
            raise ValueError(
                f"NAF: features of {channels} channels: must be a multiple of {self.heads}, the "
                "heads of its attention"
            )
        if any(
            self.window * max(1, out // cells) > out
            for out, cells in zip(output_size, grid, strict=True)
        ):
            raise ValueError(
                f"NAF: features of {grid[0]} × {grid[1]} cells to {output_size[0]} × "
                f"{output_size[1]}: its window of {self.window} × {self.window} cells does not "
                "fit; give larger images, or take another upsampler"
            )

    def _run(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        return self.model(image, features, output_size)

    def _hint(self, image: Tensor) -> str:
        if image.device.type == "cuda":
            return super()._hint(image)
        return "; with a recent natten NAF runs on a CUDA device only (--device cuda)"


@MODELS.register_module()
class LoftUp(HubUpsampler):
    """LoftUp (ICCV 2025): cross-attention from image coordinates; weights per backbone, ``entry``
    names it.

    The result has the image's size and is resized bilinearly where another is asked for. It leaves
    the features' own space: a read-out trained on them must be trained again. Needs the packages
    ``einops``, ``matplotlib`` and ``huggingface_hub``. Arguments as :class:`HubUpsampler`.
    """

    kind = "loftup"
    home = "andrehuang/loftup"
    needs = ("einops", "matplotlib", "huggingface_hub")

    def __init__(self, repository: str, weights: str, entry: str = "loftup_dinov2s") -> None:
        super().__init__(repository, weights, entry)

    def _run(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        out = self.model(features, image)
        if tuple(out.shape[-2:]) == output_size:
            return out
        return F.interpolate(out, size=output_size, mode="bilinear", align_corners=False)


def _entry(name: str, folder: Path, entry: str, *, needs: tuple[str, ...]) -> nn.Module:
    """Builds the network of an entry without weights."""
    try:
        return torch.hub.load(str(folder), entry, source="local", pretrained=False)
    except (ImportError, RuntimeError, TypeError) as error:
        text = str(error)
        if "Cannot find callable" in text or "'pretrained'" in text:
            raise ValueError(
                f"{name}: {folder}/hubconf.py has no {entry!r} that takes pretrained=False"
            ) from error
        if isinstance(error, ImportError) or "Missing dependencies" in text:
            absent = [package for package in needs if importlib.util.find_spec(package) is None]
            cure = f"install them: pip install {' '.join(absent)}" if absent else "see its README"
            raise RuntimeError(
                f"{name}: {folder} needs a package that is absent ({text}); {cure}"
            ) from error
        raise


def _fill(model: nn.Module, content: dict[str, Any], *, source: str) -> None:
    """Copies the weights of a file into a network; every key must find its place."""
    nested = [content[key] for key in _NESTED if isinstance(content.get(key), dict)]
    state = nested[0] if nested else content
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{source} does not fill the network of {type(model).__name__}: "
            f"{str(error)[:400]}; weights and entry must belong together"
        ) from error
