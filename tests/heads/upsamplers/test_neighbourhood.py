"""The encoder-independent upsampler against a loop over pixels, and what its filters promise."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from heads.upsamplers.guidance_encoder import rotate
from heads.upsamplers.neighbourhood import NeighbourhoodUpsampler
from heads.upsamplers.neighbourhood_filters import neighbourhood_filters

pytestmark = pytest.mark.filterwarnings("ignore:feature upsampling runs without compiled operators")


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def small(**options: int) -> NeighbourhoodUpsampler:
    """A small one whose heads differ."""
    up = NeighbourhoodUpsampler(**(dict(dim=16, heads=2, window=3, depth=1) | options))
    with torch.no_grad():
        up.log_scale.add_(torch.randn(up.heads))
        up.log_sigma.add_(0.3 * torch.randn(up.heads))
    return up


def turned(vector: Tensor, row: float, column: float) -> Tensor:
    """Rotary embedding of one vector (d,), pair by pair."""
    quarter, result = len(vector) // 4, vector.clone()
    for axis, position in enumerate((row, column)):
        for j in range(quarter):
            angle = position * math.pi / 3 * 3 ** (-j / max(quarter - 1, 1))
            a, b = 2 * axis * quarter + j, (2 * axis + 1) * quarter + j
            result[a] = vector[a] * math.cos(angle) - vector[b] * math.sin(angle)
            result[b] = vector[a] * math.sin(angle) + vector[b] * math.cos(angle)
    return result


def slowly(up: NeighbourhoodUpsampler, image: Tensor, features: Tensor, factor: int) -> Tensor:
    """Every pixel for itself; the image already has the size f·grid."""
    encoded = up.encoder(image)
    batch, _, height, width = features.shape
    out, reach = (
        torch.zeros(*features.shape[:2], *image.shape[2:], dtype=features.dtype),
        up.window // 2,
    )
    for b in range(batch):
        for y in range(image.shape[2]):
            for x in range(image.shape[3]):
                cells = [(m, n) for m in range(height) for n in range(width)]
                cells = [
                    c
                    for c in cells
                    if abs(c[0] - y // factor) <= reach and abs(c[1] - x // factor) <= reach
                ]
                for head, part in enumerate(encoded[b].chunk(up.heads)):
                    place = (y + 0.5) / factor, (x + 0.5) / factor
                    query = turned(F.normalize(part[:, y, x], dim=0), *place)
                    logits = []
                    for m, n in cells:
                        cell = part[
                            :, m * factor : (m + 1) * factor, n * factor : (n + 1) * factor
                        ].mean((1, 2))
                        key = turned(F.normalize(cell, dim=0), m + 0.5, n + 0.5)
                        distance = (place[0] - m - 0.5) ** 2 + (place[1] - n - 0.5) ** 2
                        sigma = up.log_sigma[head].exp()
                        logits.append(
                            up.log_scale[head].exp() * (query @ key) - distance / (2 * sigma**2)
                        )
                    for weight, (m, n) in zip(torch.stack(logits).softmax(0), cells, strict=True):
                        out[b, :, y, x] += weight / up.heads * features[b, :, m, n]
    return out


@pytest.mark.parametrize(
    "factor, grid, window", [(2, (3, 2), 3), (3, (2, 1), 5), (1, (3, 2), 3), (2, (2, 2), 1)]
)
def test_equals_a_loop_over_pixels(factor: int, grid: tuple[int, int], window: int) -> None:
    up = small(window=window).double()
    size = grid[0] * factor, grid[1] * factor
    image, features = torch.randn(2, 3, *size).double(), torch.randn(2, 3, *grid).double()
    with torch.no_grad():
        expected = slowly(up, image, features, factor)
    torch.testing.assert_close(up(image, features, size).detach(), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("size", [(12, 20), (13, 19), (5, 7), (3, 4), (40, 9)])
@pytest.mark.parametrize("sides", [(24, 40), (17, 23)])
def test_any_size_and_constants(size: tuple[int, int], sides: tuple[int, int]) -> None:
    up, image = small(), torch.randn(2, 3, *sides)
    features = torch.tensor([1.0, -2.0, 30.0]).view(1, 3, 1, 1).expand(2, 3, 3, 5)
    found = up(image, features, size)
    torch.testing.assert_close(found, features[..., :1, :1].expand(2, 3, *size))


def test_filters_are_means_of_cells_inside_the_grid() -> None:
    filters = small(window=5).filters(torch.randn(1, 3, 12, 16), (3, 4), (12, 16))[0]
    assert filters.shape == (1, 12, 16, 5, 5) and filters.min() >= 0
    torch.testing.assert_close(filters.sum((3, 4)), torch.ones(1, 12, 16))
    for y in range(12):
        for tap in range(5):
            inside = 0 <= y // 4 + tap - 2 < 3
            assert bool(filters[0, y, :, tap].any()) == inside
    assert not filters[0, :, 0, :, :2].any() and filters[0, :, 0, :, 2:].sum() > 11.9


def test_linear_in_features_and_blind_to_the_order_of_channels() -> None:
    up, image = small(), torch.randn(2, 3, 12, 16)
    first, second = torch.randn(2, 2, 7, 3, 4)
    both = up(image, 2 * first - 3 * second, (12, 16))
    torch.testing.assert_close(
        both, 2 * up(image, first, (12, 16)) - 3 * up(image, second, (12, 16))
    )
    order = torch.randperm(7)
    torch.testing.assert_close(
        up(image, first[:, order], (12, 16)), up(image, first, (12, 16))[:, order]
    )


@pytest.mark.parametrize("size", [(12, 16), (10, 15)])
def test_a_read_out_can_be_folded(size: tuple[int, int]) -> None:
    up, image, features = small(), torch.randn(2, 3, 12, 16), torch.randn(2, 7, 3, 4)
    weight, bias = torch.randn(5, 7), torch.randn(5)
    late = torch.einsum("kc,bchw->bkhw", weight, up(image, features, size)) + bias[:, None, None]
    folded, rest = up.fold(weight, bias)
    early = up.spread(
        up.filters(image, (3, 4), size), torch.einsum("kc,bchw->bkhw", folded, features), size
    )
    torch.testing.assert_close(early + rest[:, None, None], late)


def test_bands_change_nothing() -> None:
    whole, image, features = (
        small().double(),
        torch.randn(2, 3, 20, 12).double(),
        torch.randn(2, 4, 5, 3).double(),
    )
    banded = small(budget=1).double()
    banded.load_state_dict(whole.state_dict())
    expected = whole(image, features, (20, 12))
    torch.testing.assert_close(banded(image, features, (20, 12)), expected)  # with gradients
    with torch.no_grad():
        for up in (whole, banded):
            torch.testing.assert_close(up(image, features, (20, 12)), expected)
    gradients = [
        torch.autograd.grad(up(image, features, (20, 12)).square().sum(), list(up.parameters()))
        for up in (whole, banded)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients() -> None:
    queries, keys = torch.randn(1, 2, 4, 4, 2).double(), torch.randn(1, 2, 4, 2, 1).double()
    sigma = torch.tensor([0.5, 0.9]).double()

    def filters(*arguments: Tensor) -> Tensor:
        return torch.cat(
            [band for _, band in neighbourhood_filters(*arguments, window=3, factor=2, budget=1)], 1
        )

    assert torch.autograd.gradcheck(filters, [x.requires_grad_() for x in (queries, keys, sigma)])
    up, image, features = (
        small(dim=8, window=3).double(),
        torch.randn(1, 3, 4, 4).double(),
        torch.randn(1, 2, 2, 2),
    )
    arguments = image.requires_grad_(), features.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, f: up(x, f, (4, 4)), arguments)


def test_rotation_keeps_lengths_and_sees_only_distances() -> None:
    x, y = torch.randn(2, 8, 1, 1).double().expand(2, 8, 6, 6)
    x, y = rotate(x, 0.5), rotate(y, 0.5)
    torch.testing.assert_close(x.norm(dim=0), x[:, :1, :1].norm(dim=0).expand(6, 6))
    torch.testing.assert_close(x[:, 1, 2] @ y[:, 3, 1], x[:, 2, 4] @ y[:, 4, 3])
    assert not torch.isclose(x[:, 1, 2] @ y[:, 3, 1], x[:, 1, 2] @ y[:, 1, 2])


def test_untrained_on_a_flat_image_its_kernel_is_as_wide_as_bilinear() -> None:
    filters = NeighbourhoodUpsampler().filters(torch.zeros(1, 3, 88, 88), (11, 11), (88, 88))[0]
    along = filters[0, 40:48, 44].sum(-1)  # the pixels of the cell in the middle, by taps in rows
    distance = torch.arange(-4, 5) - ((torch.arange(8) + 0.5) / 8 - 0.5)[:, None]
    width = (along * distance**2).sum(-1).mean().sqrt()
    assert 0.3 < width < 0.55  # of bilinear: √(1/6) = 0.41


def test_learns_to_put_an_edge_where_the_image_has_it() -> None:
    """Features are constant on two sides of an edge, known as means over cells; the image shows the
    edge.
    """

    def scene(count: int) -> tuple[Tensor, Tensor]:
        normal, place = torch.rand(count, 1, 1) * 6.3, torch.rand(count, 1, 1) * 12 - 6
        y, x = torch.meshgrid(torch.arange(24) - 11.5, torch.arange(24) - 11.5, indexing="ij")
        side = (y * normal.sin() + x * normal.cos() > place).float()[:, None]
        colours, codes = (torch.randn(2, count, c, 1, 1) for c in (3, 5))
        image, features = (v[0] * side + v[1] * (1 - side) for v in (colours, codes))
        return image + 0.1 * torch.randn_like(image), features

    up, (image, wanted) = NeighbourhoodUpsampler(dim=16, heads=2, window=3), scene(24)
    pooled = F.avg_pool2d(wanted, 8)
    bilinear = F.mse_loss(F.interpolate(pooled, scale_factor=8, mode="bilinear"), wanted)
    optimiser = torch.optim.Adam(up.parameters(), 3e-3)
    for _ in range(100):
        guide, truth = scene(4)
        loss = F.mse_loss(up(guide, F.avg_pool2d(truth, 8), (24, 24)), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        error = F.mse_loss(up(image, pooled, (24, 24)), wanted)
    assert error < 0.4 * bilinear


def test_same_weights_whatever_the_width_and_precision_of_features() -> None:
    up, image = small(), torch.randn(1, 3, 8, 8)
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        features = torch.randn(1, 6, 2, 2).to(dtype)
        found = up(image, features, (8, 8))
        assert found.dtype == dtype
        torch.testing.assert_close(
            found.float(), up(image, features.float(), (8, 8)), atol=2e-2, rtol=0
        )


def test_built_again_from_its_config_it_does_the_same() -> None:
    up, image, features = small(), torch.randn(1, 3, 8, 8), torch.randn(1, 6, 2, 2)
    again = MODELS.build(up.config)
    again.load_state_dict(up.state_dict())
    assert torch.equal(up(image, features, (8, 8)), again(image, features, (8, 8)))
    assert sum(p.numel() for p in NeighbourhoodUpsampler().parameters()) < 1e6


def test_options_that_do_not_fit_are_named() -> None:
    for options, message in (
        (dict(dim=20, heads=4), "dim=20: must be a multiple of 4 · heads = 16"),
        (dict(window=4), "window=4: must be odd"),
        (dict(depth=-1), "depth=-1"),
    ):
        with pytest.raises(ValueError, match=message):
            NeighbourhoodUpsampler(**options)


def test_export() -> None:
    class Call(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = small(budget=1000).eval()

        def forward(self, image: Tensor, features: Tensor) -> Tensor:
            return self.up.upsample(image, features, (12, 16))

    module, arguments = Call(), (torch.randn(1, 3, 12, 16), torch.randn(1, 5, 3, 4))
    with torch.no_grad():
        exported = torch.export.export(module, arguments).module()
        torch.testing.assert_close(exported(*arguments), module(*arguments))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_same_on_a_gpu() -> None:
    up, image, features = small(window=5), torch.randn(2, 3, 24, 32), torch.randn(2, 7, 3, 4)
    expected = up(image, features, (24, 32))
    expected.square().mean().backward()
    gradients = [p.grad.clone() for p in up.parameters()]
    up.zero_grad()
    up.cuda()
    found = up(image.cuda(), features.cuda(), (24, 32))
    torch.testing.assert_close(
        found.cpu(), expected, atol=1e-3, rtol=1e-3
    )  # convolutions may run in TF32
    found.square().mean().backward()
    for parameter, gradient in zip(up.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad.cpu(), gradient, atol=1e-3, rtol=2e-2)
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
        half = up(image.cuda(), features.cuda(), (24, 32))
    torch.testing.assert_close(half.cpu().float(), expected, atol=0.1, rtol=0.1)
