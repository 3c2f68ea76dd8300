"""The cost of the attack: every variant is there, and FLOPs grow by the passes that it adds."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.speed import adversarial
from benchmarks.speed.adversarial import measure, variants


@pytest.fixture(autouse=True)
def allocator_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting would stay for the whole test process."""
    monkeypatch.setattr(adversarial, "keep_freed_memory", lambda: True)


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
        batch=4,
        device="cpu",
        precision="fp32",
        clock="wall",
        repetitions=1,
        warmup=0,
    )
    assert len(rows) == 8 and rows["without"][1:] == (1.0, 1.0)
    flops = {name: row[2] for name, row in rows.items()}
    assert flops["as written"] == flops["anchor, second norms"] < flops["other, second norms"]
    assert flops["other, shared norms"] == pytest.approx(flops["anchor, shared norms"])
    assert 2.4 < flops["both, second norms"] < 2.8 and all(row[0] > 0 for row in rows.values())


def test_a_recipe_without_attack_is_refused() -> None:
    with pytest.raises(ValueError, match="objectives\\[0\\].type='SimCLR'"):
        variants(recipe(dict(type="SimCLR")))
