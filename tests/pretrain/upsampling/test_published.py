"""Wrappers of published upsamplers, on repositories made here with their layout, entry points and
the signatures of their public classes.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import nn

from benchmarks.core.upsamplers import load_upsampler
from pretrain.upsampling.published import JAFAR, NAF, AnyUp, LoftUp

HUBCONF = """
dependencies = ["torch"]
from network_of_{name} import AnyUp, NAF, UpsamplerwithChannelNorm


def anyup_multi_backbone(use_natten=False, pretrained=True, device="cpu"):
    assert not pretrained, "would download"
    return AnyUp().to(device)


def naf(pretrained=True, device="cpu"):
    assert not pretrained, "would download"
    return NAF().to(device)


def loftup_dinov2s(pretrained=True, progress=True, **kwargs):
    assert not pretrained, "would download"
    return UpsamplerwithChannelNorm()
"""
NETWORK = """
import torch.nn.functional as F
from torch import nn, ones


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale, self.seen = nn.Parameter(ones(1)), None

    def up(self, image, features, size):
        assert image.shape[1] == 3
        return self.scale * F.interpolate(features, size=size, mode="nearest")


class AnyUp(Scale):
    def forward(self, image, features, output_size=None, vis_attn=False, q_chunk_size=None):
        self.seen = dict(output_size=output_size, q_chunk_size=q_chunk_size)
        return self.up(image, features, output_size)


class NAF(Scale):
    def forward(self, image, features, output_size, return_weights=False, *args, **kwargs):
        assert not (return_weights or args or kwargs)
        return self.up(image, features, output_size)


class UpsamplerwithChannelNorm(Scale):
    def forward(self, lr_feats, img):
        return self.up(img, lr_feats, img.shape[-2:])
"""
JAFAR_FILES = {
    "src/upsampler/__init__.py": "from .jafar import JAFAR\n",
    "src/layers.py": "from utils.img import twice\n",
    "utils/img.py": "def twice(x):\n    return 2 * x\n",
    "src/upsampler/jafar.py": """
import torch.nn.functional as F
from torch import nn

from src.layers import twice


class JAFAR(nn.Module):
    def __init__(
        self,
        input_dim=3,
        qk_dim=128,
        v_dim=384,
        feature_dim=None,
        kernel_size=1,
        num_heads=4,
        **kwargs,
    ):
        super().__init__()
        assert not kwargs
        self.image_encoder = nn.Sequential(nn.Conv2d(input_dim, qk_dim, kernel_size, bias=False))
        self.key_features_encoder = nn.Sequential(nn.Conv2d(v_dim, qk_dim, 1, bias=False))

    def forward(self, image, features, output_size):
        self.key_features_encoder(features)
        self.image_encoder(image)
        return twice(F.interpolate(features, size=output_size, mode="nearest"))
""",
}
KINDS = [AnyUp, NAF, LoftUp]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    folder.mkdir()
    name = "".join(
        c for c in tmp_path.name if c.isalnum()
    )  # modules stay imported: each test needs its own
    (folder / "hubconf.py").write_text(HUBCONF.replace("{name}", name))
    (folder / f"network_of_{name}.py").write_text(NETWORK)
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save({"scale": torch.tensor([3.0])}, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was downloaded")

    for name in ("download_url_to_file", "load_state_dict_from_url", "_get_cache_or_reload"):
        monkeypatch.setattr(torch.hub, name, refuse)


@pytest.mark.parametrize("kind", KINDS)
def test_runs_from_disk_and_builds_again_from_its_config(
    kind: type[nn.Module], repository: Path, weights: Path
) -> None:
    built = kind(str(repository), str(weights))
    assert not built.model.training
    image, features = torch.randn(1, 3, 12, 18), torch.randn(1, 4, 9, 9)
    for up in (built, MODELS.build(built.config)):
        torch.testing.assert_close(
            up(image, features, (12, 18)), 3 * F.interpolate(features, size=(12, 18))
        )
        assert up(image, features, (10, 15)).shape == (1, 4, 10, 15)
    assert up(image, features.half(), (12, 18)).dtype == torch.float16


def test_anyup_passes_the_chunk_on(repository: Path, weights: Path) -> None:
    up = AnyUp(str(repository), str(weights), chunk=64)
    up(torch.randn(1, 3, 12, 18), torch.randn(1, 4, 2, 3), (6, 9))
    assert up.model.seen == dict(output_size=(6, 9), q_chunk_size=64)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_absent_is_named(
    kind: type[nn.Module], repository: Path, weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        FileNotFoundError, match=f"no hubconf.py; get it with: git clone .*{kind.home}"
    ):
        kind(str(tmp_path / "nowhere"), str(weights))
    with pytest.raises(
        FileNotFoundError, match=f"is not a file; get the weights of .* from .*{kind.home}"
    ):
        kind(str(repository), str(tmp_path / "nothing.pth"))


def test_entries_and_packages(repository: Path, weights: Path) -> None:
    hubconf = repository / "hubconf.py"
    text = hubconf.read_text()
    hubconf.write_text(text + "\n\ndef bare():\n    return Scale('naf')\n")
    for entry in ("naf2", "bare"):
        with pytest.raises(
            ValueError, match=f"hubconf.py has no '{entry}' that takes pretrained=False"
        ):
            NAF(str(repository), str(weights), entry=entry)
    for change in (text.replace('["torch"]', '["natten_absent"]'), "import natten_absent\n" + text):
        hubconf.write_text(change)
        with pytest.raises(RuntimeError, match="needs a package that is absent .*natten_absent"):
            NAF(str(repository), str(weights))


@pytest.mark.parametrize(
    "kind, packages", [(NAF, "natten einops"), (LoftUp, "einops matplotlib huggingface_hub")]
)
def test_every_absent_package_is_named(
    kind: type[nn.Module],
    packages: str,
    repository: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their code stops at the first one; a user wants all of them."""
    hubconf = repository / "hubconf.py"
    hubconf.write_text(f"import {packages.split()[0]}_absent\n" + hubconf.read_text())
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name in packages.split() else find(name, *rest),
    )
    with pytest.raises(RuntimeError, match=f"pip install {packages}$"):
        kind(str(repository), str(weights))


