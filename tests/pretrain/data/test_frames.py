"""Frame pairs: which frames, which regions, what is refused, and that any two-view objective trains
on them.
"""

from __future__ import annotations

import csv
import json
import os
import pickle
import re
import tarfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS

from pretrain import geometry
from pretrain.data import FramePairs, Source, SourceError, ViewDataset
from pretrain.data.frames import Series
from pretrain.engine.build import build_runner, check
from pretrain.engine.config import PretrainConfig
from pretrain.views.recipe import ViewRecipe

RECIPE = Path(__file__).resolve().parents[3] / "configs" / "quick" / "frame_pairs_simclr.py"
SIZE = (40, 80)  # height, width


def write(path: Path, time: int, video: int, square: int | None = None) -> None:
    """A frame whose blue tells its time and red its video; ``square``: x of a white 10 × 10 square
    at y = 20.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[..., 0], pixels[..., 2] = 4 * time, 50 * video
    if square is not None:
        pixels[20:30, square : square + 10, 1] = 255
    assert cv2.imwrite(str(path), pixels)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Video a: times 0 to 9; b/deep: 1, 2, 3, 10, 11 (with a hole), written without leading zeros;
    no labels.
    """
    for time in range(10):
        write(tmp_path / "videos" / "a" / f"{time:05d}.png", time, 1, square=5 * time)
    for time in (1, 2, 3, 10, 11):
        write(tmp_path / "videos" / "b" / "deep" / f"frame{time}.png", time, 2)
    return tmp_path / "videos"


def drawn(source: FramePairs, index: int, epoch: int = 0) -> list[tuple[str, int]]:
    """(video, time) of both source images."""
    actual = []
    for image in source.source_images(index, np.random.default_rng((epoch, index))):
        path = Path(image.name)
        actual.append((path.parent.name, int(re.search(r"\d+", path.stem)[0])))
    return actual


@pytest.mark.parametrize("gaps", [(1, None), (3, None), (2, 4), (8, 9), (7, 7)])
def test_series_finds_exactly_the_partners_that_a_loop_finds(gaps: tuple[int, int | None]) -> None:
    rng = np.random.default_rng(0)
    times = [np.sort(rng.choice(25, size=n, replace=False)) for n in (12, 1, 20, 5)]
    low, high = gaps[0], gaps[1] or 100
    series = Series(times, low, high)
    flat = [(number, time) for number, ts in enumerate(times) for time in ts.tolist()]
    for position, (number, time) in enumerate(flat):
        wanted = [
            p for p, (n, t) in enumerate(flat) if n == number and low <= abs(t - time) <= high
        ]
        assert series.has_partner[position] == bool(wanted)
        if wanted:
            shares = (np.arange(len(wanted)) + 0.5) / len(wanted)
            assert [series.partner(position, share) for share in shares] == wanted


def test_pairs_keep_their_distance_and_their_video(root: Path) -> None:
    source = FramePairs(root, min_gap=3, max_gap=8)
    assert isinstance(source, Source) and source.classes is None and source.label(0) is None
    assert len(source) == 14  # nothing is 3 to 8 frames from time 1 of the second video
    gaps: Counter[int] = Counter()
    for epoch in range(20):
        for index in range(len(source)):
            (video, time), (other, later) = drawn(source, index, epoch)
            assert video == other and 3 <= abs(later - time) <= 8
            assert Path(source.name(index)).parent.name == video
            gaps[later - time] += 1
    assert {abs(gap) for gap in gaps} == set(range(3, 9)) and min(gaps) < 0 < max(gaps)


def test_frames_without_a_partner_are_no_samples(root: Path) -> None:
    source = FramePairs(root, min_gap=7)
    kept = [drawn(source, i)[0] for i in range(len(source))]
    assert kept == [("a", t) for t in (0, 1, 2, 7, 8, 9)] + [("deep", t) for t in (1, 2, 3, 10, 11)]
    assert source.read(1) == (root / "a" / "00001.png").read_bytes()
    # 9 apart and more: of "a" only the ends, although "deep" spans more time
    assert [drawn(FramePairs(root, min_gap=9), i)[0][1] for i in range(2)] == [0, 9]


def test_times_without_numbers_are_places(tmp_path: Path) -> None:
    for time, name in enumerate(("x1", "x2", "y1", "y2", "z")):  # 1 and 2 occur twice
        write(tmp_path / f"{name}.png", time, 0)
    source = FramePairs(tmp_path, min_gap=4)
    assert [Path(source.name(i)).stem for i in range(len(source))] == ["x1", "z"]


