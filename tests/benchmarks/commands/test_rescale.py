"""pixelpretext rescale: initial weights drawn again to the last bit, norms, what is left alone,
where the file loads.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.core.extractor import FeatureExtractor
from pretrain.checkpoint_file import read_checkpoint
from pretrain.engine import checkpoints
from pretrain.engine.build import build_runner
from pretrain.engine.config import PretrainConfig
from pretrain.engine.settings import ConfigError
from pretrain.rescale import initial_model, rescale, rescale_checkpoint

ROOT = Path(__file__).resolve().parents[3]


def config(image_folder: Path, work_dir: Path, *objectives: str, **changes: Any) -> PretrainConfig:
    options = {
        "PixPro": dict(type="PixPro", hidden=16, dim=8),
        "Supervised": dict(type="Supervised", num_classes=3),
    }
    values: dict[str, Any] = dict(
        model=dict(
            type="Pretrainer",
            backbone=dict(type="TimmBackbone", name="test_resnet", output_stride=8),
            objectives=[options[name] for name in objectives or options],
        ),
        source=dict(type="ImageFolder", root=str(image_folder)),
        views=dict(type="ViewRecipe", groups={"global": [dict(size=32), dict(size=32)]}),
        loader=dict(workers=0),
        schedule=dict(global_batch=8, samples=48, lr_rule="none", lr=1e-2),
        optimizer=dict(type="AdamW", weight_decay=0.05),
        engine=dict(checkpoint_every=2),
        seed=11,
        vis_backends=[],
        work_dir=str(work_dir),
    )
    return PretrainConfig(values | changes)


@pytest.fixture(scope="module")
def run(
    image_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, torch.Tensor]]:
    """(folder of a run of six steps, the state dict of its model before the first one)."""
    folder = tmp_path_factory.mktemp("run")
    runner = build_runner(config(image_folder, folder))
    before = {name: value.clone() for name, value in runner.raw_model.state_dict().items()}
    runner.train()
    return folder, before


def test_initial_weights_are_drawn_again_to_the_last_bit(
    run: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    folder, before = run
    for name in ("final.pth", "iter_6.pth"):
        torch.manual_seed(123)  # whatever was drawn before does not matter
        again = initial_model(read_checkpoint(folder / name)).state_dict()
        assert again.keys() == before.keys()
        assert all(torch.equal(again[key], before[key]) for key in before)


def test_every_parameter_has_its_initial_norm_and_its_trained_direction(
    run: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    folder, before = run
    done = rescale_checkpoint(folder / "iter_6.pth", tmp_path / "new" / "rescaled.pth")
    written = read_checkpoint(tmp_path / "new" / "rescaled.pth")
    trained = read_checkpoint(folder / "iter_6.pth")
    old, new = trained["state_dict"], written["state_dict"]
    parameters = {name for name, _ in initial_model(trained).named_parameters()}
    assert set(done.factors) | set(done.zero) == parameters and not set(done.factors) & set(
        done.zero
    )
    assert done.versions == ()
    assert any(name.startswith("target_backbone.") for name in done.factors)
    for name in before:
        if name in done.factors:
            torch.testing.assert_close(new[name].norm(), before[name].norm(), rtol=1e-5, atol=0)
            torch.testing.assert_close(new[name], old[name] * done.factors[name], rtol=1e-5, atol=0)
            assert new[name].dtype == old[name].dtype
        else:
            assert torch.equal(new[name], old[name])  # buffers, and what began as zeros
    assert any(abs(f - 1) > 0.01 for f in done.factors.values())
    assert all(not before[name].any() or not old[name].any() for name in done.zero) and done.zero
    assert any("running_mean" in name and new[name].any() for name in new)
    assert set(written) == {"meta", "state_dict", "message_hub"}
    assert written["meta"]["rescaled_from"] == str(folder / "iter_6.pth")


def test_known_numbers() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
        model[0].bias.fill_(1.0)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    state["0.weight"] = torch.tensor([[6.0, 0.0], [0.0, 8.0]])  # twice as long
    state["0.bias"] = torch.zeros(2)  # trained to zero
    state["1.bias"] = torch.tensor([5.0, 5.0])  # began at zero
    state["1.running_mean"] = torch.tensor([7.0, 7.0])
    scaled, factors, zero = rescale(state, model)
    assert factors == {"0.weight": 0.5, "1.weight": 1.0} and zero == ("0.bias", "1.bias")
    assert scaled["0.weight"].tolist() == [[3.0, 0.0], [0.0, 4.0]] and scaled[
        "1.bias"
    ].tolist() == [5.0, 5.0]
    assert scaled["1.running_mean"].tolist() == [7.0, 7.0] and state["0.weight"][0, 0] == 6.0
    for wrong in (
        {**state, "0.weight": torch.zeros(3)},
        {k: v for k, v in state.items() if k != "0.weight"},
    ):
        with pytest.raises(ValueError, match="1 parameters .* such as '0.weight'"):
            rescale(wrong, model)


def test_the_result_loads_in_a_new_run_and_in_benchmarks(
    run: tuple[Path, dict[str, torch.Tensor]], image_folder: Path, tmp_path: Path
) -> None:
    folder, before = run
    out = tmp_path / "rescaled.pth"
    rescale_checkpoint(folder / "final.pth", out)
    state = read_checkpoint(out)["state_dict"]
    runner = build_runner(
        config(image_folder, tmp_path / "downstream", "PixPro", load_from=str(out), seed=1)
    )
    runner.load_or_resume()
    for name, value in runner.raw_model.backbone.state_dict().items():
        assert torch.equal(value, state[f"backbone.{name}"])
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    for weights in ("online", "target"):
        vectors = [
            FeatureExtractor.load(str(p), weights=weights).vector(images)
            for p in (out, folder / "final.pth")
        ]
        assert torch.isfinite(vectors[0]).all() and not torch.equal(*vectors)
    with pytest.raises(ConfigError, match="holds no optimizer, sampler, rng"):
        build_runner(config(image_folder, tmp_path / "resumed"), resume=out)


def test_a_classifier_can_be_left_out_and_is_then_drawn_anew(
    run: tuple[Path, dict[str, torch.Tensor]],
    image_folder: Path,
    tmp_path: Path,
    run_tool: Callable[..., int],
) -> None:
    """A classifier of the same type would otherwise be the trained one."""
    source, names = run[0] / "final.pth", ("with.pth", "without.pth")
    for name, options in zip(names, ([], ["--without-heads"]), strict=True):
        assert run_tool("rescale", source, "--out", tmp_path / name, *options) == 0
    heads, fresh = [], build_runner(config(image_folder, tmp_path / "fresh", seed=1)).raw_model
    for name in names:
        work_dir, path = tmp_path / f"run_{name}", str(tmp_path / name)
        runner = build_runner(config(image_folder, work_dir, load_from=path, seed=1))
        heads.append(runner.raw_model.objectives[1].classifier.weight)
        state = read_checkpoint(path)["state_dict"]
        assert torch.equal(
            runner.raw_model.state_dict()["backbone.model.conv1.0.weight"],
            state["backbone.model.conv1.0.weight"],
        )
    assert not torch.equal(heads[0], fresh.objectives[1].classifier.weight)
    assert torch.equal(heads[1], fresh.objectives[1].classifier.weight)


def test_a_run_from_other_weights_is_refused(
    run: tuple[Path, dict[str, torch.Tensor]], image_folder: Path, tmp_path: Path
) -> None:
    runner = build_runner(
        config(image_folder, tmp_path / "second", load_from=str(run[0] / "final.pth"))
    )
    runner.train()
    with pytest.raises(ValueError, match="final.pth: the run began with the weights of load_from="):
        rescale_checkpoint(tmp_path / "second" / "final.pth", tmp_path / "x.pth")
    assert not (tmp_path / "x.pth").exists()


def test_other_versions_are_told(run: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    checkpoint = read_checkpoint(run[0] / "final.pth")
    checkpoint["meta"]["versions"]["torch"] = "1.0"
    torch.save(checkpoint, tmp_path / "old.pth")
    (change,) = rescale_checkpoint(tmp_path / "old.pth", tmp_path / "new.pth").versions
    assert change.startswith("torch 1.0 -> ")


def test_a_crash_while_writing_leaves_the_old_file(
    run: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.pth"
    out.write_bytes(b"old")

    def fail(content: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoints.torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        rescale_checkpoint(run[0] / "final.pth", out)
    assert out.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["out.pth"]


def test_command_line(run: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    source, out = run[0] / "final.pth", tmp_path / "rescaled.pth"
    command = [sys.executable, str(ROOT / "tools" / "rescale.py"), str(source), "--out", str(out)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (
        result.stdout.startswith(f"{out}: ")
        and "tensors scaled (factors " in result.stdout
        and out.is_file()
    )


def test_mistakes_are_one_sentence(
    run: tuple[Path, dict[str, torch.Tensor]],
    tmp_path: Path,
    run_tool: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, out = str(run[0] / "final.pth"), str(tmp_path / "out.pth")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "foreign.pth")
    (tmp_path / "cut.pth").write_bytes((run[0] / "final.pth").read_bytes()[:1000])
    for checkpoint, target, words in (
        (source, source, "is the checkpoint itself"),
        (str(tmp_path / "none.pth"), out, "no such checkpoint"),
        (
            str(tmp_path / "cut.pth"),
            out,
            "cut.pth cannot be read as tensors and plain values only: it is cut short",
        ),
        (str(tmp_path / "foreign.pth"), out, "foreign.pth: no config and seed inside"),
    ):
        assert run_tool("rescale", checkpoint, "--out", target) == 2
        error = capsys.readouterr().err
        assert error.startswith("rescale: ") and words in error and error.count("\n") == 1
