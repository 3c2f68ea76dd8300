"""Post-training as a comparison: what the command line makes of the template, that a rate of
nothing changes nothing, and the last line.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from benchmarks.compare import evaluate as evaluation
from benchmarks.compare.budget import with_samples
from benchmarks.compare.configs import write_config
from benchmarks.compare.forecast import forecast
from benchmarks.compare.parts import Evaluation
from benchmarks.compare.plan import load_plan
from benchmarks.compare.post_train import CONTROL, Request, conclusion, write_comparison
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.export.run import export
from pretrain.engine.build import build_runner
from pretrain.engine.config import PretrainConfig
from pretrain.hooks.structure_course import read_course

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = str(ROOT / "configs/comparisons/post_train_small.py")
ARMS = "DenseCL PixPro PaKA DenseCL+Gram NeCo DINO+KoLeo distilled scratch".split()
VIT = dict(img_size=32, patch_size=8, embed_dim=24, depth=1, num_heads=2)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Four images to learn from and two that are scored, in CamVid's layout."""
    random = np.random.default_rng(0)
    for part, count in (("train", 4), ("val", 2)):
        for frame in range(count):
            for folder, shape, most in ((part, (32, 64, 3), 256), (f"{part}annot", (32, 64), 3)):
                path = tmp_path / "masks" / folder / f"0001TP_{frame:05d}.png"
                path.parent.mkdir(exist_ok=True, parents=True)
                Image.fromarray(random.integers(0, most, shape).astype(np.uint8)).save(path)
    return tmp_path / "masks"


@pytest.fixture
def request_(tmp_path: Path, image_folder: Path, masks: Path) -> Request:
    """A request for a tiny convolutional network in a file without a licence."""
    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "resnet.pth")
    return Request(
        backbone=f"{tmp_path / 'resnet.pth'}?backbone=test_resnet&output_stride=8",
        images=[str(image_folder)],
        masks=f"camvid:{masks}",
        template=TEMPLATE,
        budget=dict(samples=400),
        batch=4,
        size=(32, 60),
        view_size=32,
    )


def test_the_comparison_is_the_template_with_the_users_own(
    request_: Request, image_folder: Path, tmp_path: Path
) -> None:
    asked = replace(
        request_,
        backbone=f"{request_.backbone}&mean=.5,.5,.5&std=.25,.25,.25&licence=CC BY 4.0",
        classes=[f"classes:{image_folder}?held_back=0.5"],
        seeds=(3, 4),
        lr=2e-5,
    )
    written = write_comparison(asked, tmp_path / "out")
    assert written.images == 24 and written.backbone.licence == "CC BY 4.0"
    assert list(written.left_out) == ["iBOT++"] and "needs a ViT" in written.left_out["iBOT++"]
    plan = load_plan(written.path, tmp_path / "out")
    assert [arm.name for arm in plan.arms] == [CONTROL, *ARMS]
    assert plan.seeds == (3, 4) and "CC BY 4.0" in plan.title and not plan.prepare
    (untouched,) = (t.config for t in plan.trials if t.name == f"{CONTROL}/seed_3")
    assert untouched["model"]["backbone"] == dict(
        type="TimmBackbone",
        name="test_resnet",
        output_stride=8,
        start=f"{tmp_path / 'resnet.pth'}?licence=CC BY 4.0",
        frozen_statistics=True,
    )
    colours = dict(mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25])
    assert untouched["model"]["data_preprocessor"] == dict(type="ViewPreprocessor", **colours)
    assert untouched["schedule"]["lr"] * untouched["optimizer"]["backbone_lr"] == pytest.approx(
        2e-5
    )
    assert untouched["optimizer"]["heads_first"] == round(0.1 * 400 / 24, 4)
    recipes = plan.recipes
    assert recipes["scratch"]["model"]["backbone"]["start"] is None
    teacher = recipes["distilled"]["model"]["reference"]["backbone"]
    assert teacher == untouched["model"]["backbone"]
    groups = [recipes[arm]["views"]["groups"] for arm in ("DINO+KoLeo", "DenseCL+Gram")]
    sizes = [view["size"] for view in (*groups[0]["local"], *groups[1]["large"])]
    assert sizes == [16, 16, 64, 64]  # half and twice the large views, in whole cells
    every = {benchmark.name: benchmark.data.get("every") for benchmark in plan.benchmarks}
    assert every["retrieval_1"] == every["probe_1"] == (100, 1)
    assert every["retrieval_5"] == (20, 1) and every["probe_50"] == (2, 1)
    assert {b.settings["size"] for b in plan.benchmarks if b.type == "probe"} == {(32, 64)}
    assert plan.columns[-1] == "knn_1.top1" and plan.baselines[0].settings == dict(stride=8)


