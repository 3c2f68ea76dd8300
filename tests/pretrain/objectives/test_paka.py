"""PaKA: the specification's numbers, an obvious re-implementation, places, masks and processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.analysis.similarity import debiased_cka, linear_cka
from pretrain.backbones.timm_backbone import FeatureInfo, Features, TimmBackbone
from pretrain.encodings import BatchEncodings
from pretrain.geometry import from_box, identity
from pretrain.masking import Masking
from pretrain.objectives.paka import PaKA, debiased_alignment, kernel_alignment
from pretrain.objectives.parts.base import target_copy
from pretrain.reference import Reference, ReferenceSettings
from pretrain.structures import Batch, Views


def loss_of(x: Tensor, y: Tensor, counts: Tensor | None = None) -> float:
    return 1 - kernel_alignment(x, y, counts).mean().item()


def test_numbers_of_the_specification(wave: Callable[..., Tensor]) -> None:
    """The official function gave the same on the same input, the debiased values aside."""
    x, y = wave(0, 2, 6, 4).requires_grad_(), wave(0.5, 2, 6, 4)
    aligned = kernel_alignment(x, y)
    assert aligned.tolist() == pytest.approx([0.833424, 0.772660], abs=6e-7)
    (1 - aligned).mean().backward()
    row = [-0.019955, -0.035591, 0.016025, 0.023074]
    assert x.grad[0, 0].tolist() == pytest.approx(row, abs=6e-7)
    x = x.detach()
    unit = F.normalize(x, dim=2), F.normalize(y, dim=2)
    assert loss_of(*unit) == pytest.approx(0.152759, abs=6e-7)
    debiased = debiased_alignment(x, y)
    assert debiased.tolist() == pytest.approx([0.695420, 0.597191], abs=6e-7)
    counts = torch.ones(2, 6, dtype=torch.bool)
    counts[0, [1, 4]] = False
    assert 1 - kernel_alignment(x, y, counts)[0].item() == pytest.approx(0.041488, abs=6e-7)


def test_one_long_cell_rules(wave: Callable[..., Tensor]) -> None:
    x, y = wave(0, 2, 6, 4), wave(0.5, 2, 6, 4)
    x[:, 0] *= 20
    y[:, 0] *= 20
    assert loss_of(x, y) == pytest.approx(0.001214, abs=6e-7)


def test_rotation_scale_and_shift_change_nothing(wave: Callable[..., Tensor]) -> None:
    x, y = wave(0, 2, 6, 4), wave(0.5, 2, 6, 4)
    turn = torch.linalg.qr(wave(1, 4, 4))[0]
    assert loss_of(3 * x @ turn + 1.7, y) == pytest.approx(loss_of(x, y))
    assert loss_of(x, -2 * x @ turn) == pytest.approx(0)


def test_against_the_formula_on_channels(wave: Callable[..., Tensor]) -> None:
    """By D×D products and, debiased, by sums over images, where cells are left out."""
    x, y = wave(0.1, 3, 9, 5), wave(0.9, 3, 9, 3)  # of different widths
    counts = torch.rand(3, 9, generator=torch.Generator().manual_seed(0)) < 0.7
    pairs = [(x[b][counts[b]], y[b][counts[b]]) for b in range(3)]
    expected = [linear_cka(*pair) for pair in pairs]
    assert kernel_alignment(x, y, counts).tolist() == pytest.approx(expected)
    expected = [debiased_cka(*pair) for pair in pairs]
    assert debiased_alignment(x, y, counts).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("cells", "channels", "value"), [(49, 256, 0.84), (49, 384, 0.89), (256, 384, 0.60)]
)
def test_few_cells_are_aligned_by_chance(cells: int, channels: int, value: float) -> None:
    """Independent Gaussian maps; debiased they are not."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 32, cells, channels, generator=generator)
    assert kernel_alignment(x, y).mean().item() == pytest.approx(value, abs=0.01)
    assert debiased_alignment(x, y).mean().item() == pytest.approx(0, abs=0.02)
    assert debiased_alignment(x[:, :3], y[:, :3]).isnan().all()


