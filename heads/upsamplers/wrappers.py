"""Published upsamplers of others, run from a copy of their repository and weights on disk.

Nothing is downloaded, and nothing of theirs is imported before one of them is built. Building one runs the code of the
repository it is given: name only folders that you trust. Their networks stay under their own licences.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from heads.upsamplers.base import Upsampler

_NESTED = ("state_dict", "model", "model_state_dict")


class HubUpsampler(Upsampler):
    """What the wrappers share: an entry of a local torch.hub repository, filled with weights from a file.

    Args:
        repository: Folder with the repository's ``hubconf.py``.
        weights: File of its published weights, read as tensors and plain values only.
        entry: Name of a function in ``hubconf.py`` that takes ``pretrained=False``.

    Raises:
        FileNotFoundError: the folder or the file is absent; says what to get.
        ValueError: no such entry, or weights that do not fill the network.
        RuntimeError: a package that the repository needs is not installed.
    """

    #: Where the method is published.
    home: str

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
                f"{name}: weights={str(weights)!r} is not a file; get the weights of {entry!r} from the links of "
                f"https://github.com/{self.home}, nothing is downloaded here"
            )
        self.model = _entry(name, folder, entry)
        _fill(name, self.model, file)
        self.model.eval()

    def _run(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        """Calls their network; (B, C, H', W')."""
        raise NotImplementedError

    def upsample(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        """See :class:`Upsampler`; the image must be normalised as theirs was (ImageNet's mean and deviation).

        Raises:
            ValueError: their network gives another shape, as another version of it might.
        """
        out = self._run(image, features, tuple(output_size))
        expected = (*features.shape[:2], *output_size)
        if tuple(out.shape) != expected:
            raise ValueError(f"{type(self).__name__} gave {tuple(out.shape)}, expected {expected}: another version?")
        return out.to(features.dtype)


@MODELS.register_module()
class AnyUp(HubUpsampler):
    """AnyUp (ICLR 2026): one set of weights for every backbone, window attention from image to features.

    Args:
        repository: see :class:`HubUpsampler`.
        weights: see :class:`HubUpsampler`.
        entry: ``anyup`` or ``anyup_multi_backbone``.
        chunk: queries per step where memory is short; None for all at once.
    """

    home = "wimmerth/anyup"

    def __init__(
        self, repository: str, weights: str, entry: str = "anyup_multi_backbone", chunk: int | None = None
    ) -> None:
        super().__init__(repository, weights, entry, chunk=chunk)
        self.chunk = chunk

    def _run(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        return self.model(image, features, output_size=output_size, q_chunk_size=self.chunk)


@MODELS.register_module()
class NAF(HubUpsampler):
    """NAF (CVPR 2026): neighbourhood attention from the image alone, one set of weights for every backbone.

    Needs the package ``natten``. Arguments as :class:`HubUpsampler`.
    """

    home = "valeoai/NAF"

    def __init__(self, repository: str, weights: str, entry: str = "naf") -> None:
        super().__init__(repository, weights, entry)

    def _run(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        return self.model(image, features, output_size)


@MODELS.register_module()
class LoftUp(HubUpsampler):
    """LoftUp (ICCV 2025): cross-attention from image coordinates; weights per backbone, ``entry`` names it.

    The result has the image's size and is resized bilinearly where another is asked for. It leaves the features' own
    space: a read-out trained on them must be trained again. Arguments as :class:`HubUpsampler`.
    """

    home = "andrehuang/loftup"

    def __init__(self, repository: str, weights: str, entry: str = "loftup_dinov2s") -> None:
        super().__init__(repository, weights, entry)

    def _run(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        out = self.model(features, image)
        if tuple(out.shape[-2:]) == output_size:
            return out
        return F.interpolate(out, size=output_size, mode="bilinear", align_corners=False)


def _entry(name: str, folder: Path, entry: str) -> nn.Module:
    """Builds the network of an entry without weights."""
    try:
        return torch.hub.load(str(folder), entry, source="local", pretrained=False)
    except (ImportError, RuntimeError, TypeError) as error:
        text = str(error)
        if "Cannot find callable" in text or "'pretrained'" in text:
            raise ValueError(f"{name}: {folder}/hubconf.py has no {entry!r} that takes pretrained=False") from error
        if isinstance(error, ImportError) or "Missing dependencies" in text:
            raise RuntimeError(f"{name}: {folder} needs a package that is absent ({text}); see its README") from error
        raise


def _fill(name: str, model: nn.Module, file: Path) -> None:
    """Copies the weights of a file into a network; every key must find its place."""
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"{name}: {file} cannot be read as tensors and plain values only ({type(error).__name__}: "
            f"{str(error)[:200]}); compare its size and checksum with the source"
        ) from error
    nested = [content[key] for key in _NESTED if isinstance(content, dict) and isinstance(content.get(key), dict)]
    state = nested[0] if nested else content
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{name}: {file} does not fill the network of {type(model).__name__}: {str(error)[:400]}; weights and "
            "entry must belong together"
        ) from error
