"""Every kind of config mistake is an error at the start that names the key and what was probably
meant.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from pretrain.annotations import matches
from pretrain.engine.build import build_runner, check
from pretrain.engine.check import check_config
from pretrain.engine.settings import ConfigError, EngineSettings, LoaderSettings, read_section

MISTAKES = [
    (dict(shedule=dict(epochs=1)), "shedule: unknown top-level key; did you mean 'schedule'"),
    (dict(seed="0"), "seed='0': must be int"),
    (dict(seed=-1), r"seed=-1: must be an integer from 0 to 2\*\*32 - 1"),
    (dict(loader__worker=2), "loader.worker is unknown; did you mean 'workers'"),
    (dict(loader__workers="4"), "loader.workers='4' is of type str; must be int"),
    (dict(loader__workers=True), "loader.workers=True is of type bool"),
    (dict(engine__precision="fp61"), "engine.precision='fp61'"),
    (dict(schedule__epochs=2), "epochs=2 and samples=48; give exactly one"),
    (dict(schedule__lr_per_256=1.0), "lr_rule='none' takes `lr`"),
    (
        dict(model__type="Pretrainr"),
        "model.type='Pretrainr': not in the model registry; did you mean 'Pretrainer'",
    ),
    (
        dict(optimizer=dict(_delete_=True, type=torch.optim.SGD)),
        "'type' is a name in the optimizer registry",
    ),
    (
        dict(model__backbones=dict()),
        "model.backbones: Pretrainer has no such argument; did you mean 'backbone'",
    ),
    (
        dict(model__objectives=[dict(type="PixPo")]),
        r"model.objectives\[0\].type='PixPo'.*did you mean 'PixPro'",
    ),
    (
        dict(model__objectives=[dict(type="PixPro", gama=1)]),
        r"objectives\[0\].gama: PixPro has no.*'gamma'",
    ),
    (
        dict(model__objectives=[dict(type="PixPro", layers="1")]),
        "layers='1' is of type str; PixPro takes int",
    ),
    (dict(source__rot="x"), "source.rot: ImageFolder has no such argument; did you mean 'root'"),
    (
        dict(hooks=[dict(type="NonFiniteHok")]),
        r"hooks\[0\].type='NonFiniteHok'.*did you mean 'NonFiniteHook'",
    ),
    (dict(hooks=dict(type="NonFiniteHook")), "hooks=.*must be a list"),
    (
        dict(optimizer__momentun=0.9),
        "optimizer.momentun: SGD has no such argument; did you mean 'momentum'",
    ),
    (dict(optimizer__lr=0.1), "optimizer.lr: the rate belongs in schedule"),
]


@pytest.mark.parametrize(
    ("override", "message"), MISTAKES, ids=[message[:40] for _, message in MISTAKES]
)
def test_mistakes_are_named(
    make_config: Callable[..., Config], tmp_path: Path, override: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_config(make_config(tmp_path / "run", **override))


def test_missing_section_is_named(make_config: Callable[..., Config], tmp_path: Path) -> None:
    cfg = make_config(tmp_path / "run")
    cfg.pop("schedule")
    with pytest.raises(ConfigError, match="schedule: missing"):
        check_config(cfg)


def test_right_config_and_private_helpers_pass(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    settings = check_config(make_config(tmp_path / "run", _size=32, optimizer__type="Lars"))
    assert settings.loader == LoaderSettings(workers=0)
    assert settings.engine.checkpoint_every == 3


WIRING = [
    (
        dict(views__groups={"globl": [dict(size=32), dict(size=32)]}),
        "reads view group 'global', .*makes 'globl'; did you",
    ),
    (
        dict(views__groups={"global": [dict(size=32)]}),
        "needs 2 views in group 'global', the recipe makes 1",
    ),
    (
        dict(views__groups={"global": [dict(size=36), dict(size=36)]}),
        r"views.groups.global\[0\].size: 36 × 36 pixels: vit_tiny.* patches of 8 × 8; the "
        r"nearest is 32 × 32",
    ),
    (
        dict(source__labels=False, model__objectives=[dict(type="Supervised", num_classes=3)]),
        "Supervised needs labels",
    ),
    (
        dict(model__objectives=[dict(type="Supervised", num_classes=2)]),
        "num_classes=2, but the source has 3 classes",
    ),
    (dict(views__groups={"global": [dict(size=32, flop=1)]}), "views: .*flop"),
    (dict(source__root="/nowhere/at/all"), "source: .*/nowhere/at/all"),
    (dict(model__backbone__name="resnet5"), "model: .*resnet5"),
    (dict(schedule__global_batch=400), "global_batch=400: larger than the source"),
    (dict(load_from="/nowhere/at/all.pth"), "load_from='/nowhere/at/all.pth': no such file"),
]


@pytest.mark.parametrize(
    ("override", "message"), WIRING, ids=[message[:40] for _, message in WIRING]
)
def test_parts_that_do_not_fit_are_named(
    make_config: Callable[..., Config], tmp_path: Path, override: dict, message: str
) -> None:
    objectives = [dict(type="SimCLR")]
    cfg = make_config(tmp_path / "run", model__objectives=objectives)
    for key, value in override.items():
        if key == "views__groups":
            cfg.views.groups = value  # replaced, where merging would keep the old group
        else:
            cfg.merge_from_dict({key.replace("__", "."): value})
    with pytest.raises(ConfigError, match=message):
        build_runner(cfg)
    assert not (tmp_path / "run").exists()


def test_check_says_what_would_run(make_config: Callable[..., Config], tmp_path: Path) -> None:
    first, contents, files = check(make_config(tmp_path / "run")).splitlines()
    assert first == "24 images, 12 steps of 4, peak lr 0.1, from the beginning"
    assert contents == "3 classes (images): blue 8, green 8, red 8"
    assert files.startswith("for example ") and files.endswith("red/007.jpg")


def test_check_tells_why_there_are_no_labels(
    make_config: Callable[..., Config], image_folder: Path, tmp_path: Path
) -> None:
    """One image beside the class folders makes a source unlabelled, as it does for those that need
    no labels.
    """
    shutil.copytree(image_folder, tmp_path / "data")
    shutil.copy(image_folder / "red" / "000.jpg", tmp_path / "data" / "cover.jpg")
    options = dict(source__root=str(tmp_path / "data"))
    free = dict(model__objectives=[dict(type="SimCLR")])
    assert "\nno labels (1 of its images lies in" in check(
        make_config(tmp_path / "run", **options, **free)
    )
    supervised = dict(model__objectives=[dict(type="Supervised", num_classes=3)])
    with pytest.raises(
        ConfigError, match=r"needs labels, but the source has none \(1 of .* 'cover.jpg'"
    ):
        check(make_config(tmp_path / "run", **options, **supervised))
    assert "3 classes" in check(
        make_config(tmp_path / "run", **options, source__exclude=["cover.jpg"], **supervised)
    )
    assert "3 classes" in check(
        make_config(tmp_path / "run", **options, source__exclude="*cover*", **supervised)
    )


@pytest.mark.parametrize(
    ("value", "annotation", "fits"),
    [
        (1, float, True),
        (1.0, int, False),
        (True, int, False),
        (None, float | None, True),
        ([1, 2], tuple[int, int], True),
        ("x", tuple[int, ...], False),
        ({}, dict[str, int], True),
        (3, dict, False),
        (object(), object, True),
    ],
)
def test_type_matching(value: object, annotation: object, fits: bool) -> None:
    assert matches(value, annotation) is fits


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(workers=-1), "loader.workers=-1: must be an integer >= 0"),
        (dict(max_bad_fraction=2), "within"),
        (5, "must be a dict"),
    ],
)
def test_illegal_values_say_what_is_legal(fields: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_section(LoaderSettings, "loader", fields)


def test_engine_values_are_checked() -> None:
    with pytest.raises(ConfigError, match="engine.log_every=0"):
        EngineSettings(log_every=0)
