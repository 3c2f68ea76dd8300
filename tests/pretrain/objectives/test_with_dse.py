"""WithDSE: its parts by the specification's vectors and by loops, and that it only adds a term."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from pretrain.clustering import k_means
from pretrain.engine.check import register_all
from pretrain.geometry import identity
from pretrain.model import Pretrainer
from pretrain.objectives.with_dse import WithDSE, dse_parts
from pretrain.structures import Batch, Views

THIRDS = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
VIT = dict(patch_size=8, img_size=32, embed_dim=24, depth=1, num_heads=2)


@pytest.fixture(autouse=True, scope="module")
def registered() -> None:
    """Names of inner objectives mean something."""
    register_all()


@pytest.fixture
def cells(wave: Callable[..., Tensor]) -> Tensor:
    """(2, 6, 3): the vectors' cells, near three axes."""
    axes = torch.eye(3, dtype=torch.float64)[torch.tensor([0, 0, 1, 1, 2, 2])]
    return axes + 0.2 * wave(0, 2, 6, 3)


def test_the_vectors(cells: Tensor) -> None:
    parts = dse_parts(cells, THIRDS, THIRDS)
    assert float(parts.inter) == pytest.approx(1.315918, abs=1e-6)
    assert float(parts.intra.detach()) == pytest.approx((0.250810 + 0.122286) / 2, abs=1e-6)
    assert float(parts.scale) == pytest.approx(0.811156, abs=1e-6)
    assert float(parts.dimension) == pytest.approx(0.995905, abs=1e-6)
    assert float(parts.dse) == pytest.approx(2.388202, abs=1e-6)


