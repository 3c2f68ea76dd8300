"""docs/catalogue.md against the code: nothing missing, nothing invented, every flag true."""

from __future__ import annotations

import inspect
import re
from itertools import takewhile
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from pretrain.backbones.second_norms import SecondNorms
from pretrain.encodings import BatchEncodings
from pretrain.engine.check import register_all
from pretrain.geometry import from_box
from pretrain.masking import Masking
from pretrain.objectives.parts.base import Objective, target_copy
from pretrain.reference import Reference, ReferenceSettings
from pretrain.structures import Batch, Views

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "catalogue.md"
FORMS = ("repository", "paper")
COLUMNS = (
    "objective",
    "target",
    "labels",
    "views",
    "geometry",
    "loss",
    "paper",
    "config",
    "status",
)


def rows() -> dict[str, dict[str, str]]:
    """Returns the page's first table: {objective: {column: text}}."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| objective"))
    found = {}
    for line in takewhile(
        lambda line: line.startswith("|"), lines[start + 2 :]
    ):  # below the head and its rule
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        name = re.match(r"\[(\w+)\]", cells[0])
        assert name and len(cells) == len(COLUMNS), f"not a row of the catalogue: {line}"
        found[name[1]] = dict(zip(COLUMNS, cells, strict=True))
    return found


def registered() -> dict[str, type[Objective]]:
    """Returns every objective that a config can name."""
    register_all()
    return {
        name: cls
        for name, cls in MODELS.module_dict.items()
        if inspect.isclass(cls)
        and issubclass(cls, Objective)
        and cls.__module__.startswith("pretrain.")
    }


NAMES = sorted(registered())
every_objective = pytest.mark.parametrize("name", NAMES)


def config_path(name: str) -> Path:
    """Returns the config that the page names for an objective."""
    return ROOT / re.search(r"`(configs/[\w./]+\.py)`", rows()[name]["config"])[1]


def test_the_page_lists_exactly_the_registered_objectives() -> None:
    assert sorted(rows()) == NAMES


@every_objective
def test_flags_are_the_class_attributes(name: str) -> None:
    row, cls = rows()[name], registered()[name]
    views = ", ".join(f"`{group}` × {cls.needs.views}" for group in cls.needs.groups)
    flags = {True: "yes", False: "no"}
    assert (row["target"], row["labels"], row["views"]) == (
        flags[bool(cls.needs.target)],
        flags[cls.needs.labels],
        views,
    )


@every_objective
def test_config_trains_the_objective_and_the_status_is_said(name: str) -> None:
    cfg = Config.fromfile(config_path(name))
    assert name in [objective["type"] for objective in cfg.model["objectives"]]
    assert re.search(r"by us|untested|reproduced", rows()[name]["status"])


@every_objective
def test_page_exists_and_explains_every_option(name: str) -> None:
    link = re.search(r"\]\(([^)]+)\)", rows()[name]["objective"])[1]
    text = (PAGE.parent / link).read_text(encoding="utf-8")
    assert text.startswith(f"# {name}\n")
    table = text[text.index("## Options") :].split("\n## ")[0]
    options = [
        p
        for p in inspect.signature(registered()[name].__init__).parameters
        if p not in ("self", "features")
    ]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == options
    for heading in (
        "Idea",
        "Formula",
        "Geometry",
        "Cost",
        "Options",
        "Pitfalls",
        "Published numbers",
        "Status",
    ):
        assert re.search(rf"^## {heading}", text, re.MULTILINE), f"{link}: no section {heading!r}"


@every_objective
def test_geometry_is_needed_where_the_page_says_so(
    name: str, tiny_backbone: dict[str, object]
) -> None:
    """Runs each objective with and without the views' places in the source."""
    torch.manual_seed(0)
    cfg = Config.fromfile(config_path(name))
    options = next(o.to_dict() for o in cfg.model["objectives"] if o["type"] == name)
    options = {
        key: 16 if key == "hidden" else value for key, value in options.items() if key != "weight"
    }
    hides = registered()[name].needs.masked
    small = dict(patch_size=8, img_size=32, embed_dim=24, depth=1, num_heads=2)
    vit = dict(type="TimmBackbone", name="vit_tiny_patch16_224", **small)
    backbone = MODELS.build(vit if hides else dict(tiny_backbone))
    if hides:
        backbone.add_mask_token()
    objective = MODELS.build(dict(options, features=backbone.info))
    boxes = torch.tensor([[[0, 0, 0.8, 0.8], [0.9, 0.2, 0.1, 1]]] * 2, dtype=torch.float64)

    def loss(geometry: torch.Tensor | None) -> torch.Tensor:
        views = {
            group: Views(torch.randn(2, 2, 3, 32, 32), geometry) for group in objective.needs.groups
        }
        batch = Batch(views, torch.tensor([0, 1]), torch.arange(2))
        encode = BatchEncodings(
            batch,
            backbone,
            target_copy(backbone),
            reference=Reference(ReferenceSettings(), target_copy(backbone)),
            masking=Masking(),
            second_norms=SecondNorms(backbone),
            normalisation=(torch.zeros(3, 1, 1), torch.ones(3, 1, 1)),
        )
        return objective(batch, encode)["loss"]

    assert torch.isfinite(loss(from_box(boxes)))
    if rows()[name]["geometry"] == "yes":
        with pytest.raises(TypeError):
            loss(None)
    else:
        assert torch.isfinite(loss(None))


def test_known_values_match_the_bounds(tiny_backbone: dict[str, object]) -> None:
    """The page's last table, where it holds numbers."""
    register_all()
    info = MODELS.build(dict(tiny_backbone)).info
    heads = dict(features=info, hidden=8, dim=8)
    both = []
    for form in FORMS:
        objective = MODELS.build(dict(type="PixPro", loss_form=form, **heads))
        both.append(objective.bounds(None, {}))
    text = PAGE.read_text(encoding="utf-8")
    best, collapsed = (
        " / ".join(f"−{-getattr(b, key):g}" for b in both) for key in ("best", "collapsed")
    )
    assert f"| PixPro (`repository` / `paper`) | {best} | {collapsed} | about 0 |" in text
    byol = MODELS.build(dict(type="BYOL", **heads)).bounds(None, {})
    assert f"| BYOL | {byol.best:g} | {byol.collapsed:g} | about {byol.random_start:g} |" in text
