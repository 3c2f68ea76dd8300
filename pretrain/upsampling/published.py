"""Published upsamplers of others, run from a copy of their repository and weights on disk.

Nothing is downloaded, and nothing of theirs is imported before one of them is built. Building one
runs the code of the repository it is given: name only folders that you trust. Their networks stay
under their own licences.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from heads.upsamplers.base import Upsampler
from pretrain.checkpoint_file import read_checkpoint

_NESTED = ("state_dict", "model", "model_state_dict", "jafar")


class PublishedUpsampler(Upsampler):
    """What the wrappers share: a network of a repository on disk, filled with weights from a file.

    Args:
        repository: Folder of the repository, with the file :attr:`marker`.
        weights: File of its published weights, read as tensors and plain values only.

    Raises:
        FileNotFoundError: the folder or the file is absent; says what to get.
        ValueError: a file that is no checkpoint, no such network, or weights that do not fill it.
        RuntimeError: a package that the repository needs is not installed.
    """

    source = "repository"
    #: Where the method is published.
    home: str
    #: Packages that its code imports beside torch, as pip calls them.
    needs: tuple[str, ...] = ()
    #: File by which the repository's folder is known.
    marker: ClassVar[str] = "hubconf.py"

    def __init__(self, repository: str, weights: str, **options: Any) -> None:
        super().__init__(repository=str(repository), weights=str(weights), **options)
        name, folder, file = type(self).__name__, Path(repository), Path(weights)
        if not (folder / self.marker).is_file():
            raise FileNotFoundError(
                f"{name}: repository={str(repository)!r} has no {self.marker}; get it with: "
                f"git clone https://github.com/{self.home}"
            )
        if not file.is_file():
            which = f"the weights of {options['entry']!r}" if "entry" in options else "the weights"
            raise FileNotFoundError(
                f"{name}: weights={str(weights)!r} is not a file; get {which} from the links of "
                f"https://github.com/{self.home}, nothing is downloaded here"
            )
        state = _state_of(read_checkpoint(file))  # before any of their code runs
        self.model = self._network(folder, state, source=f"{name}: {file}")
        _fill(self.model, state, source=f"{name}: {file}")
        self.model.eval()

    def _network(self, folder: Path, state: Mapping[str, Any], *, source: str) -> nn.Module:
        """Builds their network without weights.

        Args:
            folder: of the repository.
            state: of the weights' file, whose shapes may tell the network's size.
            source: of the weights, for messages.
        """
        raise NotImplementedError

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


class HubUpsampler(PublishedUpsampler):
    """One whose repository has entries for torch.hub.

    Args:
        repository: see :class:`PublishedUpsampler`; with a ``hubconf.py``.
        weights: see :class:`PublishedUpsampler`.
        entry: Name of a function in ``hubconf.py`` that takes ``pretrained=False``.
    """

    def __init__(self, repository: str, weights: str, entry: str, **options: Any) -> None:
        super().__init__(repository, weights, entry=entry, **options)

    def _network(self, folder: Path, state: Mapping[str, Any], *, source: str) -> nn.Module:
        return _of_hub(type(self).__name__, folder, self.config["entry"], needs=self.needs)


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


@MODELS.register_module()
class JAFAR(PublishedUpsampler):
    """JAFAR (NeurIPS 2025): every pixel attends to all cells, keys modulated by the features;
    weights per backbone.

    Its repository has no entries for torch.hub: the class is imported from the folder, with the
    widths of features and queries that the weights have. The attention of an image needs memory for
    pixels × cells weights: large outputs of large grids do not fit. Needs the package ``einops``.
    Arguments as :class:`PublishedUpsampler`.
    """

    kind = "jafar"
    home = "PaulCouairon/JAFAR"
    needs = ("einops",)
    marker = "src/upsampler/jafar.py"

    def __init__(self, repository: str, weights: str) -> None:
        super().__init__(repository, weights)

    def _network(self, folder: Path, state: Mapping[str, Any], *, source: str) -> nn.Module:
        shapes = {}
        for option, key in _JAFAR_SHAPES.items():
            if getattr(state.get(key), "ndim", 0) != 4:
                raise ValueError(
                    f"{source} does not fill the network of JAFAR: it has no {key} of four axes, "
                    "which tells the width; is it a file of another upsampler?"
                )
            shapes[option] = tuple(state[key].shape)
        (qk_dim, v_dim, *_), (*_, kernel) = shapes["v_dim"], shapes["kernel_size"]
        try:
            with _alone(folder):
                network = importlib.import_module("src.upsampler.jafar").JAFAR
        except ImportError as error:
            raise _absent("JAFAR", folder, error, needs=self.needs) from error
        return network(qk_dim=qk_dim, v_dim=v_dim, kernel_size=kernel)

    def _run(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        return self.model(image, features, output_size)

    def _hint(self, image: Tensor) -> str:
        if image.device.type == "cuda":
            return super()._hint(image)
        return "; copies of its code place coordinates on a CUDA device: try --device cuda"


#: Arguments of JAFAR's class -> keys of its weights whose shapes (out, in, kernel, kernel) tell
#: them.
_JAFAR_SHAPES = dict(v_dim="key_features_encoder.0.weight", kernel_size="image_encoder.0.weight")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets modules be imported from a folder without meeting those of another one of equal name
    (``src`` and ``utils`` stand in many repositories); both are as before afterwards.
    """
    names = {path.stem for path in folder.iterdir() if path.is_dir() or path.suffix == ".py"}

    def taken() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] in names]

    before = {name: sys.modules.pop(name) for name in taken()}
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in taken():
            del sys.modules[name]
        sys.modules.update(before)


def _of_hub(name: str, folder: Path, entry: str, *, needs: tuple[str, ...]) -> nn.Module:
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
            raise _absent(name, folder, error, needs=needs) from error
        raise


def _absent(name: str, folder: Path, error: Exception, *, needs: tuple[str, ...]) -> RuntimeError:
    """The error for a package that the repository needs and that is not installed."""
    absent = [package for package in needs if importlib.util.find_spec(package) is None]
    cure = f"install them: pip install {' '.join(absent)}" if absent else "see its README"
    return RuntimeError(f"{name}: {folder} needs a package that is absent ({error}); {cure}")


def _state_of(content: dict[str, Any]) -> dict[str, Any]:
    """The weights of a file's content, which may lie under a name."""
    nested = [content[key] for key in _NESTED if isinstance(content.get(key), dict)]
    return nested[0] if nested else content


def _fill(model: nn.Module, state: Mapping[str, Any], *, source: str) -> None:
    """Copies weights into a network; every key must find its place."""
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{source} does not fill the network of {type(model).__name__}: "
            f"{str(error)[:400]}; weights and entry must belong together"
        ) from error
