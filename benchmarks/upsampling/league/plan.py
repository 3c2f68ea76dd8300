"""What a league consists of: networks, upsamplers, trainings, benchmarks, and where files lie."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.core.commands import choose_device, require_distinct
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import grid_of
from benchmarks.core.subject import identity
from benchmarks.core.upsamplers import NONE, load_upsampler
from benchmarks.evaluate.run import make_tasks
from benchmarks.evaluate.suite import Task
from benchmarks.upsampling import training
from pretrain.data.sources import ImageFolder
from pretrain.files import read_dict, sha256_of
from pretrain.specs import parse_spec

REFERENCE, CONTROL, STACK, SHARED = "bilinear", "blur", "jbu", "neighbourhood"
#: Upsamplers without weights, first those that the others have to beat.
FIXED = (NONE, REFERENCE, "bicubic", CONTROL, "guided", "bilateral")
#: The objective that trains each of the others.
OBJECTIVES = {STACK: "consistency", SHARED: "regression"}
#: File beside a training that says how it was asked for.
REQUEST = "request.json"
_OWN = {"schedule.samples": "--samples", "seed": "--seeds", "work_dir": "--work-dir"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What ``pixelpretext league`` is asked for; its help says how each is written.

    Attributes:
        networks: specs of :meth:`FeatureExtractor.load`. data: ``LAYOUT:ROOT?options``.
        photos: folder of images that upsamplers are trained on.
        benchmarks: names. settings: ``BENCHMARK.KEY=VALUE``.
        seeds: trainings of the stack on each network, with the seeds 0, 1, …
        samples: photos shown in a training; of several lengths each has its tables.
        size: side of the training crops in pixels.
        cfg_options: ``KEY=VALUE`` of the trainings; those of ``model.`` are of the stack's only.
        also: specs of further upsamplers.
        upsampled_stride: pixels per upsampled feature; None: the benchmark's own.
        device: None: cuda where it is. work_dir: for everything that is written.

    Raises:
        ValueError: a number that is not above 0, or something named twice.
    """

    networks: Sequence[str]
    data: Sequence[str]
    photos: str
    benchmarks: Sequence[str] = ("probe",)
    settings: Sequence[str] = ()
    seeds: int = 3
    samples: Sequence[int] = (8_000,)
    size: int = 224
    cfg_options: Sequence[str] = ()
    also: Sequence[str] = ()
    upsampled_stride: int | None = None
    device: str | None = None
    work_dir: str = "work_dirs/league"

    def __post_init__(self) -> None:
        numbers = [("--seeds", self.seeds), ("--size", self.size)]
        numbers += [("--samples", samples) for samples in self.samples]
        if self.upsampled_stride is not None:
            numbers.append(("--upsampled-stride", self.upsampled_stride))
        for option, value in numbers:
            if value < 1:
                raise ValueError(f"{option} {value}: must be at least 1")
        require_distinct(self.networks, "network")
        for option in ("benchmarks", "also", "samples"):
            require_distinct(list(map(str, getattr(self, option))), f"--{option}")
        for option in self.cfg_options:
            key = option.partition("=")[0]
            if key in _OWN:
                raise ValueError(f"--cfg-options {option}: say it by {_OWN[key]}")
        for spec in self.also:
            if spec in (*FIXED, *OBJECTIVES):
                raise ValueError(f"--also {spec}: it is in every league; leave it out")


@dataclass(frozen=True)
class Entrant:
    """A network.

    Attributes:
        spec: see :meth:`FeatureExtractor.load`.
        folder: of what is measured of it and trained for it.
        stride: pixels per cell of its own map.
        channels: of that map.
    """

    spec: str
    folder: Path
    stride: int
    channels: int


@dataclass(frozen=True)
class Training:
    """One training of an upsampler.

    Attributes:
        kind: ``jbu`` or ``neighbourhood``.
        entrant: whose features it learns from.
        samples: photos shown. seed: of the training.
        folder: of the run.
    """

    kind: str
    entrant: Entrant
    samples: int
    seed: int
    folder: Path

    @property
    def spec(self) -> str:
        """The trained upsampler."""
        return f"{self.kind}:{self.folder / 'final.pth'}"


