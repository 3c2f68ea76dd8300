"""Learned joint bilateral upsampling against a slow re-implementation, and its properties."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from heads.upsamplers.jbu import JBULevel, JBUStack, prime_factors


def composed(level: JBULevel, maps: Tensor, guidance: Tensor) -> Tensor:
    """A level in separate steps, as the paper's code takes them: two kernels, a division, a resize,
    an unfold.
    """
    radius, size = level.radius, 2 * level.radius + 1
    keys = level.range_proj(guidance)
    around = F.unfold(F.pad(keys, (radius,) * 4, mode="reflect"), size).unflatten(2, keys.shape[2:])
    logits = (keys[:, :, None] * around.unflatten(1, (keys.shape[1], -1))).sum(1)
    range_kernel = (level.range_temp.exp().clamp(1e-4, 1e4) * logits).softmax(1)
    u = torch.linspace(-1, 1, size, dtype=keys.dtype)
    spatial = torch.exp(-(u[:, None] ** 2 + u**2) / (2 * level.sigma_spatial**2)).flatten()
    kernel = range_kernel * spatial[:, None, None]
    kernel = kernel / kernel.sum(1, keepdim=True).clamp(1e-7)
    kernel = kernel + 0.1 * level.fixup_proj(torch.cat([kernel, guidance], 1))
    source = F.interpolate(maps, size=guidance.shape[2:], mode="bicubic", align_corners=False)
    windows = F.unfold(F.pad(source, (radius,) * 4, mode="reflect"), size).unflatten(
        2, guidance.shape[2:]
    )
    return (windows.unflatten(1, (maps.shape[1], -1)) * kernel[:, None]).sum(2)


def without_fixup(module: nn.Module) -> nn.Module:
    for level in module.modules():
        if isinstance(level, JBULevel):
            nn.init.zeros_(level.fixup_proj[3].weight)
            nn.init.zeros_(level.fixup_proj[3].bias)
    return module.eval()


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    "factor, grid", [(2, (5, 4)), (2, (2, 3)), (3, (4, 2)), (7, (2, 1)), (1, (5, 6))]
)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_fused_equals_composed(
    factor: int, grid: tuple[int, int], dtype: torch.dtype, tolerance: float
) -> None:
    level = JBULevel(factor).to(dtype).eval()
    nn.init.normal_(level.range_temp, 0.5, 0.1)
    nn.init.normal_(level.sigma_spatial, 0.7, 0.1)
    maps = torch.randn(2, 5, *grid, dtype=dtype)
    guidance = torch.randn(2, 3, grid[0] * factor, grid[1] * factor, dtype=dtype)
    expected = composed(level, maps, guidance)
    assert (level(maps, guidance) - expected).abs().max() <= tolerance * expected.abs().max()


def test_parameters_are_counted_and_initialised_as_published() -> None:
    count = {c: sum(p.numel() for p in JBUStack(c).parameters()) for c in (384, 512)}
    assert count == {384: 172_772, 512: 287_588}
    level = JBUStack(8).up1
    assert sum(p.numel() for p in level.parameters()) == 6_233
    assert level.range_temp == 0 and level.sigma_spatial == 1
    assert JBUStack(8, norm=True).state_dict().keys() - JBUStack(8).state_dict().keys() == {
        "norm.weight",
        "norm.bias",
    }


@pytest.mark.parametrize(
    "factor, primes", [(16, (2, 2, 2, 2)), (14, (2, 7)), (8, (2, 2, 2)), (6, (2, 3)), (5, (5,))]
)
def test_any_factor_and_any_output_size(factor: int, primes: tuple[int, ...]) -> None:
    assert prime_factors(factor) == primes
    up = JBUStack(4, factor).eval()
    image, features = torch.randn(1, 3, 2 * factor, 3 * factor), torch.randn(1, 4, 2, 3)
    reached = up(image, features, image.shape[-2:])
    assert reached.shape == (1, 4, 2 * factor, 3 * factor)
    resized = F.interpolate(reached, size=(17, 9), mode="bilinear", align_corners=False)
    torch.testing.assert_close(up(image, features, (17, 9)), resized)
    assert up(image[..., 1:, :-2], features, (40, 40)).shape == (
        1,
        4,
        40,
        40,
    )  # sizes that no factor divides


def test_the_stack_chains_its_levels_and_mixes_channels_last() -> None:
    up = JBUStack(5, 4).double().eval()
    image, maps = torch.randn(2, 3, 16, 24).double(), torch.randn(2, 5, 4, 6).double()
    middle = composed(up.up1, maps, F.adaptive_avg_pool2d(image, (8, 12)))
    late = composed(up.up2, middle, image)
    torch.testing.assert_close(up(image, maps, (16, 24)), late + 0.1 * up.fixup_proj(late))


@pytest.mark.parametrize("norm", [False, True])
def test_weights_and_finish_give_the_same_as_one_call(norm: bool) -> None:
    up = MODELS.build(JBUStack(5, 6, norm=norm).config).eval()
    image, features = torch.randn(2, 3, 18, 24), torch.randn(2, 5, 3, 4)
    weights = up.filters(image, (3, 4), (18, 24))
    assert [tuple(w.shape[:3]) for w in weights] == [(2, 6, 8), (2, 18, 24)]
    assert torch.equal(up.finish(weights, features, (18, 24)), up(image, features, (18, 24)))
    assert up.foldable is not norm


def test_a_read_out_can_be_folded_unless_features_are_normalised() -> None:
    up, size = JBUStack(5, 4).double().eval(), (20, 21)
    image, features = torch.randn(2, 3, 16, 24).double(), torch.randn(2, 5, 4, 6).double()
    weight, bias = torch.randn(3, 5).double(), torch.randn(3).double()
    late = torch.einsum("kc,bchw->bkhw", weight, up(image, features, size)) + bias[:, None, None]
    folded, rest = up.fold(weight, bias)
    few = torch.einsum("kc,bchw->bkhw", folded, features)
    early = up.spread(up.filters(image, (4, 6), size), few, size) + rest[:, None, None]
    torch.testing.assert_close(early, late)
    with pytest.raises(ValueError, match="normalises features first"):
        JBUStack(5, 4, norm=True).fold(weight, bias)


def test_layer_norm_comes_first_and_over_channels() -> None:
    plain, normed = JBUStack(5, 2).eval(), JBUStack(5, 2, norm=True).eval()
    normed.load_state_dict(plain.state_dict(), strict=False)
    image, features = torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)
    rows = F.layer_norm(features.permute(0, 2, 3, 1), (5,)).permute(0, 3, 1, 2)
    torch.testing.assert_close(normed(image, features, (8, 8)), plain(image, rows, (8, 8)))


# Properties of the method; constants, blur and resize hold without the fix-up, which need not keep
# sums.


def test_constant_features_stay_constant_under_any_guidance() -> None:
    up = without_fixup(JBUStack(3, 6))
    nn.init.zeros_(up.fixup_proj[1].weight)
    nn.init.zeros_(up.fixup_proj[1].bias)
    constant = torch.tensor([1.0, -2, 3]).view(1, 3, 1, 1)
    out = up(5 * torch.randn(2, 3, 18, 24), constant.expand(2, 3, 3, 4), (18, 24))
    torch.testing.assert_close(out, constant.expand(2, 3, 18, 24), atol=1e-5, rtol=0)


def test_linear_in_features_and_blind_to_their_order() -> None:
    up = JBUStack(4, 4).double().eval()
    nn.init.zeros_(up.fixup_proj[1].bias)
    image, one, two = torch.randn(1, 3, 12, 16).double(), *torch.randn(2, 1, 4, 3, 4).double()
    separate = 2 * up(image, one, (12, 16)) - 3 * up(image, two, (12, 16))
    torch.testing.assert_close(up(image, 2 * one - 3 * two, (12, 16)), separate)
    nn.init.zeros_(up.fixup_proj[1].weight)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        up(image, one[:, order], (12, 16)), up(image, one, (12, 16))[:, order]
    )


def test_low_temperature_blurs_and_narrow_sigma_resizes() -> None:
    level = without_fixup(JBULevel()).double()
    maps, guidance = torch.randn(1, 2, 4, 5).double(), torch.randn(1, 3, 8, 10).double()
    source = F.interpolate(maps, size=(8, 10), mode="bicubic", align_corners=False)
    u = torch.linspace(-1, 1, 7).double()
    spatial = torch.exp(-(u[:, None] ** 2 + u**2) / 2)
    kernel = (spatial / spatial.sum()).expand(2, 1, 7, 7)
    blurred = F.conv2d(F.pad(source, (3,) * 4, mode="reflect"), kernel, groups=2)
    nn.init.constant_(level.range_temp, -50.0)
    # e^ρ is clamped at 1e-4: logits of order 1 still move weights by as much.
    torch.testing.assert_close(level(maps, guidance), blurred, atol=1e-3, rtol=0)
    for sigma in (0.01, 0.0, -0.01):
        nn.init.constant_(level.sigma_spatial, sigma)
        torch.testing.assert_close(level(maps, guidance), source)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float16, 2e-3), (torch.bfloat16, 1e-2)])
def test_half_precision_modules_and_autocast(dtype: torch.dtype, tolerance: float) -> None:
    level, other = JBULevel().double().eval(), JBULevel().to(dtype).eval()
    level.load_state_dict({k: v.to(dtype).double() for k, v in level.state_dict().items()})
    other.load_state_dict(level.state_dict())
    maps, guidance = torch.randn(2, 8, 4, 5).to(dtype), torch.randn(2, 3, 8, 10).to(dtype)
    exact = level(maps.double(), guidance.double())
    found = other(maps, guidance)
    assert found.dtype == dtype
    assert (found.double() - exact).abs().max() <= tolerance * exact.abs().max()
    stack = JBUStack(8, 4)
    image, features = torch.randn(2, 3, 16, 20), torch.randn(2, 8, 4, 5, requires_grad=True)
    with torch.autocast("cpu", dtype=dtype):
        out = stack(image, features, (16, 20))
    assert out.dtype == torch.float32
    out.sum().backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all() for p in (features, *stack.parameters())
    )


def test_the_bias_follows_maps_that_autocast_made_half() -> None:
    """On a GPU the first level gives half precision, the bias is a float32 parameter."""
    up, image = JBUStack(8, 4).eval(), torch.randn(1, 3, 16, 20)
    weights, bias = up.filters(image, (4, 5), (16, 20)), torch.randn(8)
    maps = torch.randn(1, 8, 4, 5).bfloat16()
    found = up.spread(weights, maps, (16, 20), bias)
    assert found.dtype == torch.bfloat16
    exact = up.spread(weights, maps.float(), (16, 20), bias)
    torch.testing.assert_close(found.float(), exact, atol=0.1, rtol=0.05)


def test_measuring_first_does_not_spoil_training() -> None:
    """What is kept of a size must not be a tensor of inference mode."""
    up = JBUStack(2, 2, radius=1, key_dim=4).double()
    image, features = torch.randn(1, 3, 22, 26).double(), torch.randn(1, 2, 11, 13).double()
    with torch.inference_mode():
        up(image, features, (22, 26))
    up(image, features, (22, 26)).sum().backward()
    assert up.up1.sigma_spatial.grad is not None


def test_dropout_only_in_training() -> None:
    up = JBUStack(64, 2)
    image, features = torch.randn(4, 3, 8, 8), torch.randn(4, 64, 4, 4)
    assert not torch.equal(
        up.filters(image, (4, 4), (8, 8))[0], up.filters(image, (4, 4), (8, 8))[0]
    )
    assert not torch.equal(up.mix(features), up.mix(features))
    up.eval()
    assert torch.equal(up(image, features, (8, 8)), up(image, features, (8, 8)))
    matrix, _ = up.channel_map()
    torch.testing.assert_close(up.mix(features), F.conv2d(features, matrix[..., None, None]))


def test_every_parameter_learns() -> None:
    up = JBUStack(4, 6, norm=True)
    up(torch.randn(2, 3, 12, 18), torch.randn(2, 4, 2, 3), (12, 18)).square().sum().backward()
    assert all(
        p.grad.abs().sum() > 0 for name, p in up.named_parameters() if not name.startswith("norm.")
    )
    # 1 and 0 for good, as in FeatUp's script.
    assert up.norm.weight.grad is None and up.norm.bias.grad is None


def test_upsampled_features_have_a_reference_on_their_own_grid() -> None:
    plain, normed, features = JBUStack(5, 2), JBUStack(5, 2, norm=True), 3 + torch.randn(1, 5, 4, 4)
    assert plain.reference(features) is features and not plain.normalises
    reference = normed.reference(features)
    assert normed.normalises and reference.mean(1).abs().max() < 1e-5
    torch.testing.assert_close(reference, F.layer_norm(features.movedim(1, 3), (5,)).movedim(3, 1))


@pytest.mark.parametrize("factor", [2, 3])
def test_gradcheck_of_a_whole_level(factor: int) -> None:
    level = JBULevel(factor, radius=1, key_dim=4).double().eval()
    names, values = zip(*level.named_parameters(), strict=True)
    maps = torch.randn(1, 2, 2, 3).double().requires_grad_()
    guidance = torch.randn(1, 3, 2 * factor, 3 * factor).double().requires_grad_()

    def run(maps: Tensor, guidance: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(
            level, dict(zip(names, parameters, strict=True)), (maps, guidance)
        )

    assert torch.autograd.gradcheck(run, (maps, guidance, *values))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: JBUStack(0), "channels=0 must be at least 1"),
        (lambda: JBUStack(4, radius=6), "radius=6 must be at most 5"),
        (lambda: JBUStack(4, 1), "factor=1 must be an integer of at least 2"),
        (
            lambda: JBUStack(4)(torch.zeros(1, 3, 64, 64), torch.zeros(1, 5, 4, 4), (64, 64)),
            "features must be",
        ),
        (
            lambda: JBUStack(4)(torch.zeros(1, 3, 16, 64), torch.zeros(1, 4, 1, 4), (64, 64)),
            "must exceed radius=3",
        ),
    ],
)
def test_errors_name_the_argument(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