def test_numbers_too_large_for_times_leave_places(tmp_path: Path) -> None:
    numbers = [i * 10**22 for i in range(1, 6)]
    for number in numbers:
        write(tmp_path / "v" / f"{number}.png", 0, 1)
    source = FramePairs(tmp_path, min_gap=4, max_gap=10**30)
    first, last = ("v", numbers[0]), ("v", numbers[-1])
    assert [drawn(source, i) for i in range(len(source))] == [[first, last], [last, first]]


def test_views_come_from_their_frames(root: Path) -> None:
    source = FramePairs(root, min_gap=2)
    data = ViewDataset(source, ViewRecipe({"global": [dict(size=8)] * 2}), seed=5)
    seen = set()
    for index in range(len(source)):
        sample = data[0, index]
        images = sample.views["global"].images
        red, blue = (
            images[:, 0].flatten(1).unique(dim=1).flatten().tolist(),
            images[:, 2, 0, 0].tolist(),
        )
        assert len(set(red)) == 1 and images[:, 2].flatten(1).unique(dim=1).shape[1] == 1
        assert abs(blue[0] - blue[1]) >= 8 and sample.labels is None and sample.skipped == ()
        assert torch.equal(data[0, index].views["global"].images, images)
        seen.add(
            tuple(
                data[epoch, index].views["global"].images[1, 2, 0, 0].item() for epoch in range(6)
            )
        )
    assert len(seen) > 10  # partners change with the epoch


def rows(
    video: str = "a", track: str = "1", times: tuple[int, ...] = tuple(range(10))
) -> list[dict]:
    """A box around the white square of video a."""
    return [
        dict(video=video, track=track, frame=t, x1=5 * t, y1=20, x2=5 * t + 10, y2=30)
        for t in times
    ]


def save(path: Path, entries: list[dict]) -> Path:
    if path.suffix == ".csv":
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, ["track", "video", "frame", "x1", "y1", "x2", "y2"])
            writer.writeheader()
            writer.writerows(entries)
    else:
        path.write_text(json.dumps(entries))
    return path


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_tracked_regions_are_the_common_square(root: Path, tmp_path: Path, suffix: str) -> None:
    """The white square moves; with margin 0.5 it fills the middle of the region, whose square both
    views share.
    """
    tracks = save(tmp_path / f"tracks.{suffix}", rows(times=tuple(range(1, 8))))
    source = FramePairs(root, min_gap=2, tracks=tracks, margin=0.5)
    assert len(source) == len(FramePairs(root, min_gap=2))
    whole = dict(size=32, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0)
    data = ViewDataset(source, ViewRecipe({"global": [whole, whole]}))
    for index in range(1, 7):
        views = data[0, index].views["global"]
        for image in views.images:
            assert (
                image[1, 9:23, 9:23].min() > 240
                and image[1, :7].max() == 0
                and image[1, :, 25:].max() == 0
            )
        assert torch.equal(views.geometry, geometry.identity().expand(2, 2, 3))
        positives = geometry.pixel_positives(
            views.geometry[:1], views.geometry[1:], size_q=(4, 4), size_k=(4, 4)
        )
        assert torch.equal(positives[0], torch.eye(16, dtype=torch.bool))
    image, other = source.source_images(4, np.random.default_rng(0))
    assert (
        image.box == pytest.approx((15 / 80, 15 / 40, 35 / 80, 35 / 40)) and other.box is not None
    )


def test_frames_off_the_track_fall_back_to_whole_frames(root: Path, tmp_path: Path) -> None:
    entries = rows(times=(0, 1, 5)) + rows(track="alone", times=(7,))
    source = FramePairs(root, min_gap=4, tracks=save(tmp_path / "t.json", entries))
    regions = {}
    for index in range(len(source)):
        images = source.source_images(index, np.random.default_rng(index))
        assert (images[0].box is None) == (images[1].box is None)
        regions[drawn(source, index)[0]] = images[0].box is not None
    assert [key for key, region in regions.items() if region] == [("a", 0), ("a", 1), ("a", 5)]


def test_one_of_several_tracks_is_drawn(root: Path, tmp_path: Path) -> None:
    entries = rows() + [dict(row, track="2", x1=0, x2=80) for row in rows()]
    source = FramePairs(root, min_gap=1, tracks=save(tmp_path / "t.json", entries), margin=0.0)
    widths = []
    for seed in range(200):
        first, second = (
            image.box for image in source.source_images(3, np.random.default_rng(seed))
        )
        assert first[2] - first[0] == pytest.approx(
            second[2] - second[0]
        )  # never two tracks in one sample
        widths.append(first[2] - first[0])
    assert 60 < sum(w == 1 for w in widths) < 140