@dataclass(frozen=True)
class League:
    """Everything opened and checked.

    Attributes:
        options: what was asked for.
        device: where it runs.
        tasks: benchmarks with their data.
        entrants: the networks.
        photos: how many there are.
        shared: sentences on photos that benchmarks know.
    """

    options: Options
    device: str
    tasks: tuple[Task, ...]
    entrants: tuple[Entrant, ...]
    photos: int
    shared: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """For everything that is written."""
        return Path(self.options.work_dir)

    def trainings(self, entrant: Entrant, samples: int) -> list[Training]:
        """The trainings whose upsamplers are measured on a network: of the stack one per seed; the
        one of the neighbourhood upsampler, which knows no backbone, is on the finest map, where a
        photo has most cells to learn from.
        """
        finest = min(self.entrants, key=lambda one: one.stride)
        own = []
        for seed in range(self.options.seeds):
            folder = entrant.folder / f"{STACK}_{samples}_{seed}"
            own.append(Training(STACK, entrant, samples, seed, folder))
        folder = finest.folder / f"{SHARED}_{samples}_0"
        return [*own, Training(SHARED, finest, samples, 0, folder)]

    def arms(self, entrant: Entrant, samples: int) -> dict[str, list[str]]:
        """Name of each upsampler -> its specs, one per seed; those that are not trained for the
        seed have the same for all.
        """
        seeds = self.options.seeds
        arms = {name: [name] * seeds for name in FIXED}
        *stacks, shared = self.trainings(entrant, samples)
        arms[STACK] = [one.spec for one in stacks]
        arms[SHARED] = [shared.spec] * seeds
        return arms | {spec: [spec] * seeds for spec in self.options.also}

    def sections(self) -> Iterator[tuple[Entrant, int]]:
        """The conditions: every network with every length of training."""
        for entrant in self.entrants:
            for samples in self.options.samples:
                yield entrant, samples

    def all_trainings(self) -> list[Training]:
        """Those of all sections, each once."""
        trainings: dict[Path, Training] = {}
        for entrant, samples in self.sections():
            for one in self.trainings(entrant, samples):
                trainings[one.folder] = one
        return list(trainings.values())

    def settled(self, one: Training) -> dict[str, Any]:
        """What a training depends on, as JSON has it; written beside it."""
        settled = asdict(self.request(one)) | dict(data=str(Path(self.options.photos).resolve()))
        for name in ("work_dir", "resume", "launcher", "check"):
            del settled[name]
        return json.loads(json.dumps(settled))

    def require_same(self, one: Training) -> None:
        """Refuses a folder whose training was asked for otherwise.

        Raises:
            ValueError: names the folder and the first setting that differs.
        """
        settled = self.settled(one)
        for name, value in read_dict(one.folder / REQUEST).items():
            if settled.get(name) != value:
                raise ValueError(
                    f"--work-dir: {one.folder} holds a training with {name}={value!r}, not "
                    f"{settled.get(name)!r}; choose another folder, or remove this one"
                )

    def stride(self, task: Task) -> int:
        """Pixels per upsampled feature in a benchmark."""
        return self.options.upsampled_stride or task.benchmark.upsampled_stride

    def request(self, one: Training, *, resume: str | bool = "auto") -> training.Options:
        """What ``pixelpretext train-upsampler`` is asked for."""
        chosen = self.options.cfg_options
        if one.kind != STACK:
            chosen = [option for option in chosen if not option.startswith("model.")]
        return training.Options(
            backbone=one.entrant.spec,
            data=self.options.photos,
            upsampler=one.kind,
            objective=OBJECTIVES[one.kind],
            size=self.options.size,
            samples=one.samples,
            seed=one.seed,
            work_dir=str(one.folder),
            resume=resume,
            cfg_options=chosen,
        )


def open_league(options: Options) -> League:
    """Opens data and networks and checks all that can be checked before any work.

    Raises:
        ValueError, OSError: a mistake in the options or the data; a benchmark that reads no maps;
            a network that refuses the images; an upsampler that does not fit a network.
    """
    device = choose_device(options.device)
    photos = ImageFolder(options.photos, labels=False)
    files = [Path(photos.name(number)) for number in range(len(photos))]
    tasks = make_tasks(options.benchmarks, options.data, options.settings, quick=False)
    for task in tasks:
        if task.benchmark.upsampled_stride is None:
            raise ValueError(
                f"benchmark {task.name} reads no maps: no upsampler changes its number; leave it "
                "out"
            )
    entrants = tuple(_entrant(spec, tasks, options) for spec in options.networks)
    shared = [sentence for task in tasks for sentence in shared_photos(files, task)]
    unique = tuple(dict.fromkeys(shared))
    league = League(options, device, tuple(tasks), entrants, len(photos), unique)
    for one in league.all_trainings():
        league.require_same(one)
    for entrant in entrants:
        own = league.trainings(entrant, options.samples[0])
        for one in {one.kind: one for one in own}.values():
            training.require_trainable(league.request(one))
    return league


def _entrant(spec: str, tasks: Sequence[Task], options: Options) -> Entrant:
    """Loads a network once and describes it."""
    extractor = FeatureExtractor.load(spec)
    for task in tasks:
        task.check(extractor)
        size = getattr(task.settings, "size", None)
        if isinstance(size, tuple):
            grid_of(size, extractor.map_stride)
    for other in options.also:
        load_upsampler(other, channels=extractor.channels)
    stride = extractor.map_stride
    source, _ = parse_spec(spec)
    name = "_".join(Path(source.partition(":")[2] or source).with_suffix("").parts[-2:])
    name = re.sub(r"[^\w.-]+", "_", name).strip("_")
    folder = f"{name}_stride{stride}_{identity(extractor.describe())[:8]}"
    return Entrant(spec, Path(options.work_dir) / folder, stride, extractor.channels)


def shared_photos(photos: Sequence[Path], task: Task) -> Iterator[str]:
    """Says which images of a benchmark are, byte by byte, among the photos that upsamplers see."""
    train = getattr(getattr(task.data, "train", None), "files", ())
    for part, files in (("train", train), ("scored", task.data.scored_files)):
        count = _in_common(photos, files)
        if count:
            yield (
                f"{count} of the {len(photos):,} photos that upsamplers are trained on are {part} "
                f"images of {task.name}: its numbers do not show how well they do on images that "
                "they never saw."
            )


def _in_common(photos: Sequence[Path], files: Sequence[Any]) -> int:
    """How many photos have the content of one of the files."""
    paths = list(map(Path, files))
    sizes = {path.stat().st_size for path in paths}
    alike = [photo for photo in photos if photo.stat().st_size in sizes]
    lengths = {photo.stat().st_size for photo in alike}
    known = {sha256_of(path) for path in paths if path.stat().st_size in lengths}
    return sum(sha256_of(photo) in known for photo in alike)
