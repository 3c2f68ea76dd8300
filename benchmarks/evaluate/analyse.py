"""The command ``pixelpretext analyse``: one analysis on checkpoints, by the steps of
:func:`benchmarks.evaluate.run.evaluate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from benchmarks.core.benchmark import Benchmark
from benchmarks.evaluate.run import Options, evaluate
from benchmarks.evaluate.suite import BENCHMARKS, analyses
from benchmarks.weights.checkpoint import Checkpoint
from pretrain.command_line import as_typed, read_pairs
from pretrain.names import suggestion
from pretrain.specs import parse_spec


@dataclass(frozen=True)
class AnalysisOptions:
    """What ``pixelpretext analyse`` is asked for; its help says how each is written.

    Attributes:
        analysis: its name. networks: specs of :meth:`FeatureExtractor.load`.
        data: ``LAYOUT:ROOT?options``. settings: ``KEY=VALUE``.
        reference: spec of the second network; None: the analysis' own default.
        weights, quick, baselines, report, device, out: as in :class:`Options`.
    """

    analysis: str
    networks: Sequence[str]
    data: Sequence[str]
    settings: Sequence[str] = ()
    reference: str | None = None
    weights: str = "online"
    quick: bool = False
    baselines: bool = False
    report: str | None = None
    device: str | None = None
    out: str = "work_dirs/analyses.jsonl"


def analyse(options: AnalysisOptions) -> list[str]:
    """Runs an analysis on every network; returns what to do next, a sentence each.

    Raises:
        ValueError, OSError, MemoryError: no such analysis; a ``reference`` for one that compares
            with none; else as :func:`evaluate`.
    """
    analysis = find_analysis(options.analysis)
    evaluate(
        Options(
            networks=in_order_of_training(options.networks),
            benchmark=[analysis.name],
            data=options.data,
            settings=_settings(analysis, options),
            weights=options.weights,
            quick=options.quick,
            baselines=options.baselines,
            report=options.report,
            device=options.device,
            out=options.out,
        )
    )
    return _next_steps(analysis, options)


def find_analysis(name: str) -> Benchmark:
    """Returns an analysis by its name.

    Raises:
        ValueError: there is none; says so, and what ``name`` is where it is a benchmark.
    """
    known = analyses()
    if name in known:
        return known[name]
    if name in BENCHMARKS:
        raise ValueError(
            f"{name!r} is a benchmark, not an analysis; run "
            + as_typed(f"pixelpretext evaluate … --benchmark {name}")
        )
    raise ValueError(
        f"there is no analysis {name!r}{suggestion(name, known)}; legal: {', '.join(known)}"
    )


def in_order_of_training(networks: Sequence[str]) -> list[str]:
    """Puts checkpoints of one training in the order of the samples they have seen, the training
    where its first checkpoint stood.

    Args:
        networks: specs; those that are no files keep their place.

    Raises:
        ValueError, FileNotFoundError: a file that is no checkpoint, an option that is misspelt.
    """
    trainings: dict[str, list[tuple[int, str]]] = {}
    for spec in networks:
        source, _ = parse_spec(spec)
        meta = Checkpoint.read(source).meta if Path(source).is_file() else {}
        samples = meta.get("samples_seen") or 0
        trainings.setdefault(meta.get("cfg") or spec, []).append((samples, spec))
    ordered: list[str] = []
    for checkpoints in trainings.values():
        checkpoints.sort(key=lambda checkpoint: checkpoint[0])
        ordered += [spec for _, spec in checkpoints]
    return ordered


def _settings(analysis: Benchmark, options: AnalysisOptions) -> list[str]:
    """``BENCHMARK.KEY=VALUE``, the reference among them."""
    names = [setting.name for setting in fields(analysis.settings)]
    example = f"{names[0]}=…" if names else "key=…"
    given = read_pairs(options.settings, option="--set", example=example, parse=str)
    if options.reference is not None:
        if "reference" not in names:
            raise ValueError(
                f"--reference {options.reference!r}: {analysis.name} compares with no second "
                "network; leave it out"
            )
        if "reference" in given:
            raise ValueError(
                f"--reference {options.reference!r} and --set reference={given['reference']!r} "
                "both name the second network; give one of them"
            )
        given["reference"] = options.reference
    return [f"{analysis.name}.{key}={value}" for key, value in given.items()]


def _next_steps(analysis: Benchmark, options: AnalysisOptions) -> list[str]:
    steps = [
        f"what {analysis.name} means and what it does not: docs/analyses.md",
        f"over seeds, with intervals: type={analysis.name!r} among the benchmarks of a comparison "
        "(docs/comparing.md)",
    ]
    if analysis.figures and options.report is None:
        steps.insert(0, "its figure, on a page: the same command with --report FOLDER")
    source, _ = parse_spec(options.networks[0])
    along = sorted(Path(source).parent.glob("iter_*.pth")) if Path(source).is_file() else []
    if along and len(options.networks) == 1:
        steps.insert(0, f"along its training: the same command on {along[0].parent}/iter_*.pth")
    return steps
