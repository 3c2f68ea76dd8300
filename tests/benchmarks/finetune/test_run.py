"""From a network and a class folder to a record, and back from a checkpoint, on the real engine."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record
from benchmarks.data import ClassFolder
from benchmarks.evaluate.suite import make_task
from benchmarks.finetune import BENCHMARK, Settings
from benchmarks.finetune.classifier import Classifier
from benchmarks.finetune.recipe import fit
from benchmarks.finetune.run import finished
from benchmarks.report.statistics.bootstrap import image_sums
from pretrain.engine.settings import ConfigError

OPTIONS = {
    "schedule.global_batch": 4,
    "schedule.epochs": 2,
    "schedule.warmup_epochs": 0,
    "model.size": 32,
    "views.size": 32,
    "engine.checkpoint_every": 3,
    "engine.keep_checkpoints": 100,
}
#: Everything random at once, for tests of what is repeated exactly.
AUGMENTED = OPTIONS | {
    "model.mixup": 0.8,
    "model.cutmix": 1.0,
    "model.erase": 0.25,
    "views.randaugment": "rand-m9-mstd0.5-inc1",
}
NETWORK = "random:test_resnet"
VIT = "random:vit_tiny_patch16_224?patch_size=8&img_size=32&depth=2&embed_dim=24&num_heads=2"


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """Sums depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(work_dir: Path, options: dict[str, Any] = OPTIONS, **changes: Any) -> Settings:
    """Returns small settings."""
    return Settings(**dict(recipe="tiny", options=options, work_dir=str(work_dir)) | changes)


def finals(work_dir: Path) -> list[Path]:
    """Returns the fine-tuned networks below a folder."""
    return sorted(work_dir.rglob("final.pth"))


