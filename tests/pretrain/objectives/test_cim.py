"""CIM: maps, loss and metrics against obvious forms, what gets gradients, published schedules."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseDataPreprocessor
from torch.nn import functional as F

from pretrain.backbones.sincos_vit import SinCosViT
from pretrain.encodings import BatchEncodings
from pretrain.engine.check import check_config
from pretrain.engine.efficiency import BarePasses
from pretrain.engine.schedule import make_schedule
from pretrain.geometry import from_box
from pretrain.model import Pretrainer
from pretrain.objectives.cim import CIM, map_iou, map_loss, margins, prior_loss
from pretrain.objectives.parts.base import target_copy
from pretrain.structures import Batch, Views

ROOT = Path(__file__).resolve().parents[3]
VIT = dict(
    name="vit_tiny_patch16_224", img_size=64, patch_size=8, embed_dim=32, depth=2, num_heads=2
)
RESNET = dict(type="TimmBackbone", name="test_resnet", output_stride=8)


def make_batch(exemplars: int = 2, images: int = 3) -> Batch:
    """Contexts of 40 px that are the whole image, exemplars of 16 px upright in them, random
    pixels.
    """
    torch.manual_seed(0)
    corner = torch.rand(images, exemplars, 2, dtype=torch.float64) / 2
    boxes = torch.cat([corner, corner + 0.4], 2)
    whole = torch.tensor([0.0, 0, 1, 1]).expand(images, 1, 4)
    views = {
        "context": Views(torch.randn(images, 1, 3, 40, 40), from_box(whole)),
        "exemplar": Views(torch.randn(images, exemplars, 3, 16, 16), from_box(boxes)),
    }
    return Batch(views, None, torch.arange(images))


def vit(**options: object) -> tuple[SinCosViT, CIM]:
    torch.manual_seed(0)
    backbone = SinCosViT(**VIT)
    return backbone, CIM(backbone.info, **{"width": 16, "heads": 2, **options})


def test_corner_cells_lie_on_corner_pixels() -> None:
    scores = torch.zeros(1, 1, 2, 10, 10, dtype=torch.float64)
    scores[0, 0, 1] = torch.arange(10.0)
    margin = margins(scores, (160, 160))[0, 0]
    assert torch.allclose(margin, 9 * torch.arange(160, dtype=torch.float64) / 159)
    assert margin[7, 80].item() == pytest.approx(4.528302, abs=5e-7)


def test_loss_is_the_sum_over_exemplars_of_two_class_cross_entropies() -> None:
    torch.manual_seed(0)
    scores = torch.randn(2, 3, 2, 4, 5, dtype=torch.float64)
    target = torch.rand(2, 3, 8, 10) < 0.3
    expected = 0.0
    for k in range(3):
        upsampled = F.interpolate(scores[:, k], (8, 10), mode="bilinear", align_corners=True)
        expected += F.cross_entropy(upsampled, target[:, k].long())
    assert map_loss(margins(scores, (8, 10)), target).item() == pytest.approx(
        expected.item(), abs=1e-12
    )


def test_known_values() -> None:
    target = torch.rand(2, 6, 9, 9) < 0.5
    assert map_loss(torch.zeros(2, 1, 9, 9), target[:, :1]).item() == pytest.approx(
        0.693147, abs=1e-6
    )
    assert map_loss(torch.zeros(2, 6, 9, 9), target).item() == pytest.approx(4.158883, abs=1e-6)
    published = torch.zeros(1, 6, 1, 1000, dtype=torch.bool)
    published[..., :316] = True  # the mean foreground rate of the published views
    assert prior_loss(published).item() == pytest.approx(3.743, abs=1e-3)
    rate = torch.full((1, 6, 1, 1000), math.log(0.316 / 0.684))
    assert map_loss(rate, published).item() == pytest.approx(prior_loss(published).item(), abs=1e-5)
    assert (map_iou(rate, published) == 0).all()


def test_prior_of_maps_of_one_kind_is_zero_and_finite() -> None:
    assert prior_loss(torch.zeros(1, 2, 3, 3, dtype=torch.bool)) == 0
    assert prior_loss(torch.ones(1, 2, 3, 3, dtype=torch.bool)) == 0
    assert map_iou(-torch.ones(1, 1, 3, 3), torch.zeros(1, 1, 3, 3, dtype=torch.bool)) == 0


def test_iou_equals_a_loop() -> None:
    torch.manual_seed(0)
    margin, target = torch.randn(2, 3, 4, 4), torch.rand(2, 3, 4, 4) < 0.4
    for b in range(2):
        for k in range(3):
            actual = {i for i, m in enumerate(margin[b, k].flatten().tolist()) if m > 0}
            true = {i for i, t in enumerate(target[b, k].flatten().tolist()) if t}
            assert map_iou(margin, target)[b, k].item() == pytest.approx(
                len(actual & true) / len(actual | true)
            )


def test_targets_are_where_the_exemplars_lie() -> None:
    batch = make_batch()
    target = vit()[1].targets(batch)
    assert target.shape == (3, 2, 40, 40) and target.dtype == torch.bool
    for b in range(3):
        for k in range(2):
            x, y = (batch.views["exemplar"].geometry[b, k, :, 2] * 40).tolist()
            rows, columns = target[b, k].nonzero(as_tuple=True)
            assert (rows.min(), rows.max()) == (math.ceil(y - 0.5), math.ceil(y + 15.5) - 1)
            assert (columns.min(), columns.max()) == (math.ceil(x - 0.5), math.ceil(x + 15.5) - 1)


@pytest.mark.parametrize("update", ["exemplar", "context", "both"])
def test_each_side_goes_through_its_network(update: str) -> None:
    backbone, objective = vit(update=update)
    batch, target = make_batch(), target_copy(backbone)
    seen = []
    backbone.register_forward_hook(lambda _, args, __: seen.append(("online", args[0].shape[-1])))
    target.register_forward_hook(lambda _, args, __: seen.append(("target", args[0].shape[-1])))
    objective(batch, BatchEncodings(batch, backbone, target if objective.needs.target else None))
    sides = {
        "exemplar": {("online", 16), ("target", 40)},
        "context": {("online", 40), ("target", 16)},
    }
    assert set(seen) == sides.get(update, {("online", 16), ("online", 40)})
    assert objective.needs.attacked == ("context" if update == "context" else "exemplar")
    sizes = {"context": 40, "exemplar": 16}
    passes = [("online", sizes[group]) for group in objective.needs.online]
    passes += [("target", sizes[group]) for group in objective.needs.target]
    assert set(passes) == set(seen)


def test_hooks_look_at_the_trained_side_and_its_passes_are_the_bare_ones() -> None:
    model = dict(
        backbone=dict(type="SinCosViT", **VIT), data_preprocessor=dict(type=BaseDataPreprocessor)
    )
    objectives = [dict(type="CIM", width=16, heads=2)]
    with pytest.raises(ValueError, match="group='context': no objective shows it.*legal: exemplar"):
        Pretrainer(objectives=objectives, group="context", **model)
    whole = Pretrainer(objectives=objectives, group="exemplar", **model)
    names = BarePasses(whole, make_batch()).measure().keys()
    assert names == {"online exemplar[0]", "online exemplar[1]", "target context[0]"}


def test_gradients_reach_what_is_trained_and_nothing_else() -> None:
    backbone, objective = vit()
    target = target_copy(backbone)
    batch = make_batch()
    terms = objective(batch, BatchEncodings(batch, backbone, target))
    terms["loss"].backward()
    assert all(p.grad is None for p in target.parameters())
    fixed = {"model.pos_embed", "model.patch_embed.proj.weight", "model.patch_embed.proj.bias"}
    for name, parameter in [*backbone.named_parameters(), *objective.named_parameters()]:
        if name in fixed:
            assert parameter.grad is None, name
        elif "norm" in name or "weight" in name or "cls" in name:  # a key's bias changes no softmax
            assert parameter.grad.abs().sum() > 0, name
    bounds = objective.bounds(batch, terms)
    assert bounds.collapsed == terms["prior"]
    assert bounds.random_start == pytest.approx(2 * math.log(2))


def test_the_context_reaches_only_the_shared_projection() -> None:
    """With fixed exemplar features the trained network gets nothing from the context's side."""
    backbone, objective = vit()
    batch = make_batch()
    encode = BatchEncodings(batch, backbone, target_copy(backbone))
    for features in encode.online("exemplar"):
        features.pyramid = {stride: m.detach() for stride, m in features.pyramid.items()}
        features.prefix = features.prefix.detach()
    objective(batch, encode)["loss"].backward()
    assert all(p.grad is None for p in backbone.parameters())
    assert objective.decoder.embed.weight.grad.abs().sum() > 0