@pytest.mark.parametrize(
    "channels, grid, size, message",
    [
        (6, (9, 9), (18, 18), "features of 6 channels: must be a multiple of 4"),
        (8, (8, 9), (16, 18), r"8 × 9 cells to 16 × 18: its window of 9 × 9 cells does not fit"),
        (8, (9, 9), (9, 8), r"9 × 9 cells to 9 × 8"),
    ],
)
def test_what_naf_cannot_take_is_refused_before_it_runs(
    channels: int,
    grid: tuple[int, int],
    size: tuple[int, int],
    message: str,
    repository: Path,
    weights: Path,
) -> None:
    up = NAF(str(repository), str(weights))
    up.model.forward = lambda *_: pytest.fail("was called")
    with pytest.raises(ValueError, match=message):
        up(torch.randn(1, 3, *size), torch.randn(1, channels, *grid), size)


def test_a_failure_deep_inside_is_one_sentence(repository: Path, weights: Path) -> None:
    up = NAF(str(repository), str(weights))

    def fail(*_: object) -> None:
        raise NotImplementedError("cutlass-fna")

    up.model.forward = fail
    message = (
        r"NAF: the published network failed on features \(1, 4, 9, 9\) .* on cpu \(NotImpl.*cutlass"
    )
    with pytest.raises(ValueError, match=message + ".*on a CUDA device only"):
        up(torch.randn(1, 3, 18, 18), torch.randn(1, 4, 9, 9), (18, 18))


def test_a_spec_names_weights_in_a_clone_or_both(
    repository: Path, weights: Path, tmp_path: Path
) -> None:
    inside = repository / "checkpoints" / "naf.pth"
    inside.parent.mkdir()
    inside.write_bytes(weights.read_bytes())
    image, features = torch.randn(1, 3, 18, 18), torch.randn(1, 4, 9, 9)
    for spec in (
        f"naf:{inside}",
        f"naf:{weights}?repository={repository}",
        f"naf:{repository}?weights={weights}",
        f"anyup:{inside}",
        f"loftup:{weights}?repository={repository}&entry=loftup_dinov2s",
    ):
        up = load_upsampler(spec, channels=4)
        torch.testing.assert_close(
            up(image, features, (18, 18)), 3 * F.interpolate(features, size=(18, 18))
        )
    with pytest.raises(
        ValueError,
        match=r"weights alone are not enough.*write anyup:.*weights.pth\?repository=FOLDER",
    ):
        load_upsampler(f"anyup:{weights}")
    with pytest.raises(ValueError, match=r"is a folder; write anyup:.*\?weights=FILE"):
        load_upsampler(f"anyup:{repository}")


