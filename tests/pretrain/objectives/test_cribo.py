"""CrIBo: its clusters against loops, the queue's way there and back, processes, and bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pretrain.backbones.timm_backbone import FeatureInfo, Features, TimmBackbone
from pretrain.encodings import BatchEncodings
from pretrain.geometry import cell_centres, from_box
from pretrain.objectives.cribo import (
    CrIBo,
    RegionQueue,
    cluster_cells,
    most_similar,
    region_means,
    transport,
)
from pretrain.objectives.parts.base import target_copy
from pretrain.structures import Batch, Views

INFO = FeatureInfo({8: 6}, 6)
BOXES = torch.tensor([[0, 0, 0.8, 0.8], [0.2, 0.1, 1, 1]], dtype=torch.float64)


def test_numbers_of_the_official_code(wave: Callable[..., Tensor]) -> None:
    cost = (1 + wave(0, 1, 4, 3)) / 2
    sizes = torch.full((1, 1, 3), 1 / 3, dtype=torch.float64)
    plan = transport(cost, sizes, 20.0)
    expected = [0.184119, 0.009061, 0.035209, 0.137570, 0, 0.084449]
    expected += [0, 0.000169, 0.213185, 0.011644, 0.324104, 0.000491]
    assert plan.flatten().tolist() == pytest.approx(expected, abs=6e-7)
    assert (plan * cost).sum().item() == pytest.approx(0.184591, abs=6e-7)
    assert plan.argmax(2).tolist() == [[0, 0, 2, 1]]
    assert torch.allclose(plan.sum(1), sizes[:, 0])


def cost_by_loops(
    unit: Tensor, places: Tensor, members: list[set[int]], centres: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Distances and cosines (M, k) of one image's cells and its clusters."""
    near = torch.zeros(len(unit), len(centres), dtype=torch.float64)
    cosines = torch.zeros_like(near)
    for i in range(len(unit)):
        for k, centre in enumerate(centres):
            others = [(places[i] - places[j]).norm() for j in members[k] - {i}]
            near[i, k] = min(others) if others else 0
            cosines[i, k] = unit[i] @ centre
    near = torch.where(near == 0, near.mean(), near)
    return near / near.max(), cosines


def labels_by_loops(
    cells: Tensor, places: Tensor, starts: Tensor, place_weight: float
) -> list[list[int]]:
    """What :func:`cluster_cells` returns, cell by cell."""
    (images, count), clusters = cells.shape[:2], starts.shape[1]
    unit = cells / cells.norm(dim=2, keepdim=True)
    members, centres = [], []
    for b in range(images):
        members.append([{int(start)} for start in starts[b]])
        centres.append([unit[b, int(start)] for start in starts[b]])
    sizes = torch.full((images, clusters), 1 / clusters, dtype=torch.float64)
    for _ in range(5):
        cost = torch.zeros(images, count, clusters, dtype=torch.float64)
        for b in range(images):
            near, cosines = cost_by_loops(unit[b], places[b], members[b], centres[b])
            cost[b] = place_weight * near - cosines
        cost = (cost - cost.min()) / (cost.max() - cost.min())
        for b in range(images):
            plan = (-20 * cost[b]).exp()
            for _ in range(5):
                plan = plan / plan.sum(1, keepdim=True) / count
                plan = plan / plan.sum(0) * sizes[b]
            chosen = plan.argmax(1)
            for k in range(clusters):
                rows = (chosen == k).nonzero()[:, 0].tolist()
                total = unit[b, rows].sum(0)
                members[b][k], centres[b][k] = set(rows), total / total.norm().clamp_min(1e-12)
                sizes[b, k] = len(rows) + 0.01
            sizes[b] /= sizes[b].sum()
    labels = torch.zeros(images, count, dtype=torch.int64)
    for b in range(images):
        for k in range(clusters):
            labels[b, list(members[b][k])] = k
    return labels.tolist()


