"""Labels carried by similarity: the specification's vectors, the obvious way, and properties."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.frozen.video import propagation
from benchmarks.frozen.video.propagation import Context, Rule, carry, stretched, to_mask

GRID = (3, 4)
LABELS = [[0.111023, 0.559928, 0.718954, 0.605887], [0.155979, 0.616787, 0.642547, 0.946442]]
LABELS += [[0.602429, 0.260937, 0.7067, 0.99962]]


def vector_features(t: int) -> Tensor:
    i, j = torch.meshgrid(torch.arange(3.0), torch.arange(4.0), indexing="ij")
    angle = (0.7 * i + 1.1 * j * (1 + 0.1 * t) + 0.3 * t + 0.05 * i * j).double()
    return torch.stack([angle.cos(), angle.sin()])


@pytest.fixture
def carried() -> Tensor:
    """(2, 3, 4): labels of the vectors' third frame."""
    i, j = torch.meshgrid(torch.arange(3), torch.arange(4), indexing="ij")
    objects = (j >= 2).double(), ((i + j) % 3).double() / 2
    labels = [torch.stack([1 - object_, object_]) for object_ in objects]
    context = Context(vector_features(0), labels[0], last=7)
    context.add(vector_features(1), labels[1])
    return carry(vector_features(2), context, Rule(neighbours=3, temperature=0.1, radius=1))


def test_labels_of_the_vectors(carried: Tensor) -> None:
    """DINO's own function gave these numbers."""
    torch.testing.assert_close(carried[1], torch.tensor(LABELS).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(carried.sum(0), torch.ones(GRID).double())


def test_masks_of_the_vectors(carried: Tensor) -> None:
    row = stretched(carried)[1, 0]
    assert row.tolist() == pytest.approx([0, 0.505184, 0.684147, 0.556906], abs=1e-6)
    mask = to_mask(carried, GRID, stretch=True)
    assert mask.tolist() == [[0, 1, 1, 1], [0, 1, 1, 1], [1, 0, 1, 1]]
    masks = [to_mask(carried, (6, 8), stretch=stretch) for stretch in (True, False)]
    assert (masks[0] != masks[1]).sum() == 1


def test_a_constant_channel_stays_as_it_is() -> None:
    labels = torch.stack([torch.ones(2, 2), torch.zeros(2, 2), torch.eye(2) / 2])
    assert torch.equal(stretched(labels), torch.stack([*labels[:2], torch.eye(2)]))


def by_loops(query: Tensor, frames: list[Tensor], labels: list[Tensor], rule: Rule) -> Tensor:
    """The formula, cell by cell."""
    height, width = query.shape[1:]
    carried = torch.zeros(len(labels[0]), height, width, dtype=query.dtype)
    for row in range(height):
        for column in range(width):
            compared = []
            for frame, (features, label) in enumerate(zip(frames, labels, strict=True)):
                for i in range(height):
                    for j in range(width):
                        down, right = abs(i - row), abs(j - column)
                        near = max(down, right) <= rule.radius
                        if rule.shape == "disc":
                            near = down**2 + right**2 < rule.radius**2
                        if near or (rule.first_everywhere and frame == 0):
                            cosine = query[:, row, column] @ features[:, i, j]
                            compared.append((float(cosine), label[:, i, j]))
            compared.sort(key=lambda one: -one[0])
            last = compared[: rule.neighbours][-1][0]
            kept = compared[: rule.neighbours]
            if rule.ties:
                kept = [one for one in compared if one[0] >= last - 1e-12]
            weights = (
                torch.tensor([one[0] for one in kept], dtype=query.dtype)
                .div(rule.temperature)
                .exp()
            )
            carried[:, row, column] = sum(
                weight * one[1] for weight, one in zip(weights / weights.sum(), kept, strict=True)
            )
    return carried


@pytest.mark.parametrize(("last", "seen"), [(0, [0]), (2, [0, 3, 4]), (6, [0, 0, 0, 1, 2, 3, 4])])
@pytest.mark.parametrize(
    "rule",
    [
        Rule(neighbours=4, temperature=0.1, radius=2),
        Rule(neighbours=4, temperature=0.2, radius=3, shape="disc"),
        Rule(
            neighbours=9,
            temperature=0.05,
            radius=2,
            shape="disc",
            first_everywhere=True,
            ties=False,
        ),
        Rule(neighbours=10_000, temperature=0.5, radius=1),
    ],
)
def test_carrying_equals_the_obvious_way(
    rule: Rule, last: int, seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiles of 3 cells cover 5 x 7 in part; of five frames the context keeps frame 0 and the last
    ones, and copies of frame 0 where there are fewer.
    """
    monkeypatch.setitem(propagation.TILE, "cpu", 3)
    generator = torch.Generator().manual_seed(0)
    features = F.normalize(torch.randn(6, 4, 5, 7, generator=generator).double(), dim=1)
    # sums of such products are exact, so that copies are equal to the last bit
    features = (1024 * features).round() / 1024
    labels = torch.rand(5, 3, 5, 7, generator=generator).double()
    context = Context(features[0], labels[0], last=last, copies=last == 6)
    for frame in range(1, 5):
        context.add(features[frame], labels[frame])
    assert context.frames == len(seen)
    expected = by_loops(features[5], [features[t] for t in seen], [labels[t] for t in seen], rule)
    torch.testing.assert_close(carry(features[5], context, rule), expected)


def test_a_copy_of_the_first_frame_returns_its_mask() -> None:
    generator = torch.Generator().manual_seed(1)
    features = F.normalize(torch.randn(8, 9, 10, generator=generator), dim=0)
    mask = torch.randint(0, 3, (9, 10), generator=generator)
    labels = F.one_hot(mask, 3).movedim(-1, 0).float()
    rule = Rule(neighbours=1, temperature=0.1, radius=12)
    again = carry(features, Context(features, labels, last=1), rule)
    assert torch.equal(again.argmax(0), mask)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(shape="circle"), "shape='circle' is not one of square, disc"),
        (dict(radius=0), "radius=0 must be greater than 0"),
        (dict(temperature=0), "temperature=0 must be greater than 0"),
    ],
)
def test_mistakes_are_named(change: dict[str, object], message: str) -> None:
    make: Callable[..., Rule] = Rule
    with pytest.raises(ValueError, match=message):
        make(**(dict(neighbours=1, temperature=0.1, radius=1) | change))