def test_survives_pickling(root: Path, tmp_path: Path) -> None:
    source = FramePairs(root, min_gap=2, tracks=save(tmp_path / "t.json", rows()))
    again = pickle.loads(pickle.dumps(source))
    for index in range(len(source)):
        before, after = (
            [(s.name, s.box) for s in x.source_images(index, np.random.default_rng(1))]
            for x in (source, again)
        )
        assert before == after


def test_errors_of_videos(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(root / "c" / "0.png", 0, 3)
    for folder, options, message in (
        (tmp_path / "nothing", {}, "FramePairs: root=.* does not exist"),
        (
            tmp_path / "empty",
            {},
            "FramePairs: no frame below .*one folder of images for each video",
        ),
        (
            root,
            dict(min_gap=1),
            r"1 of 3 videos .* no two frames that are 1 to 10 frames apart: 'c' \(1 frames\)",
        ),
        (
            root,
            dict(min_gap=11),
            r"3 of 3 videos .*'a' \(10 frames\), 'b/deep' \(5 frames\), 'c' .*source.min_gap",
        ),
        (root, dict(min_gap=0), "min_gap=0, max_gap=None; legal is 1 <= min_gap <= max_gap"),
        (root, dict(min_gap=3, max_gap=2), "min_gap=3, max_gap=2"),
        (root, dict(margin=-1), "margin=-1"),
        (root, dict(extensions="png"), "extensions='png'"),
        (root, dict(extensions=[".jpg"]), "no frame below"),
    ):
        with pytest.raises(ValueError, match=message):
            FramePairs(folder, **options)


def test_errors_of_tracks(root: Path, tmp_path: Path) -> None:
    good = rows()
    for entries, message in (
        ([], "holds no boxes; legal is a list of entries with video, track, frame"),
        ({"tracks": good}, "holds no boxes"),
        (rows(times=(3,)), "none of its 1 tracks has two boxes that are 5 to 10 frames apart"),
        (
            good + rows(video="z"),
            "entry 11: video 'z' is not among the 2 videos of the folder .'a', 'b/deep'",
        ),
        (
            good + rows(times=(10,), track="2"),
            "entry 11: video 'a' has no frame 10; its 10 frames are 0 to 9",
        ),
        (good + rows(times=(9,)), "entry 11: track '1' of video 'a' has two boxes in frame 9"),
        (
            [dict(good[0], x2=0)],
            r"entry 1: the box \(0.0, 20.0, 0.0, 30.0\) has no area inside .* 80 × 40 px",
        ),
        ([dict(good[0], x1=90, x2=99)], "no area inside the frame"),
        ([dict(good[0], y2=float("nan"))], "no area inside the frame"),
        ([{k: v for k, v in good[0].items() if k != "y2"}], "entry 1: no 'y2'; an entry has"),
        ([dict(good[0], frame="x")], "entry 1: frame 'x' is not a whole number"),
        ([dict(good[0], frame=1.5)], "entry 1: frame 1.5 is not a whole number"),
        ([dict(good[0], frame=float("inf"))], "entry 1: frame inf is not a whole number"),
    ):
        path = tmp_path / "t.json"
        path.write_text(json.dumps(entries))
        with pytest.raises(SourceError, match=message):
            FramePairs(root, tracks=path)
    (tmp_path / "t.json").write_text("video,track\n")
    with pytest.raises(SourceError, match="not valid json .csv files end in .csv"):
        FramePairs(root, tracks=tmp_path / "t.json")
    with pytest.raises(SourceError, match="tracks=.*none.csv does not exist"):
        FramePairs(root, tracks=tmp_path / "none.csv")
    save(tmp_path / "t.csv", [])
    with pytest.raises(SourceError, match="holds no boxes"):
        FramePairs(root, tracks=tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes("vidéo".encode("latin-1"))
    with pytest.raises(SourceError, match="tracks=.*t.csv is not a csv file in UTF-8"):
        FramePairs(root, tracks=tmp_path / "t.csv")
    (root / "a" / "00000.png").write_bytes(b"")
    with pytest.raises(SourceError, match="first frame cannot be read: .*00000.png: .*empty"):
        FramePairs(root, tracks=save(tmp_path / "t.csv", good))


def test_csv_files_of_spreadsheets(root: Path, tmp_path: Path) -> None:
    table = (
        save(tmp_path / "t.csv", rows()).read_text().replace(",", ", ").replace("a, 7,", "a, 7.0,")
    )
    (tmp_path / "t.csv").write_text(table, encoding="utf-8-sig")
    images = FramePairs(root, tracks=tmp_path / "t.csv").source_images(0, np.random.default_rng(0))
    assert all(image.box is not None for image in images)
    (tmp_path / "t.csv").write_text(table.replace("y2", "x1"))  # the later would win
    with pytest.raises(SourceError, match="tracks=.*t.csv has two columns 'x1'"):
        FramePairs(root, tracks=tmp_path / "t.csv")


def test_a_mask_of_the_same_name_is_no_frame(root: Path) -> None:
    """Before, times became places in the order of names, so that frames and masks took turns."""
    for time in range(10):
        (root / "a" / f"{time:05d}.bmp").write_bytes(b"mask")
    with pytest.raises(
        SourceError, match="00000.bmp' and 'a/00000.png' are two frames of one name; is one a mask"
    ):
        FramePairs(root, min_gap=2)
    assert len(FramePairs(root, min_gap=2, exclude="*.bmp")) == 15


def test_tracked_frames_of_another_shape_are_skipped(root: Path, tmp_path: Path) -> None:
    source = FramePairs(root, min_gap=9, tracks=save(tmp_path / "t.json", rows()))
    assert cv2.imwrite(str(root / "a" / "00009.png"), np.zeros((80, 40, 3), np.uint8))
    dataset = ViewDataset(source, ViewRecipe({"global": [dict(size=8)] * 2}))
    ((number, reason), *_) = dataset[0, 0].skipped
    assert number == 9 and "00009.png: boxes were drawn in an image of 80 × 40 px" in reason


def test_a_broken_partner_is_reported_by_its_own_name(root: Path) -> None:
    os.truncate(root / "a" / "00009.png", 20)
    source = FramePairs(root, min_gap=1)
    dataset = ViewDataset(source, ViewRecipe({"global": [dict(size=8)] * 2}))
    skipped = [
        entry
        for epoch in range(20)
        for index in range(10)
        for entry in dataset[epoch, index].skipped
    ]
    # One file is broken, not the ten samples that show it: whoever counts them by their number must
    # find one.
    assert len(skipped) > 20 and {number for number, _ in skipped} == {9}
    assert all("00009.png: " in reason for _, reason in skipped)


@pytest.mark.parametrize("objective", ["SimCLR", "PixPro"])
def test_two_view_objectives_train_on_pairs(root: Path, tmp_path: Path, objective: str) -> None:
    values = {k: v for k, v in Config.fromfile(RECIPE).to_dict().items() if not k.startswith("_")}
    values["source"].update(
        root=str(root), min_gap=2, tracks=str(save(tmp_path / "t.json", rows()))
    )
    values["model"].update(
        backbone=dict(type="TimmBackbone", name="test_resnet"),
        objectives=[dict(type=objective, hidden=16, dim=8)],
    )
    values["schedule"].update(samples=16, global_batch=8, warmup_samples=0)
    values["work_dir"] = str(tmp_path / "run")
    cfg = PretrainConfig(values)
    assert check(cfg).startswith("15 images, 2 steps of 8")
    runner = build_runner(cfg)
    runner.train()
    assert all(torch.isfinite(p).all() for p in runner.model.parameters())
    assert (tmp_path / "run" / "final.pth").is_file()


def test_real_video(shared_data: Path, tmp_path: Path) -> None:
    """80 frames and the object's mask in each, from whose extent a track follows."""
    with tarfile.open(shared_data / "video_davis_bmx-trees.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / "video_davis_bmx-trees"
    with pytest.raises(SourceError, match="no two frames that are 80"):
        FramePairs(root, min_gap=80, extensions=[".jpg"])
    entries = []
    for mask in sorted((root / "bmx-trees_mask").glob("*.png")):
        ys, xs = np.nonzero(cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE))
        box = dict(x1=int(xs.min()), y1=int(ys.min()), x2=int(xs.max()) + 1, y2=int(ys.max()) + 1)
        entries.append(dict(video="bmx-trees", track="rider", frame=int(mask.stem), **box))
    common = dict(root=str(root), min_gap=5, max_gap=20, extensions=[".jpg"])
    whole = DATASETS.build(dict(type="FramePairs", **common))
    tracked = FramePairs(tracks=save(tmp_path / "tracks.json", entries), **common)
    assert len(whole) == len(tracked) == 80
    recipe = ViewRecipe({"global": [dict(size=32, scale=(0.2, 1.0))] * 2})
    for source in (whole, tracked):
        samples = [ViewDataset(source, recipe)[0, index] for index in range(0, 80, 4)]
        assert not any(sample.skipped for sample in samples)
        assert all(len(torch.unique(sample.views["global"].images[1])) > 8 for sample in samples)
    assert all(
        image.box is not None
        for i in range(80)
        for image in tracked.source_images(i, np.random.default_rng(i))
    )