@pytest.mark.parametrize("place_weight", [0.0, 1.0])
def test_clusters_equal_loops(place_weight: float) -> None:
    torch.manual_seed(3)
    cells, places = torch.randn(2, 10, 4).double(), torch.rand(2, 10, 2).double()
    starts = torch.rand(2, 10).argsort(1)[:, :4]
    labels = cluster_cells(cells, places, starts, place_weight=place_weight)
    assert labels.tolist() == labels_by_loops(cells, places, starts, place_weight)
    assert len(labels[0].unique()) > 1


def test_features_or_places_decide() -> None:
    """Two kinds of cells, in two corners each; as many clusters as kinds, or as corners."""
    kinds = torch.tensor([0, 0, 1, 1, 0, 0, 1, 1])
    corners = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    cells = torch.eye(2)[kinds][None] + 0.01 * torch.rand(1, 8, 2)
    places = corners[None, :, None] + 0.1 * torch.rand(1, 8, 2)
    starts = torch.tensor([[0, 6]])
    assert cluster_cells(cells, places, starts, place_weight=0)[0].tolist() == kinds.tolist()
    by_place = cluster_cells(torch.ones(1, 8, 2), places, starts, place_weight=1)
    assert by_place[0].tolist() == corners.tolist()


def test_means_of_regions_and_of_none() -> None:
    cells = torch.arange(8.0).view(1, 4, 2)
    means, present = region_means(cells, torch.tensor([[2, 0, 2, 0]]), 3)
    assert means[0].tolist() == [[4, 5], [0, 0], [2, 3]] and present.tolist() == [[1, 0, 1]]


class Encode:
    """Given maps in place of networks: of two views, online and target."""

    def __init__(self, online: list[Tensor], target: list[Tensor], epoch: float = 0.0) -> None:
        self.maps = {"online": online, "target": target}
        self.epoch = epoch

    def online(self, group: str) -> list[Features]:
        return [Features({8: view}, view.mean((2, 3))) for view in self.maps["online"]]

    def target(self, group: str) -> list[Features]:
        return [Features({8: view}, view.mean((2, 3))) for view in self.maps["target"]]


def batch_of(boxes: Tensor, images: int = 3) -> Batch:
    geometry = from_box(boxes).expand(images, 2, 2, 3)
    return Batch({"global": Views(torch.zeros(images), geometry)}, None, torch.arange(images))


def maps(epoch: float = 0.0, images: int = 3) -> Encode:
    torch.manual_seed(1)
    online, target = torch.randn(2, 2, images, 6, 4, 4, dtype=torch.float64)
    return Encode([view.clone().requires_grad_() for view in online], list(target), epoch)


def small(**options: Any) -> CrIBo:
    torch.manual_seed(0)
    heads = dict(prototypes=16, hidden=16, bottleneck=8, hold_epochs=0)
    return CrIBo(INFO, **{"clusters": 4, "images": 5, **heads, **options}).double()


def test_regions_of_a_mirrored_view_lie_at_the_same_places() -> None:
    """Online maps that hold their places in the source; the target tells nothing apart."""
    boxes = torch.tensor([[0, 0, 1, 1], [1, 0, 0, 1]], dtype=torch.float64)
    batch, side = batch_of(boxes), 8
    geometry = batch.views["global"].geometry
    places = []
    for view in range(2):
        centres = cell_centres(geometry[:, view], (side, side))
        places.append(centres.mT.unflatten(2, (side, side)))
    constant = [torch.ones(3, 6, side, side).double()] * 2
    regions = small()._regions(batch, Encode(places, constant))
    one, other = (view[regions.valid] for view in regions.online)
    assert len(one) > 8 and torch.allclose(one, other)
    assert (one.var(0) > 0.01).all()