def test_exemplars_do_not_matter_to_each_other_and_the_loss_adds_up() -> None:
    backbone, objective = vit()
    batch = make_batch(3)

    def run(chosen: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        group = batch.views["exemplar"]
        part = Views(group.images[:, chosen], group.geometry[:, chosen])
        some = Batch(batch.views | {"exemplar": part}, None, batch.ids)
        encode = BatchEncodings(some, backbone, target_copy(backbone))
        return objective.predict(some, encode), objective(some, encode)["loss"]

    maps, loss = run([0, 1, 2])
    assert torch.allclose(run([1, 0])[0], maps[:, [1, 0]], atol=1e-5)
    assert torch.allclose(sum(run([k])[1] for k in range(3)), loss, atol=1e-5)


def test_joint_and_convolution_train_as_well() -> None:
    for options in (dict(joint=2), dict(correlation="convolution")):
        backbone, objective = vit(**options)
        batch = make_batch()
        objective(batch, BatchEncodings(batch, backbone, target_copy(backbone)))["loss"].backward()
        assert all(torch.isfinite(p.grad).all() for p in objective.parameters())


@pytest.mark.parametrize("stride, cells", [(None, 5), (4, 10)])
def test_networks_without_a_class_token(stride: int | None, cells: int) -> None:
    torch.manual_seed(0)
    model = Pretrainer(
        RESNET,
        [dict(type="CIM", stride=stride, width=16, heads=2)],
        group="exemplar",
        data_preprocessor=dict(type=BaseDataPreprocessor),
    )
    seen = []
    model.objectives[0].decoder.register_forward_hook(lambda _, args, __: seen.append(args))
    before = [b.clone() for b in model.backbone.buffers()]
    terms = model(make_batch())
    (context, exemplars, prefix) = seen[0]
    assert (
        context.shape[2:] == (cells, cells)
        and exemplars.shape[3:] == (2 * cells // 5,) * 2
        and prefix is None
    )
    assert {"CIM.loss", "CIM.iou", "CIM.prior", "CIM.foreground"} == set(terms)
    assert len(model.last_features) == 2  # hooks see the exemplars
    own = [
        (a, b)
        for a, b in zip(model.backbone.buffers(), model.target_backbone.buffers(), strict=True)
        if a.ndim
    ]
    assert before and any(
        not torch.equal(a, b) for a, b in own
    )  # statistics of crops and of contexts stay apart


def test_class_token_of_the_target_is_the_online_one() -> None:
    torch.manual_seed(0)
    model = Pretrainer(
        dict(type="SinCosViT", **VIT),
        [dict(type="CIM", width=16, heads=2)],
        group="exemplar",
        data_preprocessor=dict(type=BaseDataPreprocessor),
    )
    online, target = model.backbone.model, model.target_backbone.model
    with torch.no_grad():
        for parameter in online.parameters():
            parameter.add_(1)
    old = target.norm.weight.clone()
    model.after_step(0.0)
    assert torch.equal(target.cls_token, online.cls_token)
    assert torch.allclose(target.norm.weight, 0.99 * old + 0.01 * online.norm.weight)


def test_published_schedules() -> None:
    cfg = Config.fromfile(ROOT / "configs" / "imagenet" / "cim_vitb16_300e.py")
    schedule = make_schedule(check_config(cfg).schedule, 1_281_167)
    rates = [schedule.lr(epoch * 312) for epoch in (0, 20, 40, 105, 170, 300)]
    assert rates == pytest.approx([0, 1.2e-3, 2.4e-3, 2.0485e-3, 1.2e-3, 0], abs=5e-8)
    with torch.device("meta"):
        model = Pretrainer(**{k: v for k, v in cfg.model.to_dict().items() if k != "type"})
    assert [model.momentum_at(p) for p in (0, 0.5, 1)] == pytest.approx([0.99, 0.995, 1])
    assert sum(p.numel() for p in model.objectives[0].parameters()) == 3_548_162
    context, exemplars = cfg.views.groups.context, cfg.views.groups.exemplar
    assert (context[0]["size"], exemplars[0]["size"], len(exemplars)) == (160, 64, 6)


def test_illegal_options_are_named() -> None:
    with pytest.raises(ValueError, match="update='target'"):
        vit(update="target")
    with pytest.raises(ValueError, match="depth=0"):
        vit(depth=0)