def test_a_vit_gets_every_arm_and_folders_become_a_list(
    request_: Request, image_folder: Path, tmp_path: Path
) -> None:
    torch.save(timm.create_model("vit_tiny_patch16_224", **VIT).state_dict(), tmp_path / "vit.pth")
    options = "&".join(f"{name}={value}" for name, value in VIT.items())
    asked = replace(
        request_,
        backbone=f"{tmp_path / 'vit.pth'}?backbone=vit_tiny_patch16_224&{options}",
        images=[str(image_folder / "red"), str(image_folder / "blue")],
        masks=f"{request_.masks}?every=2,1",
        budget={},
        arms=("iBOT++",),
    )
    written = write_comparison(asked, tmp_path / "out")
    assert written.images == 16 and written.backbone.licence == "unknown" and not written.left_out
    plan = load_plan(written.path, tmp_path / "out")
    assert [arm.name for arm in plan.arms] == [CONTROL, "iBOT++"]
    assert plan.benchmarks[0].data["every"] == (200, 1)
    source = plan.recipes["iBOT++"]["source"]
    assert source["type"] == "FileList" and len(Path(source["path"]).read_text().split()) == 16


def test_every_arm_trains_from_a_vit(request_: Request, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(timm.create_model("vit_tiny_patch16_224", **VIT).state_dict(), tmp_path / "vit.pth")
    options = "&".join(f"{name}={value}" for name, value in VIT.items())
    backbone = f"{tmp_path / 'vit.pth'}?backbone=vit_tiny_patch16_224&{options}"
    asked = replace(request_, backbone=backbone, budget=dict(samples=12))
    written = write_comparison(asked, tmp_path / "out")
    assert not written.left_out
    for arm, recipe in load_plan(written.path, tmp_path / "out").recipes.items():
        hooks = [dict(recipe["hooks"][0], images=8, clusters=2, rank_cells=8)]
        trained({**with_samples(recipe, 12), "hooks": hooks}, tmp_path / arm)
        _, looks = read_course(tmp_path / arm)
        assert [look.step for look in looks] == [0, 1, 2, 3], arm
        assert looks[0].cosine == pytest.approx(1) and looks[-1].cosine < 1, arm


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(backbone="random:test_resnet"), "has no weights to go on from"),
        (dict(arms=("iBOT++",)), r"--arms iBOT\+\+: backbone 'test_resnet' has no patch embedding"),
        (dict(arms=("DensCL",)), "did you mean 'DenseCL'"),
        (dict(masks="classes:nowhere"), "--masks 'classes:nowhere': needs a layout with masks"),
        (dict(masks="nowhere"), "--masks 'nowhere': write LAYOUT:ROOT"),
        (dict(images=["nowhere"]), "root=nowhere does not exist"),
        (dict(template="post_trian"), "--template: .*did you mean"),
        (dict(budget=dict(samples="100k")), "budget samples = '100k': must be a number above 0"),
        (dict(batch=0), "--batch: 0 must be greater than 0"),
        (dict(view_size=-32), "--view-size: -32 must be greater than 0"),
    ],
)
def test_mistakes_are_named(
    request_: Request, changes: dict[str, object], words: str, tmp_path: Path
) -> None:
    with pytest.raises((ValueError, OSError), match=words):
        write_comparison(replace(request_, **changes), tmp_path / "out")


def test_a_student_of_another_stride_is_left_out(request_: Request, tmp_path: Path) -> None:
    asked = replace(request_, backbone=request_.backbone.replace("&output_stride=8", ""))
    written = write_comparison(asked, tmp_path / "out")
    assert written.left_out["distilled"] == "its network has stride 8, the backbone 32"


def trained(config: dict[str, object], folder: Path) -> Path:
    """Trains a resolved recipe; returns its checkpoint."""
    run = {**config, "work_dir": str(folder)}
    build_runner(PretrainConfig(run)).train()
    return folder / "final.pth"


def scores(network: Path, benchmarks: list[Evaluation]) -> list[dict[str, float]]:
    """What every benchmark measures of a checkpoint."""
    results = []
    for benchmark in benchmarks:
        metrics = evaluation.evaluate(network, benchmark).metrics
        results.append({name: metric.value for name, metric in metrics.items()})
    return results


