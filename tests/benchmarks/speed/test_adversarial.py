"""The cost of the attack: every variant is there, and FLOPs grow by the passes that it adds."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.speed import adversarial, measuring
from benchmarks.speed.adversarial import COMMAND, Options, measure, variants
from pretrain.command_line import execute


@pytest.fixture(autouse=True)
def allocator_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting would stay for the whole test process."""
    monkeypatch.setattr(measuring, "keep_freed_memory", lambda: True)


def recipe(objective: dict[str, Any]) -> dict[str, Any]:
    view = dict(size=32, scale=(0.5, 1.0))
    return dict(
        model=dict(
            type="Pretrainer",
            backbone=dict(type="TimmBackbone", name="test_resnet"),
            objectives=[objective],
        ),
        views=dict(type="ViewRecipe", groups={"global": [view, view]}),
        schedule=dict(global_batch=4),
        optimizer=dict(type="AdamW", weight_decay=0.0),
    )


def test_variants_and_their_cost() -> None:
    inner = dict(type="SimCLR", hidden=8, dim=8)
    rows = measure(
        recipe(dict(type="Adversarial", objective=inner)),
        Options(batch=4, repetitions=1, warmup=0),
    )
    assert len(rows) == 8 and rows["without"][1:] == (1.0, 1.0)
    flops = {name: row[2] for name, row in rows.items()}
    assert flops["as written"] == flops["anchor, second norms"] < flops["other, second norms"]
    assert flops["other, shared norms"] == pytest.approx(flops["anchor, shared norms"])
    assert 2.4 < flops["both, second norms"] < 2.8 and all(row[0] > 0 for row in rows.values())


def test_a_recipe_without_attack_is_refused() -> None:
    with pytest.raises(ValueError, match="objectives\\[0\\].type='SimCLR'"):
        variants(recipe(dict(type="SimCLR")))


def test_a_recipe_that_says_both_has_fewer_variants() -> None:
    attacked = dict(type="Adversarial", objective=dict(type="SimCLR"), source="both")
    recipes = variants(recipe(attacked))
    assert list(recipes) == ["without", "as written", "both, second norms", "both, shared norms"]
    assert recipes["without"]["model"]["objectives"] == [dict(type="SimCLR")]
    shared = recipes["both, shared norms"]["model"]["objectives"][0]
    assert (shared["source"], shared["norm"]) == ("both", "shared")
    assert "norm" not in attacked  # the recipe itself stays as it is


def test_the_command_prints_a_row_per_variant(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Options] = []

    def known(config: dict[str, Any], options: Options) -> dict[str, tuple[float, float, float]]:
        assert config["model"]["objectives"][0]["type"] == "Adversarial"
        asked.append(options)
        return {"without": (12.4, 1.0, 1.0), "as written": (24.6, 1.984, 1.84)}

    monkeypatch.setattr(adversarial, "measure", known)
    assert execute(COMMAND, "adversarial", ["--batch", "8", "--precision", "bf16"]) == 0
    assert asked == [Options(batch=8, precision="bf16")]
    text = capsys.readouterr().out
    assert text.startswith("quick/clae_simclr_scenes64, batch 8, bf16, ")
    assert text.endswith("| without | 12 | 1.00 | 1.00 |\n| as written | 25 | 1.98 | 1.84 |\n")
