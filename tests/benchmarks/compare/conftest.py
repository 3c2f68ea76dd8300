"""A toy comparison: a real recipe, a trainer that pretends to train, and a benchmark that reads its
result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Writes what tools/train.py writes. The arm's fake score stands in its learning rate; fail.txt and
# slow.txt beside the recipe make it fail or wait (seconds per step). With an EvaluationHook in the
# recipe it is evaluated at every step, and SIGTERM makes it write a checkpoint and end.
TRAINER = """
import json, os, signal, sys, time
from pathlib import Path
config, stop = {}, []
exec(open(sys.argv[1]).read(), config)
work = Path(sys.argv[sys.argv.index("--work-dir") + 1])
work.mkdir(parents=True, exist_ok=True)
root = Path(os.environ["FAKE_ROOT"])
with open(root / "calls.txt", "a") as calls:
    calls.write(f"{work} {'resume' if '--resume' in sys.argv else 'new'}\\n")
schedule = config["schedule"]
lr = schedule["lr_per_256"]
if (root / "fail.txt").exists() and str(lr) in (root / "fail.txt").read_text():
    print("the disk is on fire"); sys.exit(3)
total = schedule["samples"] // schedule["global_batch"]
done = json.loads((work / "step.json").read_text()) if (work / "step.json").exists() else 0
rows = ["step,samples,lr,loss,samples_per_s"]
for step in range(done + 1, total + 1):
    if (root / "slow.txt").exists():
        time.sleep(float((root / "slow.txt").read_text()))
    (work / "step.tmp").write_text(json.dumps(step))
    (work / "step.tmp").replace(work / "step.json")  # it may be killed in between
    progress = {"step": step, "total": total, "samples_per_s": 100 * lr, "seconds": step}
    (work / "progress.json").write_text(json.dumps(progress))
    score = {"value": (lr * 10 + config["seed"]) * step / total, "unit": "%", "better": "higher"}
    if config.get("hooks"):
        signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
        record = {"benchmark": "toy", "metrics": {"score": score}, "protocol": {},
                  "subject": {"spec": f"step {step}"}}
        with open(work / "evaluations.jsonl", "a") as file:
            file.write(json.dumps(record) + "\\n")
    if stop and step < total:
        (work / f"iter_{step}.pth").write_text(json.dumps({"score": score["value"]}))
        sys.exit(75)
rows += [f"{s},{s * schedule['global_batch']},{lr},{1 / s},{100 * lr}" for s in range(1, total + 1)]
(work / "curve.csv").write_text("\\n".join(rows) + "\\n")
(work / "final.pth").write_text(json.dumps({"score": lr * 10 + config["seed"]}))
"""

BENCHMARK = '''
import json, os
from dataclasses import dataclass
from pathlib import Path
from benchmarks.core.record import Metric, Record

@dataclass(frozen=True)
class Settings:
    factor: float = 1.0

def run(checkpoint, settings):
    """Reads the score out of a fake checkpoint."""
    with open(Path(os.environ["FAKE_ROOT"]) / "evaluations.txt", "a") as file:
        file.write(f"{checkpoint}\\\\n")
    score = json.loads(Path(checkpoint).read_text())["score"] * settings.factor
    protocol = {"data": "toy", "factor": settings.factor}
    metrics = {"score": Metric(score, "%"), "error": Metric(100 - score, "%", "lower")}
    return Record("toy", metrics, protocol)

def __getattr__(name):
    """The declaration; the children, which start without torch, do not ask for it."""
    if name != "BENCHMARK":
        raise AttributeError(name)
    from benchmarks.core.benchmark import Benchmark
    from benchmarks.data import ClassFolder

    return Benchmark(
        name="toy",
        about="",
        settings=Settings,
        run=run,
        data=ClassFolder,
        metrics=("score", "error"),
    )
'''

RECIPE = """
model = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="test_resnet", output_stride=8),
    objectives=[dict(type="PixPro", hidden=32, dim=16)],
)
source = dict(type="ImageFolder", root={root!r})
views = dict(type="ViewRecipe", groups={{"global": [dict(size=32), dict(size=32)]}})
loader = dict(workers=0)
schedule = dict(global_batch=8, epochs=2, lr_per_256=0.1)
optimizer = dict(type="AdamW", weight_decay=1e-5)
"""

COMPARISON = """
base = {base!r}
budget = dict(samples=80)
seeds = (0, 1)
arms = dict(
    untrained=dict(train=False),
    weak=dict(overrides={{"schedule.lr_per_256": 0.2}}),
    strong=dict(overrides={{"schedule.lr_per_256": 3.0}}),
)
_data = dict(type="ClassFolder", root={root!r})
benchmarks = dict(toy=dict(type="fake_benchmark", data=_data, factor=1.0))
primary = "toy.score"
"""


@pytest.fixture
def toy(tmp_path: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a toy comparison and returns a function: (extra lines, replacements) -> its path,
    rewritten each time.
    """
    (tmp_path / "trainer.py").write_text(TRAINER)
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "fake_benchmark.py").write_text(BENCHMARK.replace("\\\\n", "\\n"))
    # Python starts every child with this file, so that children evaluate and initialise with the
    # fakes as well.
    (modules / "sitecustomize.py").write_text(SITE)
    monkeypatch.syspath_prepend(str(modules))
    monkeypatch.setenv("PYTHONPATH", str(modules))
    monkeypatch.setenv("FAKE_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.py").write_text(RECIPE.format(root=str(image_folder)))

    def write(*extra: str, name: str = "toy.py", **replaced: str) -> Path:
        text = COMPARISON.format(base=str(tmp_path / "recipe.py"), root=str(image_folder))
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text("\n".join([text, *extra]))
        return path

    return write


SITE = """
import sys
if any("benchmarks.compare.trial" in word for word in sys.orig_argv):
    import json, types

    def evaluate(checkpoint, benchmark):
        import fake_benchmark
        return fake_benchmark.run(checkpoint, fake_benchmark.Settings(**benchmark.settings))

    def make_untrained(config, checkpoint):
        checkpoint.write_text(json.dumps({"score": 0.5}))

    # In place of the real module, which would import torch first.
    fake = types.ModuleType("benchmarks.compare.evaluate")
    fake.evaluate, fake.make_untrained = evaluate, make_untrained
    sys.modules[fake.__name__] = fake
"""


@pytest.fixture
def trainer(tmp_path: Path) -> tuple[str, ...]:
    """Command of the fake trainer."""
    return (sys.executable, str(tmp_path / "trainer.py"))
