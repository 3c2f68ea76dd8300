"""Overrides: what counts, and what something else sets later."""

from __future__ import annotations

from typing import Any

import pytest
from mmengine.config import Config

from pretrain.engine.cli import Options, load_config
from pretrain.engine.config_file import override, require_honoured
from pretrain.engine.settings import ConfigError

CONFIG = dict(
    seed=0,
    schedule=dict(lr=0.1, betas=(0.9, 0.95)),
    hooks=[dict(type="A", every=1), dict(type="B")],
    loader=dict(workers=2),
)
HONOURED: list[dict[str, Any]] = [
    {"seed": 3},
    {"schedule.betas": [0.8, 0.9]},
    {"hooks.1.type": "C"},
    {"hooks": [dict(type="D")]},
    {"loader": dict(_delete_=True, batch=4)},
    {"loader._delete_": True, "loader.batch": 4},
    {"new": None},
]


@pytest.mark.parametrize("options", HONOURED)
def test_what_is_as_asked_passes(options: dict[str, Any]) -> None:
    config = Config(CONFIG)
    override(config, options)
    config.hooks.append(dict(type="Own"))  # more beside what was asked for
    require_honoured(config, options)


@pytest.mark.parametrize(
    ("options", "later", "message"),
    [
        (
            {"seed": 3},
            {"seed": 4},
            "seed=3: it would have no effect, because the program itself sets it to 4; W",
        ),
        ({"schedule.betas": [0.8, 0.9]}, {"schedule.betas": (0.8, 1)}, "schedule.betas="),
        ({"schedule": dict(lr=1.0)}, {"schedule.lr": 2.0}, r"schedule.lr=1.0: .* to 2.0; leave it"),
        ({"hooks": [dict(type="D", every=2)]}, {"hooks.0.every": 9}, "hooks.0.every=2: .* to 9"),
        (
            {"loader.workers": 0},
            {"loader": dict(_delete_=True, x=1)},
            "loader.workers=0: .* to nothing",
        ),
    ],
)
def test_what_is_set_otherwise_later_is_refused(
    options: dict[str, Any], later: dict[str, Any], message: str
) -> None:
    config = Config(CONFIG)
    override(config, options)
    config.merge_from_dict(later)
    with pytest.raises(ConfigError, match="--cfg-options " + message):
        require_honoured(config, options, instead={"seed": "W"})


def test_two_seeds_on_one_command_line(tmp_path: Any) -> None:
    (tmp_path / "c.py").write_text("seed = 0\nengine = dict(precision='fp32')\n")
    path = str(tmp_path / "c.py")
    assert load_config(Options(path, cfg_options=["seed=4"], seed=4)).seed == 4
    with pytest.raises(ConfigError, match="seed=3: .* sets it to 4; give one of the two"):
        load_config(Options(path, cfg_options=["seed=3"], seed=4))
    with pytest.raises(ConfigError, match="precision=fp32: .* to bf16"):
        load_config(Options(path, cfg_options=["engine.precision=fp32"], amp=True))