def test_a_hundred_steps_at_a_rate_of_nothing_reproduce_every_score_of_the_untouched_network(
    request_: Request, image_folder: Path, tmp_path: Path
) -> None:
    asked = replace(request_, lr=1e-30, classes=[f"classes:{image_folder}?held_back=0.5"])
    plan = load_plan(write_comparison(asked, tmp_path / "out").path, tmp_path / "out")
    config = {**with_samples(plan.recipes["DenseCL"], 400), "hooks": []}
    write_config(config, tmp_path / "config.py")
    evaluation.make_untrained(tmp_path / "config.py", tmp_path / "untouched.pth")
    cheap = [
        replace(own, settings=own.settings | dict(least_steps=2)) if own.type == "probe" else own
        for own in plan.benchmarks
    ]
    expected = scores(tmp_path / "untouched.pth", cheap)
    post_trained = trained(config, tmp_path / "run")
    assert scores(post_trained, cheap) == expected
    # Its BatchNorms would have moved without any rate.
    config["model"]["backbone"]["frozen_statistics"] = False
    config["optimizer"]["heads_first"] = 0.0
    moved = trained(with_samples(config, 40), tmp_path / "moved")
    fingerprints = [FeatureExtractor.load(str(path)).fingerprint for path in (post_trained, moved)]
    assert fingerprints[0] != fingerprints[1]
    # The weights go out again, and the network of timm gives the same vectors.
    export(str(post_trained), "timm", out=tmp_path / "exported.pth")
    network = timm.create_model("test_resnet", num_classes=0, output_stride=8)
    network.load_state_dict(torch.load(tmp_path / "exported.pth"))
    extractor = FeatureExtractor.load(str(post_trained))
    images = torch.rand(2, 3, 32, 64)
    with torch.inference_mode():
        vectors = network.eval()(extractor.normalise(images))
    torch.testing.assert_close(vectors, extractor.vector(images))


def table(folder: Path, *pairs: tuple[str, str, str | None]) -> Path:
    """Writes a table of one column with these pairs: (first, second, the better one)."""
    rows = []
    for first, second, above in pairs:
        row = dict(first=first, second=second, above=above, difference=1.0, half=0.5, p=0.01)
        rows.append(row | dict(improvement=1.0, comparisons=9, seeds=3, sign_flip=0.25))
    content = {"rankings": {"retrieval_5.mIoU": {"pairs": rows}} if rows else {}}
    (folder / "table.json").write_text(json.dumps(content))
    return folder


def test_the_last_line(tmp_path: Path) -> None:
    above = conclusion(table(tmp_path, ("A", CONTROL, "A"), (CONTROL, "B", CONTROL)), 0)
    assert above.startswith(f"Above {CONTROL}: A in retrieval_5.mIoU (1 of the table")
    assert f"pixelpretext export {tmp_path}/A/seed_0/pretrain/final.pth --to timm" in above
    assert "at 95 %). Below it: B in retrieval_5.mIoU. Next:" in above
    below = conclusion(table(tmp_path, ("A", CONTROL, None), (CONTROL, "B", CONTROL)), 0)
    assert below.startswith(f"No arm lies above {CONTROL}. Below it: B in retrieval_5.mIoU. Next:")
    neither = conclusion(table(tmp_path, ("A", CONTROL, None), ("A", "B", "A")), 0)
    assert neither.startswith(f"No arm lies above {CONTROL}. Next: keep the published weights")
    assert "--seeds 0 1 2" in conclusion(table(tmp_path), 0)


def test_the_forecast_adds_up(request_: Request, tmp_path: Path) -> None:
    """Three trainings of 20 minutes and six trials of 5 minutes, two at once."""
    plan = load_plan(write_comparison(request_, tmp_path / "out").path, tmp_path / "out")
    trials = [trial for trial in plan.trials if trial.arm.name in (CONTROL, "DenseCL")]
    speed = dict(samples=dict(DenseCL=400), seconds=dict(DenseCL=3.0))
    line = forecast(trials, **speed, evaluation=300.0, at_once=2)
    assert line.startswith("Forecast: about 45 min 00 s for 6 trials, 2 at once (a training takes:")
    assert "DenseCL 20 min 00 s; the benchmarks of a trial 5 min 00 s)" in line
    unknown = forecast(trials, **speed, evaluation=None, at_once=1)
    assert "about 1 h 00 min for 6 trials, 1 at once" in unknown and "on top" in unknown


@pytest.mark.parametrize("name", ["post_train", "post_train_small"])
def test_shipped_templates_are_sound(name: str) -> None:
    plan = load_plan(f"configs/comparisons/{name}.py")
    assert {arm.name for arm in plan.arms} == {CONTROL, "iBOT++", *ARMS}
    assert {arm.name for arm in plan.arms if not arm.train} == {CONTROL}
    recipes = plan.recipes
    starts = {arm: recipe["model"]["backbone"].get("start") for arm, recipe in recipes.items()}
    assert starts.pop("scratch") is starts.pop("distilled") is None
    assert len(set(starts.values())) == 1
    assert len({str(recipe["schedule"]) for arm, recipe in recipes.items() if arm in starts}) == 1
    named = {column.partition(".")[0] for column in plan.columns}
    assert named == {benchmark.name for benchmark in plan.benchmarks}