def fixed_clusters(cells: Tensor, starts: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Labels and centroids of unit cells (n, D), held while the cells move."""
    unit = F.normalize(cells, dim=1)
    labels = k_means(unit, starts).numpy()
    centroids = [unit.numpy()[labels == label].mean(0) for label in range(labels.max() + 1)]
    return labels, np.stack(centroids)


def slow(cells: np.ndarray, clusters: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """DSE by loops over clusters that are given: the group's, then each image's."""
    unit = cells / np.linalg.norm(cells, axis=2, keepdims=True)
    rows = unit.reshape(-1, unit.shape[2])
    inter, intra = [], []
    for number, (labels, centroids) in enumerate(clusters):
        own = rows if number == 0 else unit[number - 1]
        spreads = []
        for label, centroid in enumerate(centroids):
            members = own[labels == label]
            if number == 0:
                others = np.delete(centroids, label, axis=0)
                nearest = [np.linalg.norm(others - cell, axis=1).min() for cell in members]
                inter.append(np.mean(nearest))
            singular = np.linalg.svd(members - centroid, compute_uv=False)
            singular = singular[singular > 1e-5 * math.sqrt(len(members))]
            spreads.append(singular.sum() / math.sqrt(max(len(members) - 1, own.shape[1])))
        intra.append(np.mean(spreads))
    scale = np.linalg.norm(rows - rows.mean(0), axis=1).mean()
    share = np.linalg.svd(rows, compute_uv=False)
    share = share / share.sum()
    dimension = math.exp(-(share * np.log(share)).sum()) / min(rows.shape)
    return (np.mean(inter) - (intra[0] + np.mean(intra[1:])) / 2) / scale + dimension


def test_value_and_gradient_are_those_of_loops_with_clusters_held(
    wave: Callable[..., Tensor],
) -> None:
    cells = wave(1, 2, 9, 4).requires_grad_()
    starts = torch.tensor([0.2, 0.6, 0.4, 0.8], dtype=torch.float64)
    dse_parts(cells, starts, starts[:2]).dse.backward()
    plain = cells.detach()
    clusters = [fixed_clusters(plain.flatten(0, 1), starts)]
    clusters += [fixed_clusters(image, starts[:2]) for image in plain]
    values = plain.numpy()
    assert slow(values, clusters) == pytest.approx(float(dse_parts(plain, starts, starts[:2]).dse))
    step = 1e-6
    for place in [(0, 0, 0), (0, 4, 2), (1, 2, 1), (1, 8, 3)]:
        higher, lower = values.copy(), values.copy()
        higher[place] += step
        lower[place] -= step
        slope = (slow(higher, clusters) - slow(lower, clusters)) / (2 * step)
        assert float(cells.grad[place]) == pytest.approx(slope, abs=1e-7)


def test_neither_lengths_nor_a_turn_change_it(cells: Tensor, wave: Callable[..., Tensor]) -> None:
    lengths = 1 + wave(2, 2, 6, 1).abs()
    turn = torch.linalg.qr(wave(1, 3, 3))[0]
    expected = float(dse_parts(cells, THIRDS, THIRDS).dse)
    assert float(dse_parts(cells * lengths, THIRDS, THIRDS).dse) == pytest.approx(expected)
    assert float(dse_parts(cells @ turn, THIRDS, THIRDS).dse) == pytest.approx(expected)


def test_steps_along_its_gradient_raise_it(wave: Callable[..., Tensor]) -> None:
    cells = wave(0, 2, 12, 6).requires_grad_()
    first = float(dse_parts(cells.detach(), THIRDS, THIRDS).dse)
    for _ in range(40):
        (slope,) = torch.autograd.grad(dse_parts(cells, THIRDS, THIRDS).dse, cells)
        cells = (cells + 0.5 * slope).detach().requires_grad_()
    assert float(dse_parts(cells.detach(), THIRDS, THIRDS).dse) > first + 0.2


@pytest.mark.parametrize("kind", ["equal", "axes", "two"])
def test_degenerate_cells_have_finite_gradients(kind: str) -> None:
    """All equal, clusters without spread (equal singular values), fewer places than clusters."""
    cells = {
        "equal": torch.ones(2, 4, 3),
        "axes": torch.eye(4, 5).repeat(2, 1, 1),
        "two": torch.eye(2, 3).repeat(2, 2, 1),
    }[kind].requires_grad_()
    starts = torch.tensor([0.1, 0.4, 0.6, 0.9])
    parts = dse_parts(cells, starts, starts)
    assert float(parts.intra.detach()) == 0
    parts.dse.backward()
    assert torch.isfinite(cells.grad).all()
    if kind != "equal":
        assert float(parts.inter.detach()) == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize("rounding", [0.0, 1e-7])
def test_collapsed_cells_are_worth_one_dimension_and_pull_nowhere(rounding: float) -> None:
    noise = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(0))
    cells = (1 + rounding * noise).requires_grad_()
    dse = dse_parts(cells, THIRDS, THIRDS).dse
    dse.backward()
    assert float(dse.detach()) == pytest.approx(1 / 3)
    assert float(cells.grad.norm()) < 1e-3


def batch(images: int = 6, views: int = 2) -> Batch:
    torch.manual_seed(0)
    pixels = torch.randn(images, views, 3, 32, 32)
    geometry = identity().expand(images, views, 2, 3)
    return Batch({"global": Views(pixels, geometry)}, None, torch.arange(images))


def model(objective: dict[str, Any], backbone: dict[str, Any]) -> Pretrainer:
    torch.manual_seed(1)
    return Pretrainer(backbone=backbone, objectives=[objective]).train()


INNER = {
    "SimCLR": dict(type="SimCLR"),
    "PixPro": dict(type="PixPro", hidden=16, dim=8),
    "DenseCL": dict(type="DenseCL", entries=16),
}


@pytest.mark.parametrize("name", INNER)
def test_it_only_adds_a_term(name: str, tiny_backbone: dict[str, Any]) -> None:
    """Terms, targets and memory are the inner objective's, bit for bit, and so is all else."""
    plain = model(INNER[name], tiny_backbone)
    wrapped = model(dict(type="WithDSE", objective=INNER[name], group=4), tiny_backbone)
    with torch.no_grad():
        terms, with_dse = plain(batch()), wrapped(batch())
    for key, value in terms.items():
        assert torch.equal(value, with_dse[key.replace(name, "WithDSE")]), key
    assert float(with_dse["WithDSE.dse_loss"]) == pytest.approx(
        -0.001 * float(with_dse["WithDSE.dse"])
    )
    assert len(wrapped.momentum_pairs()) == len(plain.momentum_pairs())
    own = {key.replace(".objective.", "."): value for key, value in wrapped.state_dict().items()}
    for key, value in plain.state_dict().items():
        assert torch.equal(value, own[key]), key  # queues moved alike
    inner, outer = plain.objectives[0], wrapped.objectives[0]
    assert (outer.needs, outer.temperature) == (inner.needs, inner.temperature)
    assert outer.bounds(batch(), _own(with_dse, "WithDSE")) == inner.bounds(
        batch(), _own(terms, name)
    )


def _own(terms: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in terms.items()}


def test_the_term_is_the_mean_over_views_and_groups(tiny_backbone: dict[str, Any]) -> None:
    objective = dict(type="WithDSE", objective=dict(type="SimCLR"), beta=0.5, group=4)
    network = model(objective, tiny_backbone)
    terms = network(batch())
    own = network.objectives[0]
    values = []
    for view in network.last_features:
        cells = view.map().flatten(2).transpose(1, 2)
        for images in (cells[:4], cells[4:]):  # the last group is smaller
            starts = own.starts[: 3 * len(images)]
            values.append(float(dse_parts(images, starts, own.starts[:3]).dse))
    assert len(values) == 4
    assert float(terms["WithDSE.dse_loss"]) == pytest.approx(-0.5 * np.mean(values), rel=1e-4)
    gradient = torch.autograd.grad(
        terms["WithDSE.dse_loss"], network.backbone.model.conv1[0].weight
    )
    assert float(gradient[0].abs().max()) > 0


def test_hidden_cells_cost_no_further_pass() -> None:
    inner = dict(type="IBOT", prototypes=8, hidden=16, bottleneck=8)
    backbone = dict(type="TimmBackbone", name="vit_tiny_patch16_224", **VIT)
    network = model(dict(type="WithDSE", objective=inner, group=2), backbone)
    passes: list[int] = []
    network.backbone.register_forward_hook(lambda *_: passes.append(1))
    assert "WithDSE.dse_loss" in network(batch())
    assert len(passes) == 2  # two views, hidden cells and all


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(beta=-1.0), "beta=-1.0: must not be negative"),
        (dict(group=0), "group=0, clusters=3: must be at least 1 image and 2 clusters"),
        (dict(clusters=1), "group=8, clusters=1: must be at least"),
        (dict(objective=dict(type="SimCLR", weight=2)), "its weight belongs to WithDSE"),
    ],
)
def test_illegal_settings_are_named(
    options: dict[str, Any], message: str, tiny_backbone: dict[str, Any]
) -> None:
    info = MODELS.build(tiny_backbone).info
    with pytest.raises(ValueError, match=message):
        WithDSE(info, **dict(objective=dict(type="SimCLR")) | options)
