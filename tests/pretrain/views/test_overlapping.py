"""Views that overlap with others, and views that repeat others without photometrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pretrain.data.dealing import deal_views
from pretrain.views.crop import Crop
from pretrain.views.overlapping import Overlap, draw_overlapping, shared_area
from pretrain.views.recipe import Plan, ViewRecipe

JITTER = dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=1.0)
LARGE = dict(size=32, scale=(0.25, 1.0), jitter=JITTER)
SMALL = dict(size=16, scale=(0.05, 0.25))


def plans(recipe: ViewRecipe, count: int = 200) -> list[Plan]:
    rng = np.random.default_rng(0)
    return [recipe.plan(90, 120, rng) for _ in range(count)]


def test_necos_views_share_a_percent_of_the_image() -> None:
    globals_ = [dict(LARGE, overlap=dict(group="global", share=0.02))] * 2
    locals_ = [dict(SMALL, overlap=dict(group="global", share=0.01))] * 4
    free, moved = 0, 0
    for plan in plans(ViewRecipe({"local": locals_, "global": globals_})):
        one, two = (view.crop for view in plan.views["global"])
        assert shared_area(one, two) >= 0.02 * 90 * 120
        for view in plan.views["local"]:
            assert min(shared_area(view.crop, one), shared_area(view.crop, two)) >= 0.01 * 90 * 120
            inside = shared_area(view.crop, one) == view.crop.height * view.crop.width
            free, moved = free + (not inside), moved + inside
    assert free and moved  # neither clipped all nor left to chance


def test_pakas_views_lie_in_their_own_global_one() -> None:
    local = [
        dict(SMALL, overlap=dict(group="global", view=v, share=0.9, of="crop")) for v in (0, 1)
    ]
    for plan in plans(ViewRecipe({"global": [LARGE] * 2, "local": local})):
        for one, partner in zip(plan.views["local"], plan.views["global"], strict=True):
            area = one.crop.height * one.crop.width
            assert shared_area(one.crop, partner.crop) >= 0.9 * area


def test_the_stream_does_not_depend_on_what_was_redrawn() -> None:
    after = []
    for share in (0.001, 0.2, 1.0):
        locals_ = [dict(SMALL, overlap=dict(group="global", share=share))]
        rng = np.random.default_rng(3)
        plan = ViewRecipe({"global": [LARGE], "local": locals_}).plan(90, 120, rng)
        after.append((rng.random(), plan.views["global"][0].crop))
    assert after[0] == after[1] == after[2]


def test_without_luck_the_first_crop_is_moved_into_what_partners_share() -> None:
    partners = [Crop(0, 0, 50, 50), Crop(30, 20, 60, 100)]
    crops = iter([Crop(80, 90, 10, 40, flip=True)] + [Crop(85, 0, 5, 5)] * 19)
    overlap = Overlap(group="global", share=0.5)
    crop = draw_overlapping(overlap, partners, source=(90, 120), draw=lambda: next(crops))
    assert crop == Crop(40, 20, 10, 30, flip=True) and next(crops, None) is None
    apart = [Crop(0, 0, 10, 10), Crop(50, 50, 10, 10)]
    crop = draw_overlapping(overlap, apart, source=(90, 120), draw=lambda: Crop(80, 80, 4, 4))
    assert crop == Crop(6, 6, 4, 4)


def test_a_twin_repeats_crop_and_mirroring_and_draws_nothing() -> None:
    plain = {"global": [LARGE] * 2}
    twins = plain | {"clean": [dict(size=64, same_as=("global", 1))]}
    image = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    streams, views = [], []
    for groups in (plain, twins):
        recipe, rng = ViewRecipe(groups), np.random.default_rng(5)
        plan = recipe.plan(90, 120, rng)
        streams.append(rng.random())
        views.append(recipe.render(image, plan, photometrics=True))
    assert streams[0] == streams[1]
    clean, own = views[1]["clean"], views[1]["global"]
    assert torch.equal(own.images, views[0]["global"].images)
    assert torch.equal(clean.geometry[0], own.geometry[1])
    assert clean.images.shape == (1, 3, 64, 64)
    # Cut from the source, not from the small view: the decode is as large as the twin needs.
    small, large = (ViewRecipe(g).plan(900, 1200, np.random.default_rng(5)) for g in (plain, twins))
    assert large.min_decode_size > small.min_decode_size
    assert large.views["clean"][0].crop == large.views["global"][1].crop
    assert large.views["clean"][0].photometric.brightness == 1
    # Of a view without photometrics it has the very pixels.
    bare = ViewRecipe({"a": [dict(size=32)], "b": [dict(size=32, same_as=("a", 0))]})
    same = bare.render(image, bare.plan(90, 120, np.random.default_rng(2)))
    assert torch.equal(same["a"].images, same["b"].images)


def test_twins_and_partners_come_from_the_same_source_image() -> None:
    groups = {
        "global": [LARGE] * 2,
        "clean": [dict(size=32, same_as=("global", 1)), dict(size=32, same_as=("global", 0))],
        "local": [dict(SMALL, overlap=dict(group="global", share=0.1))] * 3,
    }
    first, second = deal_views(ViewRecipe(groups), 2)
    assert first.places == {"global": (0,), "clean": (1,), "local": (0, 2)}
    assert second.places == {"global": (1,), "clean": (0,), "local": (1,)}
    assert second.recipe.specs["clean"][0].same_as == ("global", 0)
    named = groups | {"local": [dict(SMALL, overlap=dict(group="global", view=1, share=0.1))]}
    with pytest.raises(ValueError, match="cut from another source image"):
        deal_views(ViewRecipe(named), 2)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"a": [dict(size=8, same_as=("b", 0))]}, r"same_as=\('b', 0\): must be a view that is no"),
        (
            {"a": [LARGE], "b": [dict(size=8, same_as=("a", 0), flip=0.0)]},
            "flip=0.0: a view with same_as=.* has a size alone",
        ),
        (
            {"a": [dict(LARGE, overlap=dict(group="b", share=0.1))]},
            "must name upright views that do not depend",
        ),
        (
            {
                "a": [dict(LARGE, overlap=dict(group="b", share=0.1))],
                "b": [dict(LARGE, overlap=dict(group="a", share=0.1))],
            },
            r"groups\['a'\]\[0\].*do not depend on this group",
        ),
        ({"a": [dict(LARGE, overlap=dict(group="a", share=0))]}, "overlap.share=0: must be within"),
        (
            {"a": [dict(LARGE, rotation=5.0, overlap=dict(group="a", share=0.1))]},
            "overlap: not of a view that is turned",
        ),
        ({"a": [dict(LARGE, overlap=dict(grop="a", share=0.1))]}, "did you mean 'group'"),
    ],
)
def test_mistakes_are_named(groups: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ViewRecipe(groups)