def test_a_tiny_network_learns_the_classes(split_folder: Path, tmp_path: Path) -> None:
    """Three hues, chance 33 %; the generators of the caller are as before."""
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    expected = random.random(), np.random.rand(), torch.rand(1)
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    record = BENCHMARK.measure(
        FeatureExtractor.load(NETWORK), ClassFolder(split_folder), settings(tmp_path)
    )
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected
    assert (
        record.benchmark == "finetune"
        and record.metrics["top1"].value > 90
        and "top5" not in record.metrics
    )
    assert len(record.counts["top1"]) == 12 and record.subject["tuning_seed"] == 0
    fitted = fit(FeatureExtractor.load(NETWORK), ClassFolder(split_folder), settings(tmp_path))
    assert record.protocol == fitted.protocol  # no setting joins what recipe and labels decide
    (final,) = finals(tmp_path)
    classifier = Classifier.load(final)
    assert (
        classifier.classes == ("blue", "green", "red")
        and classifier.size == 32
        and not classifier.training
    )
    logits = classifier.logits(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
    assert logits.shape == (2, 3) and logits.dtype == torch.float32
    assert classifier.describe()["fingerprint"] == record.subject["finetuned"]
    # The file is a checkpoint of ours, too.
    assert FeatureExtractor.load(str(final)).vector(torch.zeros(1, 3, 32, 32)).shape[0] == 1


def test_the_same_weights_with_other_heads_are_another_run(
    split_folder: Path, tmp_path: Path
) -> None:
    data, chosen = ClassFolder(split_folder), settings(tmp_path)
    two, three = (
        fit(FeatureExtractor.load(VIT.replace("heads=2", f"heads={n}")), data, chosen)
        for n in (2, 3)
    )
    record = Record("finetune", {}, two.protocol, subject=two.subject)
    assert (
        two.work_dir != three.work_dir
        and finished([record], two) is record
        and finished([record], three) is None
    )


def test_classifier_and_training_see_the_same_scores(split_folder: Path, tmp_path: Path) -> None:
    """uint8 images through ``logits`` and normalised ones through ``forward``."""
    BENCHMARK.measure(FeatureExtractor.load(VIT), ClassFolder(split_folder), settings(tmp_path))
    classifier = Classifier.load(finals(tmp_path)[0])
    assert isinstance(
        classifier.head.norm, torch.nn.LayerNorm
    ) and classifier.backbone.out_indices == (1,)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (classifier.mean, classifier.std))
    with torch.no_grad():
        expected = classifier((images / 255 - mean) / std)
    torch.testing.assert_close(classifier.logits(images), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(classifier.logits(images / 255), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("network", [NETWORK, VIT])
def test_a_run_cut_off_ends_as_one_that_was_not(
    network: str, split_folder: Path, tmp_path: Path
) -> None:
    extractor, data = FeatureExtractor.load(network), ClassFolder(split_folder)
    chosen = settings(tmp_path, AUGMENTED | {"model.drop_path": 0.2})
    whole = BENCHMARK.measure(extractor, data, chosen)
    (final,) = finals(tmp_path)
    expected = torch.load(final, weights_only=True)["state_dict"]
    assert {p.name for p in final.parent.glob("iter_*.pth")} == {
        f"iter_{n}.pth" for n in (3, 6, 9, 12)
    }
    for name in ("final.pth", "iter_9.pth", "iter_12.pth"):
        (final.parent / name).unlink()
    again = BENCHMARK.measure(extractor, data, chosen)
    found = torch.load(final, weights_only=True)["state_dict"]
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert again.metrics == whole.metrics and again.subject == whole.subject
    assert again.protocol_hash == whole.protocol_hash


def test_what_is_over_is_only_evaluated(split_folder: Path, tmp_path: Path) -> None:
    extractor, data = FeatureExtractor.load(NETWORK), ClassFolder(split_folder)
    first = BENCHMARK.measure(extractor, data, settings(tmp_path))
    (final,) = finals(tmp_path)
    before = final.stat().st_mtime_ns
    shutil.rmtree(final.parent / "none", ignore_errors=True)
    assert BENCHMARK.measure(extractor, data, settings(tmp_path)).metrics == first.metrics
    assert final.stat().st_mtime_ns == before and finals(tmp_path) == [final]


def test_seeds_share_a_protocol_and_everything_else_does_not(
    split_folder: Path, tmp_path: Path
) -> None:
    extractor, data = FeatureExtractor.load(NETWORK), ClassFolder(split_folder)
    (tmp_path / "list.txt").write_text("red_1.jpg\nblue_1.jpg\ngreen_0.jpg\ngreen_1.jpg\n")

    def fitted(folder: Path = split_folder, **changes: Any) -> tuple[str, Path]:
        made = fit(
            extractor,
            data if folder is split_folder else ClassFolder(folder),
            settings(tmp_path, **changes),
        )
        return Record("finetune", {}, made.protocol).protocol_hash, made.work_dir

    base = fitted()
    seeds = [fitted(tuning_seed=seed) for seed in (0, 1)]
    assert seeds[0] == base and seeds[1][0] == base[0] and seeds[1][1] != base[1]
    assert fitted(batch_size=3) == base
    unchanged = ("engine.log_every", 7), ("loader.workers", 1), ("engine.checkpoint_every", 5)
    for key, value in unchanged:
        assert fitted(options=OPTIONS | {key: value}) == base, key
    others = [
        fitted(options=OPTIONS | {key: value})[0]
        for key, value in (
            ("schedule.epochs", 3),
            ("optimizer.layer_decay", 0.7),
            ("model.mixup", 0.5),
            ("views.scale", (0.5, 1.0)),
            ("model.crop_fraction", 1.0),
            ("engine.precision", "bf16"),
            ("hooks", [dict(type="EarlyClipHook", norm=1.0, steps=3)]),
        )
    ]
    others += [fitted(fraction=0.5)[0], fitted(fraction=0.5, fraction_seed=1)[0]]
    others += [fitted(labels=str(tmp_path / "list.txt"))[0]]
    assert len({base[0], *others}) == len(others) + 1


def test_networks_share_a_protocol(split_folder: Path, tmp_path: Path) -> None:
    data = ClassFolder(split_folder)
    made = [
        fit(FeatureExtractor.load(spec), data, settings(tmp_path))
        for spec in (NETWORK, NETWORK + "?seed=1", VIT)
    ]
    assert len({Record("finetune", {}, m.protocol).protocol_hash for m in made}) == 1
    assert len({m.work_dir for m in made}) == 3


def test_frozen_patches_are_trained_and_the_table_is_not(
    split_folder: Path, tmp_path: Path
) -> None:
    from mmengine.registry import MODELS

    options = dict(patch_size=8, img_size=32, depth=2, embed_dim=24, num_heads=2)
    backbone = MODELS.build(dict(type="SinCosViT", name="vit_tiny_patch16_224", **options))
    BENCHMARK.measure(
        FeatureExtractor(backbone.eval(), spec="sincos"),
        ClassFolder(split_folder),
        settings(tmp_path),
    )
    tuned = Classifier.load(finals(tmp_path)[0]).backbone.state_dict()
    moved = {
        key for key, value in backbone.state_dict().items() if not torch.equal(tuned[key], value)
    }
    assert "model.patch_embed.proj.weight" in moved and "model.pos_embed" not in moved
    assert "model.norm.weight" not in moved and "model.blocks.1.mlp.fc1.weight" in moved


def test_as_a_benchmark_of_the_suite(image_folder: Path) -> None:
    """In a folder of its own that does not stay; progress is told."""
    told = set()
    config = dict(data=dict(root=image_folder), options=OPTIONS, fraction=0.5)
    task = make_task("finetune", config)
    record = task.benchmark.measure(
        FeatureExtractor.load(NETWORK),
        task.data,
        task.settings,
        progress=lambda phase, done, total: told.add((phase, done <= total)),
    )
    assert record.protocol["labels"]["images"] == 9 and told == {
        ("fine-tune", True),
        ("evaluate", True),
    }
    images = image_sums(record, "top1")
    assert images.parts.mean() == pytest.approx(record.metrics["top1"].value / 100)
    assert len(images.images) == len(task.data.val)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(fraction=0.0), "fraction=0.0: must be above 0"),
        (dict(recipe="tinny"), "recipe: no config 'tinny'; did you mean 'tiny'"),
        (dict(tuning_seed=-1), "tuning_seed=-1 must be at least 0"),
        (dict(fraction=0.5, labels="x.txt"), "give one of the two"),
    ],
)
def test_mistakes_in_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule.global_batch": 64}, "global_batch=64: larger than the source"),
        ({"schedule.global_batch": 3, "model.mixup": 0.8}, "mixup and cutmix pair images"),
        ({"optimizer.layer_dcay": 0.8}, "did you mean 'layer_decay'"),
        ({"model.poling": "mean"}, "did you mean 'pooling'"),
    ],
)
def test_mistakes_in_recipes(
    options: dict[str, Any], message: str, split_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(
            FeatureExtractor.load(NETWORK),
            ClassFolder(split_folder),
            settings(tmp_path, OPTIONS | options),
        )
    assert not finals(tmp_path)


def test_a_train_folder_alone(split_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(split_folder / "train", tmp_path / "data" / "train")
    shutil.copytree(split_folder / "val", tmp_path / "data" / "test")
    with pytest.raises(ValueError, match="has a folder 'train' but no 'val'"):
        fit(FeatureExtractor.load(NETWORK), ClassFolder(tmp_path / "data"), settings(tmp_path))


def test_a_pretraining_is_no_classifier(tmp_path: Path) -> None:
    torch.save(
        {"meta": {"backbone": {"name": "test_resnet"}}, "state_dict": {}}, tmp_path / "final.pth"
    )
    with pytest.raises(ValueError, match=r"holds no classifier: fine-tune it first"):
        Classifier.load(tmp_path / "final.pth")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("seed", 5, "=5: it would have no effect, .* sets it to 0; give --seeds"),
        ("model.data_preprocessor.mean", [0, 0, 0], "normalised as in the network's pretraining"),
        ("model.classes", ["a", "b"], "classes are the folders of --data"),
        ("source.root", "elsewhere", "images are those of --data"),
        ("load_from", "x.pth", "is what it starts from"),
        (
            "model.backbone.drop_path_rate",
            0.2,
            "the network is the one given, with options in its spec",
        ),
    ],
)
def test_overrides_that_would_not_count_are_refused(
    split_folder: Path, tmp_path: Path, key: str, value: Any, words: str
) -> None:
    extractor, data = FeatureExtractor.load(NETWORK), ClassFolder(split_folder)
    with pytest.raises(ConfigError, match=f"--cfg-options {key}.*{words}"):
        fit(extractor, data, settings(tmp_path, OPTIONS | {key: value}))
