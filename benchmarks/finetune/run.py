"""One fine-tuning from start to record: trained by the engine, evaluated once, with the last
weights.
"""

from __future__ import annotations

import time
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image

from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric, Record, versions
from benchmarks.core.subject import identity
from benchmarks.core.vectors import TOP, accuracy, require_finite, top_of
from benchmarks.data.class_folder import ClassFolder, ClassSplit
from benchmarks.finetune.classifier import Classifier
from benchmarks.finetune.recipe import NAME, Fitted, fit
from benchmarks.finetune.settings import Settings
from benchmarks.weights.checkpoint import Checkpoint
from pretrain.engine.build import build_runner
from pretrain.engine.distributed import broadcast, current_device
from pretrain.engine.hooks.progress import ProgressHook
from pretrain.engine.resumption import RunLock
from pretrain.progress import Progress
from pretrain.random_state import undisturbed_random


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Fine-tunes a copy of the extractor's network: top-1 and top-5 accuracy in percent.

    With ``settings.work_dir`` a run that was cut off goes on where its last checkpoint was, and one
    that is over is only evaluated. Collective where a process group is open; all ranks return the
    result.

    Raises:
        ConfigError, ValueError: a mistake in recipe, labels or data; several processes without a
            ``work_dir``.
        FileNotFoundError: no such list of labels.
    """
    if settings.work_dir is not None:
        return _finetune(fit(extractor, data, settings), data, settings, progress=progress)
    if dist.is_initialized():
        raise ValueError(
            "work_dir=None: several processes need one folder to share; give it, or run "
            "pixelpretext finetune"
        )
    with TemporaryDirectory() as folder:
        fitted = fit(extractor, data, replace(settings, work_dir=folder))
        return _finetune(fitted, data, settings, progress=progress)


def _finetune(
    fitted: Fitted, data: ClassFolder, settings: Settings, *, progress: Progress | None
) -> Result:
    """Trains what :func:`benchmarks.finetune.recipe.fit` made, unless that is done, and evaluates
    it; see :func:`run`.
    """
    train(fitted, progress=progress)
    with undisturbed_random(current_device()):
        record = _evaluate(fitted, data, settings, progress) if is_main_process() else None
        return broadcast(record)


def train(fitted: Fitted, *, wait_s: float | None = None, progress: Progress | None = None) -> None:
    """Trains to the end, from the newest checkpoint if there is one, unless that is done: then
    ``fitted.final`` is there. Collective.

    The caller's random generators are as before afterwards.

    Args:
        fitted: what to train.
        wait_s: seconds to wait for another process that works on this very fine-tuning; None: a
            few, in which a killed one may end.
        progress: called with ("fine-tune", step, steps).

    Raises:
        ConfigError: another process still works on this very fine-tuning.
    """
    lock = RunLock(fitted.work_dir, wait_s=wait_s)
    with undisturbed_random(current_device()):
        try:
            lock.take(expected=True)
            if is_main_process():
                fitted.write()
            if not broadcast(fitted.final.is_file()):
                _run_engine(fitted, progress)
        finally:
            lock.release()


def _run_engine(fitted: Fitted, progress: Progress | None) -> None:
    runner = build_runner(fitted.cfg, resume="auto")
    if progress is not None:
        runner.register_hook(_StepReporter(progress))
        for hook in runner.hooks:
            if isinstance(hook, ProgressHook):
                hook.bar = False
    runner.train()


class _StepReporter(Hook):
    """Hands the steps on to whoever shows the progress."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Reports a step."""
        self.progress("fine-tune", runner.iter + 1, runner.max_iters)


def _evaluate(
    fitted: Fitted, data: ClassFolder, settings: Settings, progress: Progress | None
) -> Result:
    """Evaluates the final weights on the validation part."""
    started = time.perf_counter()
    device = current_device()
    classifier = Classifier.load(fitted.final, device)
    metrics, counts = evaluate(
        classifier, data.val, batch_size=settings.batch_size, progress=progress
    )
    trained = Checkpoint.read(fitted.final).meta["seconds"]
    cost = dict(seconds=trained + time.perf_counter() - started)
    subject = fitted.subject | dict(finetuned=classifier.describe()["fingerprint"])
    return Result(
        metrics,
        counts,
        cost,
        facts=fitted.protocol,
        subject=subject,
        versions=versions(str(device)),
    )


def evaluate(
    classifier: Classifier,
    split: ClassSplit,
    *,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> tuple[dict[str, Metric], dict[str, Any]]:
    """Returns metrics and counts of :func:`benchmarks.core.vectors.accuracy` on a split: bicubic
    resize, centre crop.

    Raises:
        ValueError: scores that are not finite; names the image.
    """
    scores = []
    total = -(-len(split) // batch_size)
    options = dict(crop_fraction=classifier.crop_fraction, resample=Image.Resampling.BICUBIC)
    for images, ids in split.batches(classifier.size, batch_size, **options):
        logits = classifier.logits(images).cpu()
        require_finite(logits, ids, split=split, what="scores are")
        scores.append(logits)
        if progress:
            progress("evaluate", len(scores), total)
    return accuracy(torch.cat(scores), split.labels)


def finished(records: list[Record], fitted: Fitted) -> Record | None:
    """Returns the record of this very fine-tuning among ``records``, if it is there."""
    wanted = Record(NAME, {}, fitted.protocol).protocol_hash
    network, seed = identity(fitted.subject), fitted.subject["tuning_seed"]
    for record in records:
        if record.benchmark != NAME or record.protocol_hash != wanted:
            continue
        if record.subject["tuning_seed"] == seed and identity(record.subject) == network:
            return record
    return None


BENCHMARK = Benchmark(
    name=NAME,
    about="classes of images by fine-tuning the whole network",
    settings=Settings,
    run=run,
    data=ClassFolder,
    metrics=TOP,
    expected=top_of,
)
