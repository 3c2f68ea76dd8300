"""PixContrast: vectors 5, 7 and 8 of the specification, float64, and a loop over cells."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.geometry import from_box, pixel_positives
from pretrain.objectives.pixcontrast import PixContrast, pixcontrast_loss, pixcontrast_rows
from pretrain.structures import Batch, Views


def test_full_toy() -> None:
    ci = torch.arange(1.0, 5, dtype=torch.float64)[:, None] * torch.arange(
        1.0, 5, dtype=torch.float64
    )
    shape = (1, 4, 2, 2)
    q = torch.sin(0.7 * ci).view(shape), torch.cos(0.4 * ci + 0.3).view(shape)
    k = torch.sin(0.7 * ci + 0.2).view(shape), torch.cos(0.4 * ci + 0.5).view(shape)
    maps = from_box(torch.tensor([[0, 0, 0.8, 0.8], [0.9, 0.2, 0.1, 1]], dtype=torch.float64))
    positives = pixel_positives(maps[:1], maps[1:], size_q=(2, 2), size_k=(2, 2))
    first = pixcontrast_rows(q[0], k[1], positives, 0.3)[0]
    second = pixcontrast_rows(q[1], k[0], positives.transpose(1, 2), 0.3)[0]
    assert first.tolist() == pytest.approx([3.517792, 0.021708, 0.925178, 0], abs=5e-7)
    assert second.tolist() == pytest.approx([0.793534, 0, 3.269355, 0.037215], abs=5e-7)
    assert first.mean().item() == pytest.approx(1.116169, abs=5e-7)
    assert second.mean().item() == pytest.approx(1.025026, abs=5e-7)


@pytest.mark.parametrize(
    "keys, value",
    [("collapsed", math.log(49)), ("orthogonal", 0.997816), ("simplex", 0.954539)],
)
def test_known_configurations_with_an_identity_mask(keys: str, value: float) -> None:
    eye = torch.eye(49, dtype=torch.float64)
    cells = {"collapsed": torch.ones_like(eye), "orthogonal": eye, "simplex": eye - 1 / 49}[keys]
    maps = cells.T.reshape(1, 49, 7, 7)
    identity = torch.eye(49, dtype=torch.bool)[None]
    rows = torch.ones(1, 49, dtype=torch.bool)
    loss = pixcontrast_loss(maps, maps, identity, rows=rows, temperature=0.3)
    assert loss.item() == pytest.approx(value, abs=5e-7)


def test_equals_a_loop_over_cells_and_leaves_empty_rows_and_images_out() -> None:
    torch.manual_seed(0)
    q, k = (torch.randn(3, 5, 2, 3, dtype=torch.float64) for _ in range(2))
    positives = torch.rand(3, 6, 6) < 0.25
    positives[1] = False
    positives[0, 2] = False
    images = []
    for b in range(3):
        rows = []
        for i in range(6):
            exponentials = [
                math.exp(
                    F.cosine_similarity(q[b].flatten(1)[:, i], k[b].flatten(1)[:, j], dim=0).item()
                    / 0.2
                )
                for j in range(6)
            ]
            chosen = [
                e
                for e, positive in zip(exponentials, positives[b, i].tolist(), strict=True)
                if positive
            ]
            if chosen:
                rows.append(-math.log(sum(chosen) / sum(exponentials)))
        if rows:
            images.append(sum(rows) / len(rows))
    every_row = torch.ones(3, 6, dtype=torch.bool)
    loss = pixcontrast_loss(q, k, positives, rows=every_row, temperature=0.2)
    assert loss.item() == pytest.approx(sum(images) / len(images), abs=1e-12)
    assert len(images) == 2


def test_disjoint_crops_give_zero_with_finite_gradient() -> None:
    q = torch.randn(2, 4, 2, 2, requires_grad=True)
    none = torch.zeros(2, 4, 4, dtype=torch.bool)
    loss = pixcontrast_loss(q, q.detach(), none, rows=none.any(2), temperature=0.01)
    loss.backward()
    assert loss == 0 and (q.grad == 0).all()


def test_objective_reports_its_collapsed_value_and_row_rules() -> None:
    torch.manual_seed(0)
    geometry = from_box(
        torch.tensor([[[0, 0, 0.8, 0.8], [0.9, 0.2, 0.1, 1]]] * 3, dtype=torch.float64)
    )
    batch = Batch({"global": Views(torch.zeros(3, 2, 3, 32, 32), geometry)}, None, torch.arange(3))
    constant = [Features({8: torch.ones(3, 6, 4, 4)}, torch.ones(3, 6))] * 2
    encode = type(
        "E", (), {"online": lambda self, g: constant, "target": lambda self, g: constant}
    )()
    shares = {}
    for rule in ("partner", "centre"):
        objective = PixContrast(FeatureInfo({8: 6}, 6), hidden=8, dim=5, intersection=rule)
        terms = objective(batch, encode)
        assert terms["loss"].item() == pytest.approx(terms["collapsed"].item(), abs=1e-5)
        assert objective.bounds(batch, terms).collapsed == terms["collapsed"].item()
        shares[rule] = terms["rows"].item()
    assert 0 < shares["centre"] <= shares["partner"] <= 1


def test_illegal_options_are_named() -> None:
    info = FeatureInfo({8: 6}, 6)
    with pytest.raises(ValueError, match="temperature=0"):
        PixContrast(info, temperature=0)
    with pytest.raises(ValueError, match="intersection='box'"):
        PixContrast(info, intersection="box")