def test_regions_that_lead_back_are_compared_with_what_they_lead_to() -> None:
    """The queue holds the very regions of the step: each finds itself."""
    objective, batch = small(images_weight=0.5, images_from=1.0), batch_of(BOXES)
    first = maps()
    terms = objective(batch, first)
    assert terms["images"] == terms["returned"] == 0 and terms["loss"] == terms["views"]
    objective._starts = lambda *_: starts
    starts = CrIBo._starts(objective, 3, 32)
    objective.eval()(batch, first)
    objective.update_memory(batch, first)
    terms = objective(batch, maps(epoch=1.0))
    assert terms["returned"] == 1
    assert terms["images"].item() == pytest.approx(terms["views"].item())
    assert terms["loss"].item() == pytest.approx(1.5 * terms["views"].item())
    assert objective.bounds(batch, terms).collapsed == pytest.approx(1.5 * math.log(16))
    assert objective.bounds(batch, terms).best < terms["loss"].item()


def test_the_way_there_and_back_equals_loops() -> None:
    objective, batch, encode = small(), batch_of(BOXES), maps()
    torch.manual_seed(7)
    stored, valid = torch.randn(2, 6, 4, 6).double(), torch.rand(6, 4) < 0.8
    objective.queue.push_regions(stored, valid)  # five of six fit in
    regions = objective._regions(batch, encode)
    nearest, back = objective._of_other_images(regions)
    cosine = torch.cosine_similarity
    for view in range(2):
        for row in regions.valid.flatten().nonzero()[:, 0].tolist():
            own = regions.target[view].flatten(0, 1)[row]
            best, pair = -2.0, None
            for image in range(1, 6):
                for k in range(4):
                    other = stored[view, image, k]
                    value = cosine(own, other, dim=0).item()
                    if valid[image, k] and value > best:
                        best, pair = value, stored[:, image, k]
            assert torch.allclose(nearest[view, row], pair[view])
            every = regions.target[1 - view].flatten(0, 1)
            similar = cosine(every, pair[1 - view][None], dim=1)
            similar[~regions.valid.flatten()] = -2
            assert back[view, row] == (int(similar.argmax()) == row)
    assert back.any() and not back[:, ~regions.valid.flatten()].any()
    assert not back[:, regions.valid.flatten()].all()


