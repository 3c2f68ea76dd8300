"""Wrappers of published upsamplers, on a repository made here with their entry points and call signatures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import nn

from heads.upsamplers.wrappers import NAF, AnyUp, LoftUp

HUBCONF = """
dependencies = ["torch"]
import torch
from torch import nn
from network_of_{name} import Scale


def anyup_multi_backbone(pretrained=True):
    assert not pretrained, "would download"
    return Scale("any")


def naf(pretrained=True):
    assert not pretrained, "would download"
    return Scale("naf")


def loftup_dinov2s(pretrained=True):
    assert not pretrained, "would download"
    return Scale("loft")
"""
NETWORK = """
import torch.nn.functional as F
from torch import nn, ones


class Scale(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.scale, self.kind, self.seen = nn.Parameter(ones(1)), kind, None

    def forward(self, *args, **kwargs):
        self.seen = kwargs
        if self.kind == "loft":
            features, image = args
            size = image.shape[-2:]
        else:
            image, features = args[:2]
            size = kwargs["output_size"] if self.kind == "any" else args[2]
        return self.scale * F.interpolate(features, size=size, mode="nearest")
"""
KINDS = [AnyUp, NAF, LoftUp]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    folder.mkdir()
    name = "".join(c for c in tmp_path.name if c.isalnum())  # modules stay imported: each test needs its own
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
    image, features = torch.randn(1, 3, 12, 18), torch.randn(1, 4, 2, 3)
    for up in (built, MODELS.build(built.config)):
        torch.testing.assert_close(up(image, features, (12, 18)), 3 * F.interpolate(features, size=(12, 18)))
        assert up(image, features, (5, 7)).shape == (1, 4, 5, 7)
    assert up(image, features.half(), (12, 18)).dtype == torch.float16


def test_anyup_passes_the_chunk_on(repository: Path, weights: Path) -> None:
    up = AnyUp(str(repository), str(weights), chunk=64)
    up(torch.randn(1, 3, 12, 18), torch.randn(1, 4, 2, 3), (6, 9))
    assert up.model.seen == dict(output_size=(6, 9), q_chunk_size=64)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_absent_is_named(kind: type[nn.Module], repository: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"no hubconf.py; get it with: git clone .*{kind.home}"):
        kind(str(tmp_path / "nowhere"), str(weights))
    with pytest.raises(FileNotFoundError, match=f"is not a file; get the weights of .* from .*{kind.home}"):
        kind(str(repository), str(tmp_path / "nothing.pth"))


def test_entries_and_packages(repository: Path, weights: Path) -> None:
    hubconf = repository / "hubconf.py"
    text = hubconf.read_text()
    hubconf.write_text(text + "\n\ndef bare():\n    return Scale('naf')\n")
    for entry in ("naf2", "bare"):
        with pytest.raises(ValueError, match=f"hubconf.py has no '{entry}' that takes pretrained=False"):
            NAF(str(repository), str(weights), entry=entry)
    for change in (text.replace('["torch"]', '["natten_absent"]'), "import natten_absent\n" + text):
        hubconf.write_text(change)
        with pytest.raises(RuntimeError, match="needs a package that is absent .*natten_absent"):
            NAF(str(repository), str(weights))


def test_weights_must_fill_the_network(repository: Path, weights: Path) -> None:
    torch.save({"model": {"scale": torch.tensor([2.0])}}, weights)
    assert NAF(str(repository), str(weights)).model.scale == 2
    for wrong in ({"other": torch.ones(1)}, {"scale": torch.ones(2)}, [1.0]):
        torch.save(wrong, weights)
        with pytest.raises(ValueError, match="does not fill the network of Scale"):
            NAF(str(repository), str(weights))
    weights.write_bytes(b"<html>")
    with pytest.raises(ValueError, match="cannot be read .*compare its size"):
        NAF(str(repository), str(weights))


def test_another_version_with_another_result_is_noticed(repository: Path, weights: Path) -> None:
    up = NAF(str(repository), str(weights))
    up.model.forward = lambda image, features, size: features
    with pytest.raises(ValueError, match=r"NAF gave \(1, 4, 2, 3\), expected \(1, 4, 6, 9\)"):
        up(torch.randn(1, 3, 12, 18), torch.randn(1, 4, 2, 3), (6, 9))
