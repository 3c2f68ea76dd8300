"""Start weights of a backbone: published ones, files of ours and of others, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor

from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.weights.start import UNKNOWN, read_start

VIT = dict(name="vit_tiny_patch16_224", embed_dim=24, depth=2, num_heads=2, img_size=64)


def drawn(seed: int, **options: object) -> TimmBackbone:
    torch.manual_seed(seed)
    return TimmBackbone(**options)


def save(path: Path, state: dict[str, Tensor], **meta: object) -> str:
    torch.save(dict(state_dict=state, **(dict(meta=meta) if meta else {})), path)
    return str(path)


def assert_same(state: dict[str, Tensor], network: TimmBackbone) -> None:
    own = network.state_dict()
    assert state.keys() == own.keys()
    assert all(torch.equal(value, own[key]) for key, value in state.items())


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TimmBackbone:
    """The network whose weights timm takes for published ones of test_vit.r160_in1k."""
    network = drawn(5, name="test_vit")
    whole = timm.create_model("test_vit")
    state = whole.state_dict() | network.model.state_dict()
    torch.save(state, tmp_path / "published.pth")
    known = timm.models._registry._model_pretrained_cfgs["test_vit.r160_in1k"]
    monkeypatch.setattr(known, "file", str(tmp_path / "published.pth"))
    monkeypatch.setattr(known, "license", "apache-2.0")
    return network


def test_published_weights_by_name_and_tag(published: TimmBackbone) -> None:
    backbone = drawn(1, name="test_vit")
    before, state = torch.get_rng_state(), backbone.state_dict()
    kept = {key: value.clone() for key, value in state.items()}
    found = read_start("timm:test_vit.r160_in1k", backbone)
    assert_same(found.state, published)
    assert found.licence == "apache-2.0"
    assert found.normalisation == dict(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, kept[key]) for key, value in backbone.state_dict().items())
    with pytest.raises(ValueError, match=r"published are: test_vit\.r160_in1k"):
        read_start("timm:test_vit.no_such_tag", backbone)
    with pytest.raises(ValueError, match="give the backbone name='test_vit2'"):
        read_start("timm:test_vit2", backbone)


def test_a_checkpoint_of_ours_either_network(tmp_path: Path) -> None:
    one, two = drawn(1, **VIT), drawn(2, **VIT)
    state = {f"backbone.{key}": value for key, value in one.state_dict().items()}
    state |= {f"target_backbone.{key}": value for key, value in two.state_dict().items()}
    mean = [0.1, 0.2, 0.3]
    path = save(
        tmp_path / "ours.pth",
        state,
        backbone=one.config,
        normalisation=dict(mean=mean, std=mean),
        licence="MIT",
    )
    for query, network in (("", one), ("?weights=target", two)):
        found = read_start(path + query, drawn(3, **VIT))
        assert_same(found.state, network)
        assert (found.licence, found.normalisation["mean"]) == ("MIT", mean)
    assert read_start(f"{path}?licence=CC BY 4.0", one).licence == "CC BY 4.0"
    with pytest.raises(ValueError, match="num_heads 2 there, 4 here"):
        read_start(path, drawn(3, **VIT | dict(num_heads=4)))


def test_files_of_others_in_layouts_and_by_timms_names(tmp_path: Path) -> None:
    network = drawn(1, name="resnet10t")
    named = {f"encoder_q.{k}": value for k, value in network.model.state_dict().items()}
    copies = {k.replace("encoder_q.", "encoder_k."): 2 * value for k, value in named.items()}
    extra = {"encoder_q.fc.weight": torch.zeros(4, 512), "queue": torch.zeros(4, 4)}
    path = save(tmp_path / "moco.pth", named | copies | extra)
    backbone = drawn(3, name="resnet10t")
    assert_same(read_start(path, backbone).state, network)
    twice = read_start(f"{path}?weights=target", backbone).state
    assert torch.equal(twice["model.bn1.weight"], 2 * network.model.bn1.weight)
    # A family of which no layout knows the names.
    plain = drawn(1, name="test_efficientnet")
    path = save(tmp_path / "plain.pth", plain.model.state_dict())
    found = read_start(path, drawn(2, name="test_efficientnet"))
    assert_same(found.state, plain)
    assert (found.licence, found.normalisation) == (UNKNOWN, None)


def test_the_network_that_its_authors_do_not_evaluate_is_named(tmp_path: Path) -> None:
    state = drawn(1, **VIT).model.state_dict()
    student = {f"module.backbone.{key}": value for key, value in state.items()}
    path = tmp_path / "dino.pth"
    teacher = {key.removeprefix("module."): value for key, value in student.items()}
    torch.save(dict(student=student, teacher=teacher), path)
    assert "?weights=target" in read_start(str(path), drawn(2, **VIT)).notes[0]
    assert read_start(f"{path}?weights=target", drawn(2, **VIT)).notes == ()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet18", "published weights are named 'timm:resnet18'"),
        ("nowhere.pth", "no such checkpoint"),
        ("random:resnet18", "begins with random weights without start"),
        ("x.pth?seed=1", "unknown option of start 'seed'"),
        ("x.pth?weights=best", "weights='best' is not one of"),
    ],
)
def test_what_is_refused(spec: str, message: str) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        read_start(spec, drawn(1, name="test_resnet"))
