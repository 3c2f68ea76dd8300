"""Sets in which one factor varies: nothing else does, the value is true, and a data set that has
none keeps its bytes.
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from pretrain.data.scenes import CLASSES, write_scenes
from pretrain.data.scenes import factors as module
from pretrain.data.scenes.factors import COLUMNS, FACTOR_TABLE, FACTORS, STEPS, draw_set
from pretrain.data.scenes.layout import Scene
from pretrain.data.scenes.manifest import Request
from pretrain.data.scenes.render import render_frame
from pretrain.data.scenes.write import Chunk, write_chunk

SIZE = 48


def scenes_of(
    factor: str, kind: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Scene], list[float]]:
    """The scenes of a set, and the values of its factor."""
    drawn: list[Scene] = []

    def keep(scene: Scene, step: int, size: int) -> object:
        drawn.append(scene)
        return render_frame(scene, step, size)

    with monkeypatch.context() as patch:
        patch.setattr(module, "render_frame", keep)
        result = draw_set(0, FACTORS.index(factor) * len(CLASSES) + kind, SIZE)
    assert (result.factor, result.kind, result.number) == (factor, CLASSES[kind], 0)
    assert len(result.images) == STEPS
    assert len({image.tobytes() for image in result.images}) == STEPS
    return drawn, result.values


def changed(scenes: list[Scene]) -> set[str]:
    """Names of what differs between the scenes of a set: entries of scenes, and of things."""
    names = set()
    first = scenes[0]
    for scene in scenes[1:]:
        for name, value in vars(scene).items():
            if name != "things" and repr(value) != repr(getattr(first, name)):
                names.add(name)
        for thing, other in zip(scene.things, first.things, strict=True):
            for name, value in vars(thing).items():
                if repr(value) != repr(getattr(other, name)):
                    names.add(f"thing.{name}")
    return names


@pytest.mark.parametrize("kind", [0, 8])
@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        ("viewpoint", {"thing.turn"}),
        ("illumination_direction", {"light"}),
        ("illumination_colour", {"tint"}),
        ("instance", {"thing.surface", "thing.aspect", "thing.radius"}),
    ],
)
def test_one_thing_varies_and_nothing_else(
    factor: str, expected: set[str], kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes, values = scenes_of(factor, kind, monkeypatch)
    assert changed(scenes) == expected
    assert len(set(values)) == STEPS
    for (thing,) in (scene.things for scene in scenes):
        assert thing.kind == CLASSES[kind] and thing.centre == (0.5, 0.5)
        assert thing.extent == pytest.approx(0.25)


@pytest.mark.parametrize("kind", [1, 4, 7, 9])
def test_the_visible_share_is_that_of_the_drawing(
    kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes, values = scenes_of("occlusion", kind, monkeypatch)
    seen = [np.count_nonzero(render_frame(scene, 0, 96).samples == 1) for scene in scenes]
    assert values == pytest.approx(np.array(seen) / seen[0], abs=0.02)
    assert values == pytest.approx(np.linspace(1, 0.3, STEPS), abs=0.02)


def test_nothing_but_the_hidden_object_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies above it is another object in each image, of another shape and texture than it."""
    scenes, _ = scenes_of("occlusion", 4, monkeypatch)
    own = CLASSES[4]
    assert len({repr(scene.things[0]) for scene in scenes}) == 1
    assert changed([replace(scene, things=scene.things[:1]) for scene in scenes]) == set()
    covers = [scene.things[1] for scene in scenes]
    assert len({repr(cover.surface) for cover in covers}) == STEPS
    for cover in covers:
        assert cover.kind.shape != own.shape and cover.kind.texture != own.texture


def test_sets_share_what_is_not_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ground or a light that told sets apart would make units invariant."""
    scenes = []
    for kind in (0, 5):
        scenes += scenes_of("viewpoint", kind, monkeypatch)[0]
    assert changed([replace(scene, things=()) for scene in scenes]) == {"noise_seed"}


def test_a_turned_card_is_narrower_and_as_high(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes, values = scenes_of("viewpoint", 2, monkeypatch)
    boxes = []
    for scene in scenes:
        rows, columns = np.nonzero(render_frame(scene, 0, 96).samples == len(scene.things))
        boxes.append((np.ptp(columns) + 1, np.ptp(rows) + 1))
    widths, heights = np.array(boxes).T
    assert widths / widths[0] == pytest.approx(np.cos(np.radians(values)), abs=0.03)
    assert heights / heights[0] == pytest.approx(1, abs=0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images and one set of each factor and class."""
    out = tmp_path_factory.mktemp("factors") / "set"
    return write_scenes(out, 5, size=SIZE, seed=3, sequences=0, factors=1)


def test_the_table_names_every_image(folder: Path) -> None:
    with open(folder / FACTOR_TABLE, newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert tuple(reader.fieldnames) == COLUMNS
    assert len(rows) == len(FACTORS) * len(CLASSES) * STEPS
    on_disk = {p.relative_to(folder / "factors").as_posix() for p in folder.rglob("set_*.jpg")}
    assert {row["image"] for row in rows} == on_disk and len(on_disk) == len(rows)
    for row in rows:
        assert row["image"].startswith(f"{row['factor']}/{row['class']}/set_{row['set']}_")
    wanted = draw_set(3, 17, SIZE)
    values = [float(row["value"]) for row in rows[17 * STEPS : 18 * STEPS]]
    assert values == pytest.approx(wanted.values, abs=1e-4)


def test_sets_are_in_the_check_sums_and_the_request(folder: Path) -> None:
    sums = (folder / "SHA256SUMS").read_text()
    for path in ("factors/factors.csv", "factors/viewpoint/star_blobs/set_0000_7.jpg"):
        assert f"{sha256((folder / path).read_bytes()).hexdigest()}  {path}\n" in sums
    manifest = json.loads((folder / "scenes.json").read_text())
    assert manifest["request"]["factors"] == 1
    assert write_scenes(folder, 5, size=SIZE, seed=3, sequences=0, factors=1) == folder
    with pytest.raises(FileExistsError, match="there .*, factors 1; asked for .*, factors 2"):
        write_scenes(folder, 5, size=SIZE, seed=3, sequences=0, factors=2)


def test_more_sets_follow_the_earlier_ones(folder: Path, tmp_path: Path) -> None:
    request = Request(images=5, size=SIZE, seed=3, sequences=0, factors=7)
    write_chunk(tmp_path, request, Chunk("set", "val", 23, 25))
    written = sorted(tmp_path.rglob("set_*.jpg"))
    assert len(written) == 2 * STEPS
    for path in written:
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()


def test_a_data_set_without_sets_keeps_its_bytes(tmp_path: Path) -> None:
    """Its table of contents is that of folders written before there were sets."""
    out = write_scenes(tmp_path / "none", 5, size=SIZE, seed=3, sequences=0)
    request = json.loads((out / "scenes.json").read_text())["request"]
    assert request == dict(images=5, size=SIZE, seed=3, sequences=0, layout=1)
    assert not (out / "factors").exists()


def test_a_negative_number_of_sets_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="factors=-1 must be an integer from 0 to 10000"):
        write_scenes(tmp_path / "none", 5, factors=-1)
