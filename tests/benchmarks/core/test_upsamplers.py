"""Upsamplers by name: what is built, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.upsamplers import build_kind, foreign_backbone, kinds, load_upsampler
from heads.upsamplers.base import Upsampler
from heads.upsamplers.jbu import JBUStack
from heads.upsamplers.neighbourhood import NeighbourhoodUpsampler
from pretrain.weights.filling import weights_fingerprint


def save_trained(path: Path, network: Upsampler, **changes: Any) -> Path:
    """Writes a checkpoint as the training of upsamplers does."""
    state = {f"upsampler.{key}": value for key, value in network.state_dict().items()}
    state |= {"downsampler.weight": torch.zeros(2), "backbone.weight": torch.ones(3)}
    meta = dict(upsampler=network.config, backbone=dict(name="test_resnet")) | changes
    torch.save(dict(state_dict=state, meta=meta), path)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, JBUStack]:
    torch.manual_seed(1)
    stack = JBUStack(5, 4)
    return save_trained(tmp_path_factory.mktemp("upsampler") / "final.pth", stack), stack


@pytest.mark.parametrize(
    "spec",
    ["nearest", "bilinear", "bicubic", "blur", "guided?radius=1", "bilateral?radius=1"],
)
def test_upsamplers_without_a_file(spec: str) -> None:
    upsampler = load_upsampler(spec, channels=7)
    assert upsampler.spec == spec and not upsampler.training
    image, features = torch.randn(1, 3, 16, 24), torch.randn(1, 7, 4, 6)
    assert upsampler.upsample(image, features, (16, 24)).shape == (1, 7, 16, 24)
    assert load_upsampler("none") is None


def test_kinds_are_those_that_classes_declare() -> None:
    assert {"jbu", "neighbourhood"} <= kinds("trained").keys()
    assert {"implicit"} <= kinds("image").keys()
    assert {"anyup", "jafar", "loftup", "naf"} <= kinds("repository").keys()
    sources = [kinds(source).keys() for source in ("", "trained", "image", "repository")]
    assert sum(map(len, sources)) == len(set().union(*sources)) == len(kinds())
    assert {"nearest", "bilinear", "blur", "guided", "jbu", "anyup"} <= kinds().keys()
    assert kinds()["bicubic"].kinds()["bicubic"] == dict(mode="bicubic")
    assert build_kind("bicubic").config == dict(type="Interpolation", mode="bicubic")
    assert build_kind("jbu", channels=5, factor=4).config["channels"] == 5


def test_a_trained_stack_comes_back(trained: tuple[Path, JBUStack]) -> None:
    path, stack = trained
    upsampler = load_upsampler(f"jbu:{path}", channels=5)
    image, features = torch.randn(1, 3, 16, 24), torch.randn(1, 5, 4, 6)
    assert torch.equal(
        upsampler.upsample(image, features, (16, 24)),
        stack.eval().upsample(image, features, (16, 24)),
    )
    assert upsampler.trained_on["backbone"] == dict(name="test_resnet")
    backbone = torch.nn.Linear(2, 3)
    assert upsampler.trained_on["fingerprint"] != weights_fingerprint(backbone)
    assert foreign_backbone(upsampler, weights_fingerprint(backbone))
    assert not foreign_backbone(upsampler, upsampler.trained_on["fingerprint"])
    assert not foreign_backbone(load_upsampler("bilinear"), "x") and not foreign_backbone(None, "x")
    assert not any(parameter.requires_grad for parameter in upsampler.parameters())


def test_a_trained_attention_fits_any_width(tmp_path: Path) -> None:
    path = save_trained(
        tmp_path / "x.pth", NeighbourhoodUpsampler(dim=8, heads=2, window=3, depth=1)
    )
    assert (
        type(load_upsampler(f"neighbourhood:{path}", channels=11)).__name__
        == "NeighbourhoodUpsampler"
    )
    with pytest.raises(
        ValueError, match=r"holds a NeighbourhoodUpsampler, not a JBUStack; write neighbourhood:"
    ):
        load_upsampler(f"jbu:{path}")


def test_the_implicit_upsampler_gets_the_network() -> None:
    extractor = FeatureExtractor.load("random:test_resnet?output_stride=8")
    spec = (
        "implicit?steps=1&n_views=4&pca_views=4&views_per_step=2&components=3&hidden=4"
        "&frequencies=2&batch=4&pad=4"
    )
    behind = extractor.through(load_upsampler(spec, channels=extractor.channels), 4)
    images = torch.randint(
        0, 256, (1, 3, 48, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    assert behind.maps(images).shape == (1, extractor.channels, 12, 16)
    described = behind.describe()["upsampler"]
    assert described["spec"] == spec and described["config"]["steps"] == 1
    assert extractor.upsampler is None


def test_mistakes_are_named(trained: tuple[Path, JBUStack], tmp_path: Path) -> None:
    path, stack = trained
    torch.save(dict(state_dict={}, meta={}), tmp_path / "backbone.pth")
    crooked = save_trained(
        tmp_path / "crooked.pth", stack, upsampler=stack.config | dict(channels=6)
    )
    for spec, message in (
        (
            "bilinaer",
            "upsampler='bilinaer' is not one of none, .*nearest, .* did you mean 'bilinear'",
        ),
        ("jbu", "write jbu:PATH"),
        ("bilinear:x.pth", "write 'bilinear' alone, it reads no file"),
        (f"jbu:{path}?factor=8", "its options are in the file"),
        (f"jbu:{tmp_path}/backbone.pth", "lacks meta"),
        (
            f"jbu:{crooked}",
            "does not fit the JBUStack it describes: 2 keys differ, the first .'fixup_proj.1.bias'",
        ),
        (
            "guided?raduis=1",
            "unknown option of upsampler guided: 'raduis'; did you mean 'radius'",
        ),
        ("bilinear?mode=nearest", "unknown option of upsampler bilinear: 'mode'"),
        ("guided?radius=abc", "radius=.abc. is of type str; must be int"),
        ("guided?radius", "key=value"),
    ):
        with pytest.raises(ValueError, match=message):
            load_upsampler(spec)
    with pytest.raises(ValueError, match="is for features of 5 channels, the network has 96"):
        load_upsampler(f"jbu:{path}", channels=96)
    for spec in ("jbu:nowhere.pth", "featup:nowhere.ckpt"):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            load_upsampler(spec)


def test_a_foreign_file_that_is_no_checkpoint_is_called_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "hubconf.py").write_text("dependencies = []")
    (tmp_path / "x.pth").write_text("<!DOCTYPE html><title>Quota exceeded</title>")
    words = "x.pth cannot be read .*: it is a web page .HTML, titled 'Quota exceeded'"
    for kind in ("featup", "anyup", "loftup", "jbu"):
        with pytest.raises(ValueError, match=words):
            load_upsampler(f"{kind}:{tmp_path}/x.pth")
