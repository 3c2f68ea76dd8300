"""SimMIM: masks by counting, the loss by loops over pixels, and what the network gets to see."""

from __future__ import annotations

import math

import pytest
import torch
from mmengine.registry import MODELS

from pretrain.backbones.timm_backbone import FeatureInfo, Features, TimmBackbone
from pretrain.encodings import BatchEncodings
from pretrain.engine.optim import parameter_groups
from pretrain.objectives.simmim import (
    SimMIM,
    constant_loss,
    in_pixels,
    masked_loss,
    normalised_patches,
    random_patches,
)
from pretrain.structures import Batch, Views

INFO = FeatureInfo({4: 5}, 5)


def batch_of(images: torch.Tensor) -> Batch:
    return Batch({"global": Views(images, None)}, None, torch.arange(len(images)))


class Records:
    """Encodings that keep the images they were given and return constant features of stride 4."""

    def online(self, group: str, images: torch.Tensor) -> list[Features]:
        self.images = images
        count, views, _, height, width = images.shape
        return [
            Features({4: torch.ones(count, 5, height // 4, width // 4)}, torch.ones(count, 5))
        ] * views


@pytest.mark.parametrize(
    "size, mask_size, ratio, covered",
    [(192, 32, 0.6, 22), (224, 32, 0.6, 30), (64, 16, 0.75, 12), (32, 8, 1.0, 16)],
)
def test_every_view_covers_the_same_number_of_patches(
    size: int, mask_size: int, ratio: float, covered: int
) -> None:
    mask = random_patches(torch.zeros(3, 2, 3, size, size), mask_size, ratio)
    assert mask.shape == (3, 2, size // mask_size, size // mask_size)
    assert (mask.flatten(2).sum(2) == covered).all()


def test_whole_numbers_of_patches_are_not_rounded_up() -> None:
    for tenths in range(1, 11):
        assert random_patches(torch.zeros(1, 1, 3, 20, 20), 2, tenths / 10).sum() == 10 * tenths


def test_choice_is_uniform_follows_the_global_generator_and_differs_between_views() -> None:
    images = torch.zeros(2000, 2, 3, 8, 16)
    torch.manual_seed(1)
    mask = random_patches(images, 4, 0.6)  # 5 of 8 patches
    share = mask.float().mean((0, 1))
    assert (share - 5 / 8).abs().max() < 0.03  # four standard deviations of a share of 4000 draws
    assert not torch.equal(mask[:, 0], mask[:, 1])
    torch.manual_seed(1)
    assert torch.equal(random_patches(images, 4, 0.6), mask)


def test_loss_by_loops_over_covered_pixels() -> None:
    torch.manual_seed(0)
    prediction, target = (torch.randn(2, 2, 3, 4, 6, dtype=torch.float64) for _ in range(2))
    mask = in_pixels(random_patches(target, 2, 0.5), 2)
    values = {"l1": [], "l2": []}
    for b, v, y, x in mask.nonzero().tolist():
        for channel in range(3):
            difference = (prediction - target)[b, v, channel, y, x].item()
            values["l1"].append(abs(difference))
            values["l2"].append(difference**2)
    for loss, terms in values.items():
        assert len(terms) == 2 * 2 * 3 * 3 * 4  # 3 of 6 patches of 4 pixels
        assert masked_loss(prediction, target, mask, loss).item() == pytest.approx(
            sum(terms) / len(terms), abs=1e-12
        )


def test_mean_of_halves_is_the_whole() -> None:
    """What makes two processes equal one: every view covers as many pixels."""
    torch.manual_seed(0)
    prediction, target = (torch.randn(4, 1, 3, 8, 8, dtype=torch.float64) for _ in range(2))
    mask = in_pixels(random_patches(target, 4, 0.5), 4)
    halves = [masked_loss(prediction[s], target[s], mask[s]) for s in (slice(0, 2), slice(2, 4))]
    assert torch.allclose(sum(halves) / 2, masked_loss(prediction, target, mask))


def test_only_covered_pixels_count() -> None:
    target = torch.zeros(1, 1, 3, 8, 8)
    mask = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    mask[..., :4] = True
    prediction = (
        torch.where(mask[:, :, None], 2.0, 100.0).expand_as(target).clone().requires_grad_()
    )
    loss = masked_loss(prediction, target, mask)
    loss.backward()
    assert (
        loss == 2
        and (prediction.grad[..., 4:] == 0).all()
        and (prediction.grad[..., :4] != 0).all()
    )
    assert masked_loss(prediction, target, torch.zeros_like(mask)) == 0


def test_normalised_patches_by_loops() -> None:
    images = torch.rand(2, 1, 3, 4, 8, dtype=torch.float64)
    images[1, 0, :, :2, :2] = 0.25
    actual = normalised_patches(images, 2)
    for b in range(2):
        for y in range(0, 4, 2):
            for x in range(0, 8, 2):
                patch = images[b, 0, :, y : y + 2, x : x + 2]
                wanted = (patch - patch.mean()) / math.sqrt(patch.var(correction=0).item() + 1e-6)
                assert torch.allclose(actual[b, 0, :, y : y + 2, x : x + 2], wanted)
    assert (actual[1, 0, :, :2, :2] == 0).all()


@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_no_picture_of_one_colour_beats_the_constant(loss: str) -> None:
    torch.manual_seed(0)
    target = (torch.rand(2, 2, 1, 8, 8, dtype=torch.float64) ** 2).expand(2, 2, 3, 8, 8)
    mask = in_pixels(random_patches(target, 4, 0.75), 4)
    greys = torch.linspace(0, 1, 401).tolist()
    best = min(
        masked_loss(torch.full_like(target, grey), target, mask, loss).item() for grey in greys
    )
    assert constant_loss(target, mask, loss).item() == pytest.approx(best, rel=1e-4)


def test_constant_is_estimated_from_a_sample_of_large_batches() -> None:
    target = torch.randn(16, 2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(16, 2, 96, 96, dtype=torch.bool)
    assert constant_loss(target, mask).item() == pytest.approx(math.sqrt(2 / math.pi), rel=0.01)
    assert constant_loss(target, mask, "l2").item() == pytest.approx(1, rel=0.02)


def test_the_network_sees_learned_pixels_in_covered_patches_only() -> None:
    torch.manual_seed(0)
    objective, encode = SimMIM(INFO, mask_size=8, mask_ratio=0.5), Records()
    images = torch.randn(2, 2, 3, 16, 16)
    batch = batch_of(images)
    terms = objective(batch, encode)
    blocks = encode.images.unflatten(3, (2, 8)).unflatten(5, (2, 8)).permute(0, 1, 3, 5, 2, 4, 6)
    originals = images.unflatten(3, (2, 8)).unflatten(5, (2, 8)).permute(0, 1, 3, 5, 2, 4, 6)
    learned = (blocks == objective.mask_token).flatten(4).all(4)
    kept = (blocks == originals).flatten(4).all(4)
    assert torch.equal(learned, ~kept) and (learned.flatten(2).sum(2) == 2).all()
    assert objective.bounds(batch, terms).collapsed == terms["constant"].item()


def test_constant_features_reach_the_constant_at_best() -> None:
    """Cells that are all the same paint one tile: what `constant` says, up to how the tile's pixels
    differ.
    """
    torch.manual_seed(0)
    objective, encode = SimMIM(INFO, mask_size=4), Records()
    images = torch.rand(8, 1, 3, 32, 32)
    optimiser = torch.optim.Adam(objective.parameters(), lr=0.02)
    for _ in range(150):
        optimiser.zero_grad()
        terms = objective(batch_of(images), encode)
        terms["loss"].backward()
        optimiser.step()
    assert terms["loss"].item() == pytest.approx(terms["constant"].item(), rel=0.05)


@pytest.mark.parametrize("options", [dict(), dict(normalise_target=True, loss="l2")])
@pytest.mark.parametrize("name", ["test_resnet", "vit"])
def test_learns_on_any_network(name: str, options: dict) -> None:
    torch.manual_seed(0)
    vit = dict(
        name="vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2
    )
    backbone = TimmBackbone(**(vit if name == "vit" else dict(name=name, output_stride=8)))
    objective = MODELS.build(dict(type="SimMIM", features=backbone.info, mask_size=16, **options))
    batch = batch_of(torch.randn(4, 1, 3, 32, 32))
    encode = BatchEncodings(batch, backbone, None)
    objective(batch, encode)["loss"].backward()
    assert len(encode.encoded("global")) == 1  # hooks have something to look at
    trained = [*backbone.named_parameters(), *objective.named_parameters()]
    assert [n for n, p in trained if p.grad is None or not p.grad.isfinite().all()] == []
    assert objective.mask_token.grad.abs().min() > 0


def test_learned_pixels_are_not_decayed() -> None:
    objective = SimMIM(INFO, mask_size=4)
    decayed = parameter_groups(objective, 0.05)[0]["params"]
    assert all(p is not objective.mask_token for p in decayed)


def test_illegal_options_and_sizes_are_named() -> None:
    for options, text in (
        (dict(mask_size=0), "mask_size=0"),
        (dict(mask_ratio=1.5), r"mask_ratio=1.5: must be within \(0, 1\]"),
        (dict(loss="l3"), "loss='l3' is not one of l1, l2"),
    ):
        with pytest.raises(ValueError, match=text):
            SimMIM(INFO, **options)
    with pytest.raises(ValueError, match="mask_size=32: views of 48×64 px"):
        SimMIM(INFO)(batch_of(torch.zeros(1, 1, 3, 48, 64)), Records())
    with pytest.raises(ValueError, match="stride 4 paints 4×4"):
        SimMIM(INFO, mask_size=3)(batch_of(torch.zeros(1, 1, 3, 6, 6)), Records())