@pytest.mark.parametrize("how", ["centring", "sinkhorn"])
def test_an_empty_queue_leads_nowhere(how: str) -> None:
    objective, batch = small(images_from=0.0, sharpening=dict(how=how)), batch_of(BOXES)
    terms = objective(batch, maps())
    assert terms["returned"] == terms["images"] == 0
    terms["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in objective.head.parameters())


def test_a_queue_searched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = RegionQueue(6, clusters=2, dim=3).double()
    torch.manual_seed(0)
    queue.push_regions(torch.randn(2, 4, 2, 3).double(), torch.rand(4, 2) < 0.7)
    x = torch.randn(5, 3).double()
    whole = queue.nearest(x, 0)[0]
    monkeypatch.setattr("pretrain.objectives.cribo.CHUNK", 2)
    assert torch.equal(queue.nearest(x, 0)[0], whole)


def test_mixed_precision_finds_the_same_region() -> None:
    """Candidates whose cosines differ by less than bfloat16's steps."""
    angles = torch.linspace(0.1, 0.05, 50)
    candidates = torch.stack([angles.cos(), angles.sin()], 1)
    valid = torch.ones(50, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16):
        cosine, place = most_similar(torch.tensor([[1.0, 0.0]]), candidates, valid)
    assert place.item() == 49 and cosine.item() == pytest.approx(math.cos(0.05), abs=1e-6)


def test_views_without_a_common_region_cost_nothing() -> None:
    """Cells of two kinds, one in each view: no cluster has members in both."""
    objective, batch = small(clusters=2, place_weight=0.0), batch_of(BOXES)
    kinds = [torch.zeros(3, 6, 2, 2).double(), torch.zeros(3, 6, 2, 2).double()]
    kinds[0][:, 0], kinds[1][:, 1] = 1, 1
    objective._starts = lambda *_: torch.tensor([[0, 4]] * 3)
    terms = objective(batch, Encode(kinds, kinds))
    terms["loss"].backward()
    assert terms["loss"] == terms["regions"] == 0
    assert all(not p.grad.any() for p in objective.head.parameters())


def test_gradients_reach_what_is_trained_and_nothing_else() -> None:
    objective, encode = small(), maps()
    objective(batch_of(BOXES), encode)["loss"].backward()
    assert all(p.grad.any() for p in objective.head.parameters() if p.ndim > 1)
    assert all(p.grad is None for p in objective.target_head.parameters())
    assert all(view.grad.any() for view in encode.maps["online"])
    assert all(view.grad is None for view in encode.maps["target"])


def test_bounds_of_a_head_that_tells_nothing_apart() -> None:
    objective, batch = small(), batch_of(BOXES)
    nn.init.ones_(objective.head.prototypes)
    terms = objective(batch, maps())
    bounds = objective.bounds(batch, terms)
    assert terms["loss"].item() == pytest.approx(bounds.collapsed) == math.log(16)
    assert 0 < bounds.best < bounds.collapsed


def two_steps(part: slice) -> dict[str, Tensor]:
    """Loss and gradients of a second step, on some of four images; the first filled the queue."""
    torch.manual_seed(0)
    vit = dict(patch_size=8, img_size=32, embed_dim=24, depth=1, num_heads=2)
    backbone = TimmBackbone("vit_tiny_patch16_224", **vit)
    heads = dict(prototypes=16, hidden=16, bottleneck=8, hold_epochs=0)
    objective = CrIBo(backbone.info, clusters=4, images=6, images_from=0, **heads).double()
    backbone, target = backbone.double(), target_copy(backbone).double()
    steps = torch.randn(2, 4, 2, 3, 32, 32, dtype=torch.float64)
    starts = torch.rand(4, 32).argsort(1)[part, :4]
    objective._starts = lambda *_: starts
    for images in steps:
        objective.zero_grad()
        backbone.zero_grad()
        geometry = from_box(BOXES).expand(len(starts), 2, 2, 3)
        batch = Batch({"global": Views(images[part], geometry)}, None, torch.arange(len(starts)))
        encode = BatchEncodings(batch, backbone, target)
        terms = objective(batch, encode)
        terms["loss"].backward()
        objective.update_memory(batch, encode)
    results = {name: terms[name].detach() for name in ("loss", "images", "returned")}
    results |= {"queue": objective.queue.keys, "centre": objective.sharpening.centre.centre}
    for module in (objective.head, backbone):
        for name, parameter in module.named_parameters():
            results[f"{name} of {type(module).__name__}"] = parameter.grad
    return results


def of_rank(rank: int) -> dict[str, Tensor]:
    results = two_steps(slice(2 * rank, 2 * rank + 2))
    for name, value in results.items():
        if name not in ("queue", "centre"):
            torch.distributed.all_reduce(value)
            value /= 2
    return results


def test_two_processes_equal_one(in_two_processes: Callable[..., list]) -> None:
    first, second = in_two_processes(of_rank)
    whole = two_steps(slice(0, 4))
    assert 0 < whole["returned"] < 1
    for name, value in whole.items():
        assert torch.allclose(first[name], value, atol=1e-10), name
        assert torch.equal(first[name], second[name]), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(temperature=0.0), "temperature=0.0: must be positive"),
        (dict(place_weight=-1.0), "place_weight=-1.0: must not be negative"),
        (dict(clusters=1), "clusters=1: an image is divided into at least 2"),
    ],
)
def test_mistakes_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_more_clusters_than_cells_are_refused() -> None:
    message = "clusters=40: two views of 4 × 4 cells hold at most 32"
    with pytest.raises(ValueError, match=message):
        small(clusters=40)(batch_of(BOXES), maps())