def test_weights_of_another_width_are_noticed_when_loaded(repository: Path, weights: Path) -> None:
    spec = f"loftup:{weights}?repository={repository}"
    (network,) = repository.glob("network_of_*.py")
    line = "    def forward(self, lr_feats, img):\n"
    widened = line + "        lr_feats = lr_feats * ones(1, 4, 1, 1)\n"
    network.write_text(network.read_text().replace(line, widened))
    assert load_upsampler(spec) is not None
    assert load_upsampler(spec, channels=4) is not None
    with pytest.raises(
        ValueError,
        match=r"does not take the network's features of 6 channels: LoftUp: .*must belong",
    ):
        load_upsampler(spec, channels=6)
    with pytest.raises(
        ValueError, match="does not take the network's features of 6 channels: NAF: .*multiple of 4"
    ):
        load_upsampler(f"naf:{weights}?repository={repository}", channels=6)


def test_weights_must_fill_the_network(repository: Path, weights: Path) -> None:
    torch.save({"model": {"scale": torch.tensor([2.0])}}, weights)
    assert NAF(str(repository), str(weights)).model.scale == 2
    for wrong in ({"other": torch.ones(1)}, {"scale": torch.ones(2)}):
        torch.save(wrong, weights)
        with pytest.raises(ValueError, match="does not fill the network of NAF"):
            NAF(str(repository), str(weights))
    torch.save([1.0], weights)
    with pytest.raises(ValueError, match="holds a list, not a dict of tensors"):
        NAF(str(repository), str(weights))
    weights.write_bytes(b"<html>")
    with pytest.raises(ValueError, match="cannot be read .*is a web page"):
        NAF(str(repository), str(weights))


def test_another_version_with_another_result_is_noticed(repository: Path, weights: Path) -> None:
    up = NAF(str(repository), str(weights))
    up.model.forward = lambda image, features, size: features
    with pytest.raises(ValueError, match=r"NAF gave \(1, 4, 9, 9\), expected \(1, 4, 18, 9\)"):
        up(torch.randn(1, 3, 18, 18), torch.randn(1, 4, 9, 9), (18, 9))


@pytest.fixture
def jafar(tmp_path: Path) -> tuple[Path, Path]:
    """A clone of JAFAR's layout, and weights of 6 channels as its releases hold them."""
    clone, weights = tmp_path / "jafar", tmp_path / "jafar.pth"
    for name, text in JAFAR_FILES.items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text)
    state = {
        "image_encoder.0.weight": torch.randn(8, 3, 3, 3),
        "key_features_encoder.0.weight": torch.randn(8, 6, 1, 1),
    }
    torch.save(dict(jafar=state, epoch=1), weights)
    return clone, weights


def test_jafar_is_imported_from_its_folder_and_leaves_no_module_behind(
    jafar: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``src`` and ``utils`` of another repository that is in use stay what they are."""
    clone, weights = jafar
    other, path = ModuleType("src"), list(sys.path)
    monkeypatch.setitem(sys.modules, "src", other)
    up = JAFAR(str(clone), str(weights))
    assert sys.modules["src"] is other and "utils.img" not in sys.modules and sys.path == path
    assert up.model.key_features_encoder[0].weight.shape == (8, 6, 1, 1)
    assert up.model.image_encoder[0].kernel_size == (3, 3) and not up.model.training
    image, features = torch.randn(1, 3, 12, 18), torch.randn(1, 6, 2, 3)
    for built in (up, MODELS.build(up.config)):
        expected = 2 * F.interpolate(features, size=(10, 15))
        torch.testing.assert_close(built(image, features, (10, 15)), expected)


def test_jafar_by_its_spec_and_what_is_refused(jafar: tuple[Path, Path], tmp_path: Path) -> None:
    clone, weights = jafar
    inside = clone / "output" / "model.pth"
    inside.parent.mkdir()
    inside.write_bytes(weights.read_bytes())
    for spec in (f"jafar:{inside}", f"jafar:{weights}?repository={clone}"):
        assert load_upsampler(spec, channels=6).config["type"] == "JAFAR"
    with pytest.raises(ValueError, match="does not take the network's features of 4 channels"):
        load_upsampler(f"jafar:{inside}", channels=4)
    with pytest.raises(
        FileNotFoundError, match="no src/upsampler/jafar.py; get it with: git clone"
    ):
        JAFAR(str(tmp_path), str(weights))
    with pytest.raises(FileNotFoundError, match="get the weights from the links of .*/JAFAR"):
        JAFAR(str(clone), str(tmp_path / "none.pth"))
    torch.save({"scale": torch.ones(1)}, weights)
    with pytest.raises(ValueError, match="it has no key_features_encoder.0.weight"):
        JAFAR(str(clone), str(weights))
    (clone / "src" / "layers.py").write_text("import einops_absent\n")
    with pytest.raises(RuntimeError, match="needs a package that is absent .*einops_absent"):
        JAFAR(str(clone), str(inside))
