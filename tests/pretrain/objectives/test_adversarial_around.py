"""Adversarial around each kind of objective: what the inner one sees, what the engine is asked for,
what is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch import distributed as dist

from benchmarks.compare.budget import count_flops_per_sample
from pretrain.backbones.second_norms import SecondNorms
from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.encodings import BatchEncodings
from pretrain.engine.check import register_all
from pretrain.geometry import from_box
from pretrain.objectives.adversarial import Adversarial
from pretrain.objectives.parts.attack import ChangedEncodings, Layout, changed_batch
from pretrain.objectives.parts.base import target_copy
from pretrain.objectives.simclr import nt_xent
from pretrain.structures import Batch, Views

register_all()

PIXCONTRAST = dict(type="PixContrast", stride=8, hidden=16, dim=8)
PIXPRO = dict(type="PixPro", stride=8, hidden=16, dim=8)
SIMCLR = dict(type="SimCLR", hidden=16, dim=8, temperature=0.5)
SUPERVISED = dict(type="Supervised", num_classes=3)
CIM = dict(type="CIM", stride=8, width=16, heads=2)
SIMMIM = dict(type="SimMIM", mask_size=8)
PGD = dict(attack="pgd", steps=2, step_size=1.0, random_start=True)
INFO = FeatureInfo({8: 4}, 4)


def batch_of(groups: dict[str, int], images: int = 4, size: int = 32) -> Batch:
    """Returns a batch with overlapping views."""
    torch.manual_seed(1)
    views = {}
    for name, count in groups.items():
        low = 0.3 * torch.rand(images, count, 2, dtype=torch.float64)
        boxes = torch.cat([low, 1 - 0.3 * torch.rand(images, count, 2, dtype=torch.float64)], 2)
        pixels = (torch.rand(images, count, 3, size, size) - 0.5) / 0.25
        views[name] = Views(pixels, from_box(boxes))
    return Batch(views, torch.arange(images) % 3, torch.arange(images))


def built(
    inner: dict[str, Any], backbone: str = "test_resnet", **options: Any
) -> tuple[Adversarial, nn.Module]:
    torch.manual_seed(0)
    size = dict(img_size=32) if "vit" in backbone else dict(output_stride=8)
    network = MODELS.build(dict(type="TimmBackbone", name=backbone, **size)).train()
    return Adversarial(network.info, objective=dict(inner), **options).train(), network


def encodings(batch: Batch, network: nn.Module, wrapper: Adversarial) -> BatchEncodings:
    pixels = torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), 0.25)
    twins = SecondNorms(network) if wrapper.needs.second_norms else None
    target = target_copy(network) if wrapper.needs.target else None
    return BatchEncodings(batch, network, target, second_norms=twins, normalisation=pixels)


@pytest.mark.parametrize(
    "inner, options, groups",
    [
        (PIXCONTRAST, dict(source="anchor"), {"global": 2}),
        (PIXCONTRAST, dict(source="other"), {"global": 2}),
        (PIXCONTRAST, dict(source="both", **PGD), {"global": 3}),
        (PIXPRO, dict(source="anchor"), {"global": 2}),
        (PIXPRO, dict(source="other", attack_bn="eval_adv"), {"global": 2}),
        (SIMCLR, dict(source="both", norm="shared", **PGD), {"global": 3}),
        (SIMCLR, dict(source="anchor", form="joint"), {"global": 2}),
        (SUPERVISED, dict(source="both"), {"global": 1}),
        (CIM, dict(source="both"), {"context": 1, "exemplar": 3}),
        (dict(CIM, update="context"), dict(source="both"), {"context": 1, "exemplar": 3}),
    ],
)
def test_every_kind_of_objective_is_attacked_and_trains(
    inner: dict[str, Any], options: dict[str, Any], groups: dict[str, int]
) -> None:
    wrapper, network = built(inner, **options)
    batch = batch_of(groups)
    old = {name: views.images.clone() for name, views in batch.views.items()}
    encode = encodings(batch, network, wrapper)
    terms = wrapper(batch, encode)
    assert terms["after"] > terms["before"] and terms["delta"] > 0.5
    total = sum(value for name, value in terms.items() if "loss" in name)
    total.backward()
    trained = [p for p in (*network.parameters(), *wrapper.parameters()) if p.requires_grad]
    assert total.isfinite() and all(p.grad is not None and p.grad.isfinite().all() for p in trained)
    assert all(torch.equal(views.images, old[name]) for name, views in batch.views.items())


def test_the_loss_after_an_attack_sees_class_tokens_as_the_one_before() -> None:
    wrapper, network = built(dict(CIM, stride=16), "test_vit", source="both")
    batch = batch_of({"context": 1, "exemplar": 3})
    encode = encodings(batch, network, wrapper)
    group, attack, seen = batch.views["exemplar"].images, wrapper.attack, []

    def watched(*arguments: Any) -> Any:
        seen.append(attack(*arguments))
        return seen[-1]

    wrapper.attack = watched
    terms = wrapper(batch, encode)
    ((pixels, before),) = seen
    with torch.no_grad():
        raised = wrapper.attacked_loss(batch, encode, wrapper.layout(3))
        expected = {"before": raised(group), "after": raised(pixels)}
    assert network.model.num_prefix_tokens and before == terms["before"]
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)


def test_an_objective_that_covers_parts_of_the_images_is_attacked_through_them() -> None:
    wrapper, network = built(SIMMIM, source="both")
    batch = batch_of({"global": 1})
    terms = wrapper(batch, encodings(batch, network, wrapper))
    assert terms["attacked"] > 0.1 and terms["adversarial_loss"].isfinite()
    wrapper, network = built(SIMMIM, source="other")
    batch = batch_of({"global": 2})
    with pytest.raises(RuntimeError, match="source='both'"):
        wrapper(batch, encodings(batch, network, wrapper))


def test_a_network_without_batch_norm_has_one_route() -> None:
    terms = []
    for norm in ("second", "shared"):
        wrapper, network = built(SIMCLR, "test_vit", norm=norm, source="other")
        batch = batch_of({"global": 2})
        terms.append(wrapper(batch, encodings(batch, network, wrapper)))
    assert all(torch.allclose(terms[0][name], terms[1][name], atol=1e-5) for name in terms[0])


def test_what_the_inner_objective_sees() -> None:
    wrapper, network = built(PIXPRO)
    batch = batch_of({"global": 2, "local": 3})
    encode = encodings(batch, network, wrapper)
    pixels = torch.rand(4, 1, 3, 32, 32)
    clean = encode.online("global")
    changed = ChangedEncodings(
        encode, "global", Layout((0,), (1,)), clean[:1], pixels, norm="adversarial", frozen=False
    )
    seen = changed_batch(batch, "global", Layout((0,), (1,)), pixels)
    assert changed.online("global")[0] is clean[0] and len(changed.online("global")) == 2
    assert changed.online("global")[1] is changed.online("global")[1]  # encoded once
    assert torch.equal(seen.views["global"].images[:, 1], pixels[:, 0])
    assert torch.equal(seen.views["global"].geometry, batch.views["global"].geometry)
    assert changed.target("global") == encode.target(
        "global"
    )  # the adversary does not reach the target network
    assert (
        changed.online("local") is encode.online("local")
        and seen.views["local"] is batch.views["local"]
    )
    twice = ChangedEncodings(
        encode, "global", Layout((0,), (0,)), clean[:1], pixels, norm="clean", frozen=False
    )
    assert twice.target("global") == [encode.target("global")[0]] * 2
    turned = Layout((0,), (1,), attacked_first=True)
    assert (
        turned.views == (1, 0)
        and changed.with_kept(turned, clean[:1]).online("global")[1] is clean[0]
    )
    assert torch.equal(
        changed_batch(batch, "global", turned, pixels).views["global"].images[:, 0], pixels[:, 0]
    )
    geometry = changed_batch(batch, "global", Layout((0,), (0,)), pixels).views["global"].geometry
    assert torch.equal(geometry[:, 0], geometry[:, 1])


def test_joint_form() -> None:
    """NT-Xent over view 0, view 1 and the attacked view 1, plus alpha times that of view 0 and the
    attacked one.
    """
    wrapper, network = built(SIMCLR, source="other", form="joint", norm="shared", alpha=0.25)
    batch = batch_of({"global": 2})
    wrapper.objective.projector = nn.Identity()
    encode = encodings(batch, network, wrapper)
    actual: list[Tensor] = []
    network.register_forward_hook(lambda _module, _images, features: actual.append(features.vector))
    terms = wrapper(batch, encode)
    first, second = (view.vector for view in encode.online("global"))
    z = torch.stack([first, second, actual[-1]], 1)
    assert len(actual) == 4  # two clean views, one step of the attack, the attacked view
    assert torch.allclose(terms["loss"], nt_xent(z, 0.5))
    assert wrapper.bounds(batch, terms).collapsed == pytest.approx(math.log(3 * len(z) - 1))
    assert torch.allclose(terms["adversarial_loss"], 0.25 * nt_xent(z[:, [0, 2]], 0.5))


def test_the_engine_is_asked_for_what_the_inner_objective_needs() -> None:
    pixpro = Adversarial(INFO, objective=PIXPRO)
    assert pixpro.needs == replace(pixpro.objective.needs, second_norms=True)
    assert pixpro.needs.target == ("global",) and not pixpro.needs.any_views
    assert pixpro.momentum_pairs() == pixpro.objective.momentum_pairs() != []
    assert pixpro.bounds(None, {}) == pixpro.objective.bounds(None, {})
    assert not Adversarial(INFO, objective=PIXPRO, norm="shared").needs.second_norms
    supervised = Adversarial(INFO, objective=SUPERVISED, source="both")
    assert supervised.needs.labels and supervised.needs.views == 1
    assert Adversarial(INFO, objective=SIMCLR).temperature == 0.5
    cim = Adversarial(INFO, objective=CIM, source="both")
    assert cim.needs.groups == ("context", "exemplar") and cim.needs.attacked == "exemplar"


def test_the_memory_is_that_of_the_inner_objective() -> None:
    wrapper = Adversarial(INFO, objective=PIXPRO)
    calls = []
    wrapper.objective.update_memory = lambda *arguments: calls.append(arguments)
    wrapper.update_memory("batch", "encode")
    assert calls == [("batch", "encode")]


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(source="q"), r"source='q' is not one of anchor, other, both"),
        (dict(attack="cw"), r"attack='cw'"),
        (dict(norm="third"), r"norm='third'"),
        (dict(attack_bn="train"), r"attack_bn='train'"),
        (dict(alpha=-1.0), r"alpha=-1.0: must not be negative"),
        (dict(epsilon=-1.0), r"epsilon=-1.0: must not be negative"),
        (dict(steps=3), r"steps=3.*only with attack='pgd'"),
        (dict(attack="pgd"), r"needs both"),
        (dict(attack="pgd", steps=0, step_size=1.0), r"steps=0"),
        (dict(form="joint"), r"form='joint': PixPro does not take a third view"),
        (dict(form="joint", objective=SIMCLR, source="both"), r"form='joint' with source='both'"),
        (dict(objective=SUPERVISED), r"source='anchor': Supervised does not compare two views"),
        (dict(objective=dict(type="IBOT")), r"IBOT: views of which cells are hidden"),
        (dict(objective=dict(type="Gram")), r"Gram: views held to a frozen network"),
        (dict(objective=CIM, source="other"), r"source='other': CIM does not compare two views"),
        (dict(objective=dict(PIXPRO, weight=2.0)), r"its weight belongs to Adversarial"),
        (dict(objective=dict(type="Adversarial", objective=SIMCLR)), r"not an attacked one"),
    ],
)
def test_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Adversarial(INFO, **{"objective": PIXPRO, **options})


def test_every_pass_of_the_attack_is_counted() -> None:
    """FLOPs of an anchor attack: 4 forward passes instead of 2, pixels' gradient once, 3 instead of
    2 backward.
    """
    view = dict(size=32, scale=(0.5, 1.0))
    model = dict(type="Pretrainer", backbone=dict(type="TimmBackbone", name="resnet18"))
    config = dict(
        views=dict(type="ViewRecipe", groups={"global": [view, view]}),
        schedule=dict(global_batch=4),
    )
    inner = dict(type="SimCLR", hidden=16, dim=8)
    costs = [
        count_flops_per_sample(dict(config, model=dict(model, objectives=[objective])))
        for objective in (inner, dict(type="Adversarial", objective=inner))
    ]
    assert costs[1] / costs[0] == pytest.approx(11 / 6, abs=0.03)


class LinearEncoder(nn.Module):
    """No norm, so that processes meet in the loss alone."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.weight = nn.Parameter(torch.randn(4, 3, generator=generator, dtype=torch.float64))

    def forward(self, images: Tensor) -> Features:
        maps = torch.einsum("dc,bchw->bdhw", self.weight, images.tanh())
        return Features({8: maps}, maps.mean((2, 3)))


