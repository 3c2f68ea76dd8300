"""Recipes: validation, plans, rendering, and the recipes that ship."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import TRANSFORMS

from pretrain import geometry
from pretrain.views.photometric_cv2 import apply_cv2
from pretrain.views.recipe import ViewRecipe, ViewSpec

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "_base_"
JITTER = dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)
TWO = {
    "global": [
        dict(size=32, jitter=JITTER, grey=0.3),
        dict(size=32, jitter=JITTER, blur=dict(p=0.5)),
    ]
}


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_render_gives_views_with_their_geometry_and_parameters() -> None:
    recipe = ViewRecipe(TWO | {"context": [dict(size=(16, 24))] * 3})
    assert recipe.groups == ("global", "context")
    plan = recipe.plan(60, 80, np.random.default_rng(0))
    views = recipe.render(noise(60, 80), plan)
    assert views["global"].images.shape == (2, 3, 32, 32) and views["context"].images.shape == (
        3,
        3,
        16,
        24,
    )
    for name, group in views.items():
        count = len(recipe.specs[name])
        assert group.images.dtype == torch.uint8 and group.images.is_contiguous()
        assert group.geometry.shape == (count, 2, 3) and group.geometry.dtype == torch.float64
        assert group.photometric.order.shape == (count, 4) and group.photometric.grey.shape == (
            count,
        )
        for maps, planned in zip(group.geometry, plan.views[name], strict=True):
            crop = planned.crop
            box = [
                crop.left / 80,
                crop.top / 60,
                (crop.left + crop.width) / 80,
                (crop.top + crop.height) / 60,
            ]
            if crop.flip:
                box[0], box[2] = box[2], box[0]
            torch.testing.assert_close(
                maps, geometry.from_box(torch.tensor(box, dtype=torch.float64))
            )


def test_executors_share_pixels_and_geometry_exactly() -> None:
    recipe, image = ViewRecipe(TWO), noise(60, 80)
    for seed in range(10):
        plan = recipe.plan(60, 80, np.random.default_rng(seed))
        device, workers = (
            recipe.render(image, plan)["global"],
            recipe.render(image, plan, photometrics=True)["global"],
        )
        assert torch.equal(device.geometry, workers.geometry)
        assert workers.photometric is None
        for view, raw, done in zip(
            plan.views["global"], device.images, workers.images, strict=True
        ):
            expected = apply_cv2(
                np.ascontiguousarray(raw.permute(1, 2, 0).numpy()), view.photometric
            )
            assert np.array_equal(done.permute(1, 2, 0).numpy(), expected)


def test_plan_depends_on_the_generator_alone() -> None:
    recipe = ViewRecipe(TWO)
    a, b, c = (recipe.plan(60, 80, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert [v.crop for v in a.views["global"]] == [v.crop for v in b.views["global"]]
    assert [v.crop for v in a.views["global"]] != [v.crop for v in c.views["global"]]
    assert a.views["global"][0].crop != a.views["global"][1].crop


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 900), st.integers(1, 900), st.integers(0, 2**32))
def test_smallest_decode_costs_no_crop_its_pixels(height: int, width: int, seed: int) -> None:
    recipe = ViewRecipe({"global": [dict(size=96, scale=(0.2, 1.0))] * 2})
    plan = recipe.plan(height, width, np.random.default_rng(seed))
    low, left = plan.min_decode_size
    assert 1 <= low <= height and 1 <= left <= width
    for view in plan.views["global"]:
        # Up to the rounding of sizes to whole pixels, a crop keeps the view's size or all it has.
        assert view.crop.height * low / height >= min(96, view.crop.height) - 1e-6
        assert view.crop.width * left / width >= min(96, view.crop.width) - 1e-6
    small = max(1.0, min(low / height, left / width) * 0.98)
    assert small == 1.0 or plan.min_decode_size == (height, width)


def test_large_photographs_may_be_decoded_at_half_size() -> None:
    recipe = ViewRecipe({"global": [dict(size=64, scale=(0.9, 1.0))]})
    low, left = recipe.plan(600, 800, np.random.default_rng(0)).min_decode_size
    assert low < 90 and left < 120


@pytest.mark.parametrize(
    "groups, kind, texts",
    [
        (
            {"global": [dict(sise=64)]},
            ValueError,
            ["groups['global'][0]", "view.sise is unknown", "did you mean 'size'?"],
        ),
        (
            {"global": [dict(size=64), dict(flip=0.5)]},
            ValueError,
            ["groups['global'][1]", "view.size is missing"],
        ),
        ({"global": [dict(size=0)]}, ValueError, ["size=0", ">= 1"]),
        ({"global": [dict(size=64, scale=(0.5, 1.2))]}, ValueError, ["scale=(0.5, 1.2)", "<= 1"]),
        (
            {"global": [dict(size=64, scale=(0.0, 0.0))]},
            ValueError,
            ["scale=(0.0, 0.0)", "above 0"],
        ),
        (
            {"global": [dict(size=64, ratio=(1.5, 0.5))]},
            ValueError,
            ["ratio=(1.5, 0.5)", "low <= high"],
        ),
        ({"global": [dict(size=64, flip=2)]}, ValueError, ["flip=2", "[0, 1]"]),
        (
            {"global": [dict(size=64, jitter=dict(hues=0.1))]},
            ValueError,
            ["jitter", "did you mean 'hue'?"],
        ),
        (
            {"global": [dict(size=64), dict(size=96)]},
            ValueError,
            ["one size", "(64, 64)", "(96, 96)"],
        ),
        ({"global": []}, TypeError, ["non-empty list"]),
        ({"global": dict(size=64)}, TypeError, ["groups['global']", "list of views"]),
        ({"global": [64]}, ValueError, ["groups['global'][0]", "a dict of jitter"]),
        ([dict(size=64)], TypeError, ["must be a dict"]),
    ],
)
def test_errors_name_the_place_and_what_is_legal(
    groups: object, kind: type, texts: list[str]
) -> None:
    with pytest.raises(kind) as error:
        ViewRecipe(groups)
    for word in texts:
        assert word in str(error.value)


def test_wrong_images_are_refused() -> None:
    recipe = ViewRecipe(TWO)
    plan = recipe.plan(60, 80, np.random.default_rng(0))
    with pytest.raises(ValueError, match="float64"):
        recipe.render(noise(60, 80) / 255, plan)
    with pytest.raises(ValueError, match="not a scaled version"):
        recipe.render(noise(80, 60), plan)
    with pytest.raises(ValueError, match="0×80"):
        recipe.plan(0, 80, np.random.default_rng(0))


def test_read_only_images_are_taken_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    image = noise(60, 80)
    image.flags.writeable = False
    recipe = ViewRecipe(TWO)
    recipe.render(image, recipe.plan(60, 80, np.random.default_rng(0)), photometrics=True)
    assert not recwarn.list


def load(name: str) -> ViewRecipe:
    return TRANSFORMS.build(Config.fromfile(CONFIGS / f"{name}.py").views)


@pytest.mark.parametrize("name", ["views_pixpro224", "views_simclr224", "views_scenes64"])
def test_shipped_recipes_build_and_say_their_status(name: str) -> None:
    recipe = load(name)
    assert recipe.groups == ("global",) and len(recipe.specs["global"]) == 2
    header = ast.get_docstring(ast.parse((CONFIGS / f"{name}.py").read_text(encoding="utf-8")))
    assert "\nResult: " in header and "\nKnob: " in header


def test_pixpro_recipe_has_the_papers_probabilities_and_ranges() -> None:
    # Origin: contrast/data/transform.py ("BYOL") and tools/*.sh of the official repository, by
    # methods' specification.
    first, second = load("views_pixpro224").specs["global"]
    for view in (first, second):
        assert (view.size, view.scale, view.ratio) == ((224, 224), (0.08, 1.0), (3 / 4, 4 / 3))
        assert (view.flip, view.grey, view.jitter.p) == (0.5, 0.2, 0.8)
        assert view.jitter.brightness == view.jitter.contrast == (0.6, 1.4)
        assert view.jitter.saturation == (0.8, 1.2) and view.jitter.hue == (-0.1, 0.1)
        assert view.blur.sigma == (0.1, 2.0)
    assert first.blur.p == 1.0 and first.solarise is None
    assert second.blur.p == 0.1 and (second.solarise.p, second.solarise.threshold) == (
        0.2,
        128 / 255,
    )


def test_specs_are_taken_as_they_are() -> None:
    spec = ViewSpec(size=24)
    assert ViewRecipe({"global": [spec]}).specs["global"] == (spec,)