def test_equal_cells_cost_one_and_pull_nowhere() -> None:
    """Also in float32, where unit vectors differ by rounding."""
    y = torch.randn(2, 49, 16, generator=torch.Generator().manual_seed(0))
    for noise, steepest in ((0.0, 1e-6), (1e-8, 0.5)):
        x = F.normalize(y[:, :1], dim=2).expand(-1, 49, -1) + noise * y
        x = x.detach().requires_grad_()
        loss = 1 - kernel_alignment(x, y).mean()
        loss.backward()
        assert loss.item() == pytest.approx(1, abs=1e-3) and x.grad.norm() < steepest
    with torch.autocast("cpu", torch.bfloat16):
        assert kernel_alignment(y, y).tolist() == pytest.approx([1, 1])


WHOLE, MIRRORED = (0, 0, 1, 1), (0.9, 0.2, 0.1, 1)


class GivenEncodings:
    """Maps of 12 × 12 cells that hold places in the source, curved so that cells are not alike."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def online(self, group: str, mask: Tensor | None = None) -> list[Features]:
        geometry = self.batch.views[group].geometry
        centres = (torch.arange(12, dtype=torch.float64) + 0.5) / 12
        views = []
        for maps in geometry.unbind(1):
            x = maps[:, 0, 0, None] * centres + maps[:, 0, 2, None]
            y = maps[:, 1, 1, None] * centres + maps[:, 1, 2, None]
            x, y = x[:, None].expand(-1, 12, -1), y[:, :, None].expand(-1, -1, 12)
            views.append(Features({8: torch.stack([x, y, 0 * x + 1], 1)}, x))
        return views

    target = online


def placed(*boxes: tuple[float, ...], **groups: list[tuple[float, ...]]) -> Batch:
    views = {}
    for name, corners in {"global": list(boxes), **groups}.items():
        maps = from_box(torch.tensor(corners, dtype=torch.float64))[None]
        views[name] = Views(torch.zeros(1, len(corners), 3, 1, 1), maps)
    return Batch(views, None, torch.arange(1))


def plain(**options: Any) -> PaKA:
    return PaKA(FeatureInfo({8: 3}, 3), dim=None, side=4, **options)


def test_cells_are_compared_where_views_show_the_same() -> None:
    batch = placed(WHOLE, MIRRORED)
    terms = plain()(batch, GivenEncodings(batch))
    assert terms["loss"].item() < 1e-4 and terms["debiased"].item() > 0.999
    assert terms["pairs"].item() == 2  # none of a view with itself
    other = placed(WHOLE, MIRRORED)
    other.views["global"].geometry[:, 1, 0] *= -1  # no longer mirrored, says the geometry
    other.views["global"].geometry[:, 1, 0, 2] += 1
    assert plain()(other, GivenEncodings(batch))["loss"].item() > 0.01


def test_small_views_learn_from_the_views_that_show_them() -> None:
    local = [(0.1, 0.1, 0.4, 0.4), (0.6, 0.1, 0.3, 0.4), (0.95, 0.95, 0.7, 0.7)]
    batch = placed((0, 0, 0.5, 1), (0.25, 0, 1, 1), local=local)
    objective = plain(student="local", least_share=0.9)
    assert objective.needs.groups == ("global", "local") and objective.needs.views == 1
    terms = objective(batch, GivenEncodings(batch))
    assert terms["pairs"].item() == 3  # the second one lies half in the first large view
    assert plain(student="local", least_share=0.5)(batch, GivenEncodings(batch))["pairs"] == 5


def test_nothing_in_common_costs_nothing() -> None:
    batch = placed((0, 0, 0.4, 0.4), (0.5, 0.5, 1, 1))
    encode = GivenEncodings(batch)
    terms = plain()(batch, encode)
    assert terms["loss"].item() == terms["pairs"].item() == 0 and terms["debiased"].isnan()


def setting(images: slice = slice(0, 4), **options: Any) -> tuple:
    torch.manual_seed(0)
    vit = dict(patch_size=8, img_size=32, embed_dim=24, depth=2, num_heads=2)
    backbone = TimmBackbone("vit_tiny_patch16_224", **vit).double()
    backbone.add_mask_token()
    backbone.double()
    options = dict(dim=8, hidden=16, side=3) | options
    objective = PaKA(backbone.info, **options).double()
    boxes = torch.rand(4, 2, 2, dtype=torch.float64) * 0.5
    maps = from_box(torch.cat([boxes, boxes + 0.5], 2))  # two squares of half the side
    views = Views(torch.randn(4, 2, 3, 32, 32).double()[images], maps[images])
    batch = Batch({"global": views}, None, torch.arange(4)[images])
    reference = Reference(ReferenceSettings(), target_copy(backbone))
    reference.begin(backbone)
    encode = BatchEncodings(
        batch, backbone, target_copy(backbone), reference=reference, masking=Masking(share=1.0)
    )
    return objective, backbone, batch, encode


def step(images: slice) -> dict[str, Tensor]:
    objective, backbone, batch, encode = setting(images, least_share=0.4)
    terms = objective(batch, encode)
    terms["loss"].backward()
    gradients = dict(loss=terms["loss"].detach(), pairs=terms["pairs"])
    for name, module in (("head", objective.head), ("backbone", backbone)):
        for key, parameter in module.named_parameters():
            if parameter.grad is not None:
                gradients[f"{name}.{key}"] = parameter.grad
    return gradients


def of_rank(rank: int) -> dict[str, Tensor]:
    gradients = step(slice(0, 1) if rank == 0 else slice(1, 4))
    pairs = gradients.pop("pairs")
    for value in gradients.values():
        torch.distributed.all_reduce(value)
        value /= 2
    return {**gradients, "pairs": pairs}


def test_two_processes_of_unequal_pairs_equal_one(in_two_processes: Callable[..., list]) -> None:
    whole, (first, second) = step(slice(0, 4)), in_two_processes(of_rank)
    assert first.pop("pairs") != second["pairs"] and whole.pop("pairs") > 0
    assert whole["head.mlp.0.weight"].any()
    for key, value in whole.items():
        assert torch.allclose(first[key], value, atol=1e-10), key
        assert torch.equal(first[key], second[key])


def test_hidden_cells_are_left_out() -> None:
    objective, backbone, batch, encode = setting(masked=True)
    assert objective.needs.masked == ("global",) and not objective.needs.online
    terms = objective(batch, encode)
    assert terms["pairs"] >= 2  # each view also with itself
    whole = torch.zeros_like(encode.mask("global"))
    hidden = encode.online("global", mask=encode.mask("global"))
    for index, view in enumerate(hidden):
        covered = encode.mask("global")[:, index, None].expand_as(view.map())
        view.map().data[covered] = 1e3
    batch.views["global"].geometry[:] = identity().double()
    objective.side = 4  # one cell of the grid for each of the map's
    value = objective(batch, encode)["loss"].item()
    for index, view in enumerate(hidden):
        covered = encode.mask("global")[:, index, None].expand_as(view.map())
        view.map().data[covered] = torch.randn(int(covered.sum()), dtype=torch.float64)
    assert objective(batch, encode)["loss"].item() == pytest.approx(value)
    encode._masks["global"] = whole
    encode._cache["masked", "global"] = hidden
    assert objective(batch, encode)["loss"].item() != pytest.approx(value)


def test_the_untouched_backbone_as_the_teacher() -> None:
    """A view is also its own partner, and there the loss is 0 at the start."""
    objective, backbone, batch, encode = setting(against="reference", dim=None)
    assert objective.needs.reference == ("global",) and objective.needs.target == ()
    assert objective.momentum_pairs() == [] and not list(objective.parameters())
    batch.views["global"].geometry[:] = identity().double()
    batch.views["global"].images[:, 1] = batch.views["global"].images[:, 0]
    terms = objective(batch, encode)
    assert terms["loss"].item() == pytest.approx(0, abs=1e-9) and terms["pairs"] == 4


def test_a_reference_of_another_width_and_stride() -> None:
    _, backbone, batch, _ = setting()
    other = dict(patch_size=4, img_size=32, embed_dim=16, depth=1, num_heads=2)
    reference = Reference(ReferenceSettings(), TimmBackbone("vit_tiny_patch16_224", **other))
    reference.network.double()
    encode = BatchEncodings(batch, backbone, None, reference=reference)
    objective = PaKA(backbone.info, against="reference", dim=None, least_share=0.1)
    loss = objective(batch, encode)["loss"]
    loss.backward()
    assert 0 < loss.item() < 1 and backbone.model.patch_embed.proj.weight.grad.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(side=1), "side=1: cells are compared with each other; at least 2"),
        (dict(least_share=0.0), "least_share=0.0: must be positive"),
        (dict(least_share=1.5), r"least_share=1.5: must lie in \[0, 1\]"),
        (dict(against="online"), "against='online'"),
        (dict(against="reference"), "dim=256: the reference has no head"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PaKA(FeatureInfo({8: 3}, 3), **options)