def attacked_part(part: slice, source: str) -> dict[str, Tensor]:
    """Attacked pixels, losses and the weights' gradient of some images of one batch of six."""
    whole = batch_of({"global": 2}, images=6, size=4).map(
        lambda t: t.double() if t.is_floating_point() else t
    )
    batch = whole.map(lambda t: t[part])
    network = LinearEncoder()
    wrapper = Adversarial(INFO, objective=dict(type="SimCLR", temperature=0.5), source=source)
    wrapper.objective.projector = nn.Identity()
    pixels = (
        torch.full((3, 1, 1), 0.5, dtype=torch.float64),
        torch.full((3, 1, 1), 0.25, dtype=torch.float64),
    )
    encode = BatchEncodings(
        batch, network, None, second_norms=SecondNorms(network), normalisation=pixels
    )
    seen: list[Tensor] = []
    network.register_forward_hook(
        lambda _module, images, _features: seen.append(images[0].detach())
    )
    terms = wrapper(batch, encode)
    (terms["loss"] + terms["adversarial_loss"]).backward()
    return {
        "pixels": seen[-1],  # the attacked view is encoded last
        "losses": torch.stack(
            [terms[name].detach() for name in ("loss", "adversarial_loss", "before", "after")]
        ),
        "gradient": network.weight.grad,
    }


def part_of(rank: int) -> dict[str, dict[str, Tensor]]:
    actual = {
        source: attacked_part(slice(3 * rank, 3 * rank + 3), source)
        for source in ("anchor", "other")
    }
    for parts in actual.values():
        for name in ("losses", "gradient"):
            dist.all_reduce(parts[name])
            parts[name] /= 2
    return actual


def test_two_processes_equal_one(in_two_processes: Callable[..., list]) -> None:
    parts = in_two_processes(part_of)
    for source in ("anchor", "other"):
        expected = attacked_part(slice(0, 6), source)
        pixels = torch.cat([part[source]["pixels"] for part in parts])
        assert torch.allclose(pixels, expected["pixels"], atol=1e-12)
        for name in ("losses", "gradient"):
            assert torch.allclose(parts[0][source][name], expected[name], atol=1e-12)
