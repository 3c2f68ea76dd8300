"""Starts made of a trained network: what is taken over, what is drawn, and where the file loads."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.analysis.layers import WEIGHTED, Shown, layers_of, show_images, watching
from benchmarks.analysis.misalignment import Covariance, covariance, eigenspaces, transfer
from benchmarks.analysis.starts import StartPlan, draw_along, draw_like, make_start
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data import ClassFolder
from pretrain.checkpoint_file import read_checkpoint
from pretrain.engine.build import build_runner
from pretrain.engine.config import PretrainConfig

RESNET = "random:test_resnet?output_stride=8"


@pytest.fixture(scope="module")
def initial() -> FeatureExtractor:
    return FeatureExtractor.load(RESNET)


@pytest.fixture(scope="module")
def trained(initial: FeatureExtractor) -> FeatureExtractor:
    """Not trained, but every tensor differs: filters twice as long and stretched."""
    backbone = copy.deepcopy(initial.backbone)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in backbone.parameters():
            noise = torch.rand(parameter.shape, generator=generator)
            parameter.mul_(1 + 2 * noise).add_(0.01)
        for module in backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean += 0.1
    return FeatureExtractor(backbone, spec="trained")


@pytest.fixture(scope="module")
def shown(image_folder: Path) -> Shown:
    return Shown(ClassFolder(image_folder, held_back=0.5).train, 8, 32, 1.0, batch_size=8)


def filters(backbone: nn.Module) -> dict[str, torch.Tensor]:
    """Layer -> weight, in the order of the forward pass."""
    layers = layers_of(FeatureExtractor(backbone), WEIGHTED, 32)
    return {name: layer.weight.detach() for name, layer in layers.items()}


def test_drawn_units_have_the_covariance_of_the_others() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    units = 5 + torch.randn(50, 4, generator=generator, dtype=torch.float64) @ mixing
    drawn = draw_like(units, 200_000, generator)
    assert drawn.mean(0).abs().max() < 0.05  # N(0, Σ): the mean is not carried over
    torch.testing.assert_close(covariance(drawn), covariance(units), rtol=0.03, atol=0.03)


def test_few_units_are_drawn_within_their_span() -> None:
    units = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    drawn = draw_like(units, 10, torch.Generator().manual_seed(0))
    assert drawn[:, 2].abs().max() == 0 and torch.linalg.matrix_rank(drawn) == 2


def test_units_drawn_along_directions_spread_as_told() -> None:
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    spreads = torch.tensor([3.0, 1.0, 0.0], dtype=torch.float64)
    drawn = draw_along(directions, spreads, 100_000, generator=generator)
    torch.testing.assert_close(
        (drawn @ directions).std(0), spreads, rtol=0.02, atol=1e-9
    )  # along each direction


def test_trained_filters_of_the_first_layers_and_fresh_ones_behind(
    trained: FeatureExtractor, initial: FeatureExtractor, shown: Shown
) -> None:
    plan = StartPlan("trained", layers=2)
    start = make_start(trained, initial, plan, shown=shown)
    new, theirs, own = (filters(n) for n in (start, trained.backbone, initial.backbone))
    for place, name in enumerate(new):
        if place < 2:
            ratio = own[name].norm() / theirs[name].norm()
            torch.testing.assert_close(new[name], theirs[name] * ratio)
        else:
            assert torch.equal(new[name], own[name])
    others = {name for name, _ in start.named_parameters() if name.endswith("bias")}
    state, before = start.state_dict(), initial.backbone.state_dict()
    assert others and all(torch.equal(state[name], before[name]) for name in others)
    unscaled = make_start(trained, initial, StartPlan("trained", 2, rescaled=False), shown=shown)
    assert torch.equal(filters(unscaled)["conv1.3"], theirs["conv1.3"])


def test_the_whole_network_is_taken_over_with_its_norms_or_without(
    trained: FeatureExtractor, initial: FeatureExtractor, shown: Shown
) -> None:
    whole = make_start(trained, initial, StartPlan("trained", 0, rescaled=False), shown=shown)
    state, theirs = whole.state_dict(), trained.backbone.state_dict()
    assert all(torch.equal(state[name], theirs[name]) for name in theirs)
    scaled = make_start(trained, initial, StartPlan("trained", 0), shown=shown)
    for name, parameter in initial.backbone.named_parameters():
        if parameter.any():
            torch.testing.assert_close(scaled.get_parameter(name).norm(), parameter.norm())
    assert torch.equal(scaled.model.bn1.running_mean, trained.backbone.model.bn1.running_mean)


def test_filters_of_the_first_layer_are_drawn_without_any_image(
    trained: FeatureExtractor, initial: FeatureExtractor, shown: Shown
) -> None:
    nothing = Shown(None, 0, 32, 1.0, batch_size=1)
    start = filters(make_start(trained, initial, StartPlan(seed=3), shown=nothing))
    own = filters(initial.backbone)
    assert [name for name in start if not torch.equal(start[name], own[name])] == ["conv1.0"]
    units = filters(trained.backbone)["conv1.0"].flatten(1)
    drawn = draw_like(units, len(units), torch.Generator().manual_seed(3))
    scale = own["conv1.0"].norm() / drawn.norm()
    torch.testing.assert_close(start["conv1.0"].flatten(1), (drawn * scale).float())
    other = filters(make_start(trained, initial, StartPlan(seed=4), shown=shown))
    assert not torch.equal(other["conv1.0"], start["conv1.0"])


def test_deeper_filters_spread_along_their_new_inputs(
    trained: FeatureExtractor, initial: FeatureExtractor, shown: Shown
) -> None:
    """Many draws of the second layer: along the i-th direction of the inputs that the start has,
    normalised by the batch, they spread as the trained ones along the i-th of theirs.
    """
    starts = []
    for seed in range(2):
        starts.append(make_start(trained, initial, StartPlan(layers=2, seed=seed), shown=shown))
    assert not torch.equal(starts[0].model.conv1[3].weight, starts[1].model.conv1[3].weight)
    start = starts[0]
    reference = covariance_of_inputs(trained.backbone, shown, train=False)
    units = trained.backbone.model.conv1[3].weight.detach().double().flatten(1)
    spreads = transfer(eigenspaces(reference), covariance(units))
    directions = eigenspaces(covariance_of_inputs(start, shown, train=True)).vectors
    generator = torch.Generator().manual_seed(0)
    draw_like(torch.zeros(16, 27), 16, generator)  # the first layer's draw comes first
    expected = draw_along(directions, spreads, 16, generator=generator)
    expected *= initial.backbone.model.conv1[3].weight.norm() / expected.norm()
    drawn = start.model.conv1[3].weight.detach().double().flatten(1)
    # An eigenvector's sign is free, and those of nearly equal values mix: compare what does not
    # depend on signs, along the first directions.
    along = [(units @ directions[:, :20]).abs() for units in (drawn, expected)]
    torch.testing.assert_close(*along, rtol=1e-2, atol=1e-4)
    for name, buffer in start.named_buffers():
        assert torch.equal(buffer, initial.backbone.get_buffer(name)), name


def covariance_of_inputs(backbone: nn.Module, shown: Shown, *, train: bool) -> torch.Tensor:
    """Of the second convolution's patches, BatchNorm by the batch or not."""
    network, seen = copy.deepcopy(backbone).train(train), Covariance(144)
    extractor = FeatureExtractor(backbone)

    def count(name: str, inputs: torch.Tensor, output: torch.Tensor) -> None:
        seen.add(torch.nn.functional.unfold(inputs, 3).transpose(1, 2).flatten(0, 1))

    with watching({"second": network.model.conv1[3]}, count), torch.no_grad():
        show_images(lambda images: network(extractor.normalise(images)), shown)
    return seen.matrix


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (dict(filters="copied"), "filters='copied' is not one of trained, drawn"),
        (dict(layers=-1), "layers=-1 must be 0"),
    ],
)
def test_illegal_plans(plan: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StartPlan(**plan)


def test_networks_that_do_not_fit_are_named(
    trained: FeatureExtractor, initial: FeatureExtractor, shown: Shown
) -> None:
    other = FeatureExtractor.load("random:test_resnet?stem_width=32")
    with pytest.raises(ValueError, match=r"reference: model.bn1.bias is .* same architecture"):
        make_start(trained, other, StartPlan(), shown=shown)
    with pytest.raises(ValueError, match="layers=99: the network has 1"):
        make_start(trained, initial, StartPlan(layers=99), shown=shown)


@pytest.fixture(scope="module")
def checkpoint(image_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``final.pth`` of a short training."""
    folder = tmp_path_factory.mktemp("pretraining")
    build_runner(training(image_folder, folder)).train()
    return folder / "final.pth"


def training(image_folder: Path, work_dir: Path, **changes: object) -> PretrainConfig:
    values = dict(
        model=dict(
            type="Pretrainer",
            backbone=dict(type="TimmBackbone", name="test_resnet", output_stride=8),
            objectives=[dict(type="Supervised", num_classes=3)],
        ),
        source=dict(type="ImageFolder", root=str(image_folder)),
        views=dict(type="ViewRecipe", groups={"global": [dict(size=32)]}),
        loader=dict(workers=0),
        schedule=dict(global_batch=8, samples=32, lr_rule="none", lr=1e-2),
        optimizer=dict(type="AdamW", weight_decay=0.05),
        seed=7,
        vis_backends=[],
        work_dir=str(work_dir),
    )
    return PretrainConfig(values | changes)


def test_the_file_starts_a_training_and_is_read_by_benchmarks(
    checkpoint: Path,
    image_folder: Path,
    tmp_path: Path,
    run_tool: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "new" / "drawn.pth"
    command = (checkpoint, "--out", out, "--layers", 2, "--data", image_folder, "--size", 32)
    assert run_tool("aligned_start", *command, "--images", 6) == 0
    printed = capsys.readouterr().out
    assert printed == f"{out}: filters drawn, initial norms, 2 of the layers: conv1.0, conv1.3\n"
    content = read_checkpoint(out)
    assert not any(name.startswith("objectives.") for name in content["state_dict"])
    assert content["meta"]["start"]["layers"] == 2
    runner = build_runner(training(image_folder, tmp_path / "next", load_from=str(out), seed=1))
    fresh = build_runner(training(image_folder, tmp_path / "fresh", seed=1))
    for name, value in runner.raw_model.backbone.state_dict().items():
        assert torch.equal(value, content["state_dict"][f"backbone.{name}"])
    head = "classifier.weight"  # drawn anew
    assert torch.equal(
        runner.raw_model.objectives[0].state_dict()[head],
        fresh.raw_model.objectives[0].state_dict()[head],
    )
    network = FeatureExtractor.load(str(out))
    assert torch.isfinite(network.vector(torch.zeros(1, 3, 32, 32))).all()


def test_mistakes_of_the_command(
    checkpoint: Path,
    tmp_path: Path,
    run_tool: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for arguments, words in (
        (("--out", checkpoint), "is the checkpoint itself"),
        (("--out", tmp_path / "x.pth", "--layers", 2), "name class folders by --data"),
        (("--out", tmp_path / "x.pth", "--layers", -1), "layers=-1 must be 0"),
    ):
        assert run_tool("aligned_start", checkpoint, *arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("aligned-start: ") and words in error and error.count("\n") == 1
    assert not (tmp_path / "x.pth").exists()
