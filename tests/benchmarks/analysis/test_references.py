"""The second network of an analysis: the start of a training, rebuilt, or any other network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from torch import Tensor

from benchmarks.analysis.references import load_reference, reference_fact
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.weights.checkpoint import Checkpoint
from benchmarks.weights.untrained import untrained_content
from pretrain.engine.config import PretrainConfig

MODEL = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="test_resnet"),
    objectives=[dict(type="PixPro", hidden=32, dim=16)],
)


def recipe(**changes: Any) -> PretrainConfig:
    return PretrainConfig(dict(model=MODEL, seed=3) | changes)


def write(path: Path, config: Config | None, *, change: float = 1.0) -> str:
    """A checkpoint as a run of the recipe leaves it; None: without a recipe, as imported ones."""
    content = untrained_content(config or recipe())
    backbone = {k: v for k, v in content["state_dict"].items() if "backbone" in k}
    for value in backbone.values():
        if value.is_floating_point():
            value += change
    meta = {key: content["meta"][key] for key in ("backbone", "normalisation")}
    meta |= dict(samples_seen=80, **({} if config is None else dict(cfg=config.pretty_text)))
    torch.save(dict(meta=meta, state_dict=content["state_dict"]), path)
    return str(path)


def weights(extractor: FeatureExtractor) -> dict[str, Tensor]:
    return extractor.backbone.state_dict()


def assert_same(one: FeatureExtractor, expected: dict[str, Tensor]) -> None:
    assert weights(one).keys() == expected.keys()
    torch.testing.assert_close(weights(one), expected, rtol=0, atol=0)


@pytest.mark.parametrize("which", ["online", "target"])
def test_the_start_is_the_network_of_the_recipe_and_its_seed(tmp_path: Path, which: str) -> None:
    path = write(tmp_path / "a.pth", recipe())
    trained = FeatureExtractor.load(f"{path}?output_stride=8&map_stride=8&weights={which}")
    start = load_reference(trained)
    expected = Checkpoint("expected", untrained_content(recipe())).network(which)
    assert_same(start, expected.backbone.state_dict())
    assert (start.stride, start.weights) == (8, which) == (trained.stride, trained.weights)
    assert (start.samples_seen, trained.samples_seen) == (0, 80)
    assert start.describe()["backbone"] == trained.describe()["backbone"]
    other = load_reference(FeatureExtractor.load(write(tmp_path / "b.pth", recipe(seed=4))))
    assert other.fingerprint != start.fingerprint


def test_rebuilding_shifts_nothing_that_is_drawn_outside() -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    untrained_content(recipe())
    assert torch.equal(torch.rand(2), expected)


def test_start_weights_belong_to_the_start(tmp_path: Path) -> None:
    first = write(tmp_path / "first.pth", recipe())
    second = write(tmp_path / "second.pth", recipe(seed=4, load_from=first))
    start = load_reference(FeatureExtractor.load(second))
    assert_same(start, weights(FeatureExtractor.load(first)))
    Path(first).unlink()
    with pytest.raises(ValueError, match=r"no start of .*second.pth: load_from=.*: no such file"):
        load_reference(FeatureExtractor.load(second))


def test_networks_without_training_are_their_own_start(tmp_path: Path) -> None:
    random = FeatureExtractor.load("random:test_resnet?seed=7&output_stride=8")
    assert_same(load_reference(random), weights(random))
    torch.save(untrained_content(recipe()), tmp_path / "untrained.pth")
    untrained = FeatureExtractor.load(str(tmp_path / "untrained.pth"))
    assert_same(load_reference(untrained), weights(untrained))


def test_networks_that_do_not_say_how_they_began_need_a_named_reference(tmp_path: Path) -> None:
    imported = FeatureExtractor.load(write(tmp_path / "imported.pth", None))
    given = FeatureExtractor(imported.backbone)
    for network, reason in ((imported, "does not hold the config"), (given, "not in a checkpoint")):
        with pytest.raises(ValueError, match=f"reference='start': .*{reason}.* random:NAME"):
            load_reference(network)
    with pytest.raises(FileNotFoundError, match="no checkpoint nowhere.pth"):
        load_reference(imported, "nowhere.pth")
    other = load_reference(imported, "random:test_resnet")
    assert other.spec == "random:test_resnet"


def test_the_protocol_knows_files_by_their_weights(tmp_path: Path) -> None:
    one, copy = write(tmp_path / "a.pth", recipe()), write(tmp_path / "b.pth", recipe())
    other = write(tmp_path / "c.pth", recipe(), change=2.0)
    facts = []
    for spec in (one, copy, other):
        facts.append(reference_fact(spec, FeatureExtractor.load(spec)))
    assert facts[0] == facts[1] != facts[2]
    random = FeatureExtractor.load("random:test_resnet")
    assert reference_fact("random:test_resnet", random) == "random:test_resnet"
    assert reference_fact("start", random) == "start"
