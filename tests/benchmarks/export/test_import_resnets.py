"""Published ResNet files: random weights written in each layout come back as networks with the same
features.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.export.import_run import import_file
from pretrain.checkpoint_file import read_checkpoint
from pretrain.weights.layouts import LAYOUTS, find_layout
from pretrain.weights.recognise import find, flatten, recognise

State = dict[str, Tensor]
CHANNELS = (64, 24, 32, 40)


def small_resnet(seed: int) -> ResNet:
    """torchvision's ResNet-18, one block per stage and narrow; weights and statistics are random
    and all matter.
    """
    torch.manual_seed(seed)
    network = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=7)
    network.inplanes = 64
    for number, width in enumerate(CHANNELS, 1):
        setattr(
            network,
            f"layer{number}",
            network._make_layer(BasicBlock, width, 1, stride=1 if number == 1 else 2),
        )
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


def resnet_features(network: ResNet, images: Tensor) -> Tensor:
    """(B, 40) torchvision's own pass up to the pooling."""
    with torch.no_grad():
        return nn.Sequential(*list(network.children())[:-1])(images).flatten(1)


def body(network: ResNet) -> State:
    """A ResNet's state without the classifier."""
    return {k: v for k, v in network.state_dict().items() if not k.startswith("fc.")}


def numbered(network: ResNet) -> State:
    """The state of the ResNet cut into a Sequential, as torch names it."""
    return nn.Sequential(*list(network.children())[:-1]).state_dict()


def under(prefix: str, state: State) -> State:
    """Puts a prefix in front of all keys."""
    return {prefix + key: value for key, value in state.items()}


def noise(names: str) -> State:
    """Tensors of other parts, under names separated by blanks."""
    return {name: torch.randn(2, 3) for name in names.split()}


OPTIMISER = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
ARGUMENTS = argparse.Namespace(arch="resnet50", folder=Path("runs/1"))

# {layout: (dict in the file, prefix of the trained network, of its EMA copy, other tensors there,
# rest of the file)}
PLAIN = {
    "torchvision": ("", "", None, "fc.weight fc.bias", {}),
    "mmpretrain": (
        "state_dict",
        "backbone.",
        "target_net.module.0.",
        "neck.fc0.weight head.fc.bias",
        dict(meta={}),
    ),
    "pixpro": (
        "model",
        "module.encoder.",
        "module.encoder_k.",
        "module.projector.linear1.weight module.projector_k.bn1.bias",
        dict(optimizer=OPTIMISER, opt=ARGUMENTS),
    ),
    "moco": (
        "state_dict",
        "module.encoder_q.",
        "module.encoder_k.",
        "module.encoder_q.fc.0.weight module.encoder_k.fc.0.weight module.queue module.queue_ptr",
        dict(arch="resnet50", epoch=200, optimizer=OPTIMISER),
    ),
    "mocov3": (
        "state_dict",
        "module.base_encoder.",
        "module.momentum_encoder.",
        "module.base_encoder.fc.0.weight module.predictor.0.weight",
        {},
    ),
    "slotcon": (
        "model",
        "module.encoder_q.",
        "module.encoder_k.",
        "module.grouping_q.s.weight module.projector_q.0.bias",
        {},
    ),
    "simclr": ("", "encoder.", None, "projector.0.weight projector.2.bias", {}),
    "solo-learn": (
        "state_dict",
        "backbone.",
        "momentum_backbone.",
        "classifier.weight projector.0.weight",
        {"pytorch-lightning_version": "2", "optimizer_states": [OPTIMISER]},
    ),
    "byol": (
        "",
        "online_encoder.net.",
        "target_encoder.net.",
        "online_encoder.projector.net.0.weight online_predictor.net.0.weight",
        {},
    ),
    "simsiam": (
        "state_dict",
        "module.encoder.",
        None,
        "module.encoder.fc.0.weight module.predictor.0.weight",
        {},
    ),
    "swav": ("", "module.", None, "module.projection_head.0.weight module.prototypes.weight", {}),
    "vicreg": ("model", "module.backbone.", None, "module.projector.0.weight", {}),
    "vicregl": (
        "model",
        "module.backbone.",
        None,
        "module.projector.0.weight module.maps_projector.0.weight",
        {},
    ),
    "barlow": (
        "model",
        "module.backbone.",
        None,
        "module.projector.0.weight module.bn.running_mean",
        {},
    ),
    "supcon": ("model", "encoder.module.", None, "head.0.weight head.2.bias", dict(opt=ARGUMENTS)),
}


def write_plain(layout: str, online: ResNet, target: ResNet) -> dict[str, Any]:
    """A file of the table above."""
    nest, first, second, others, rest = PLAIN[layout]
    state = under(first, body(online)) | noise(others)
    if second is not None:
        state |= under(second, body(target))
    return ({nest: state} if nest else state) | rest


def write_lightly(online: ResNet, target: ResNet) -> dict[str, Any]:
    return dict(
        state_dict=under("backbone.", numbered(online)) | noise("projection_head.layers.0.weight")
    )


def write_densecl(online: ResNet, target: ResNet) -> dict[str, Any]:
    """mmcv's style: the trained network stands there twice."""
    state = (
        under("encoder_q.0.", body(online))
        | under("backbone.", body(online))
        | under("encoder_k.0.", body(target))
    )
    return dict(
        meta={}, state_dict=state | noise("queue queue_ptr queue2 encoder_q.1.mlp.0.weight")
    )


def write_dino(online: ResNet, target: ResNet) -> dict[str, Any]:
    networks = {
        name: under("module.backbone.", body(network)) | noise("module.head.mlp.0.weight")
        for name, network in (("student", online), ("teacher", target))
    }
    return networks | dict(dino_loss=noise("center"), optimizer=OPTIMISER, args=ARGUMENTS, epoch=3)


def write_vissl(online: ResNet, target: ResNet) -> dict[str, Any]:
    model = dict(trunk=under("_feature_blocks.", body(online)), heads=noise("0.clf.0.weight"))
    return dict(classy_state_dict=dict(base_model=dict(model=model)))


RESNET_FILES: dict[str, Callable[[ResNet, ResNet], dict[str, Any]]] = {
    **{layout: partial(write_plain, layout) for layout in PLAIN},
    "lightly": write_lightly,
    "densecl": write_densecl,
    "dino": write_dino,
    "vissl": write_vissl,
}


@pytest.fixture(scope="module")
def networks() -> tuple[ResNet, ResNet]:
    return small_resnet(0), small_resnet(1)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def normalised(images: Tensor, extractor: FeatureExtractor) -> Tensor:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (extractor.mean, extractor.std))
    return (images - mean) / std


def assert_same(extractor: FeatureExtractor, source: ResNet, images: Tensor) -> None:
    expected = resnet_features(source, normalised(images, extractor))
    assert (extractor.vector(images) - expected).abs().max() < 1e-5 * max(1.0, expected.abs().max())


@pytest.mark.parametrize("layout", RESNET_FILES)
def test_features_of_every_layout(
    layout: str, networks: tuple[ResNet, ResNet], images: Tensor, tmp_path: Path
) -> None:
    theirs, ours = tmp_path / "theirs.pth", tmp_path / "ours.pth"
    torch.save(RESNET_FILES[layout](*networks), theirs)
    written = import_file(theirs, ours)
    assert written.lines[0].startswith(f"layout {layout} (")
    assert " 0 missing" in written.lines[2] and "other" not in written.lines[2]
    contents = flatten(read_checkpoint(theirs))
    found = recognise(contents, "it")
    assert {n: x.place for n, x in find(contents, find_layout(layout), "it").networks.items()} == {
        n: x.place for n, x in found.networks.items()
    }
    extractor = FeatureExtractor.load(str(ours))
    assert_same(extractor, networks[0], images)
    assert extractor.backbone.config == dict(
        name="resnet18", output_stride=None, layers=(1, 1, 1, 1), channels=CHANNELS
    )
    meta = torch.load(ours, weights_only=True)["meta"]["imported"]
    assert (meta["file"], meta["layout"], len(meta["sha256"])) == ("theirs.pth", layout, 64)
    if found.target is not None:
        assert_same(FeatureExtractor.load(str(ours), weights="target"), networks[1], images)
        import_file(theirs, ours, weights="target")
        assert_same(FeatureExtractor.load(str(ours)), networks[1], images)
    with pytest.raises(ValueError, match="no target weights"):
        FeatureExtractor.load(str(ours), weights="target")


def test_every_layout_with_an_ema_copy_is_written_with_one() -> None:
    """A place of the table above that no test uses would be a claim without a test."""
    two = {layout.name for layout in LAYOUTS if layout.target}
    tested = {name for name, entry in PLAIN.items() if entry[2] is not None} | {"densecl", "dino"}
    assert two - tested == {
        "timm",
        "convnext",
        "lightly",
        "ibot",
        "dinov2",
    }  # elsewhere, or unknown to us


def test_a_file_needs_no_import(
    networks: tuple[ResNet, ResNet], images: Tensor, tmp_path: Path
) -> None:
    torch.save(RESNET_FILES["mocov3"](*networks), tmp_path / "theirs.pth")
    assert_same(FeatureExtractor.load(f"{tmp_path}/theirs.pth"), networks[0], images)
    assert_same(FeatureExtractor.load(f"{tmp_path}/theirs.pth?weights=target"), networks[1], images)
    torch.save(body(networks[0]), tmp_path / "bare.pth")
    plain = FeatureExtractor.load(f"{tmp_path}/bare.pth?layout=simclr&output_stride=8")
    assert plain.mean == (0.0,) * 3 and plain.stride == 8
    torch.save(under("strange.", body(networks[0])), tmp_path / "bare.pth")
    with pytest.raises(
        ValueError,
        match=r"no layout known here: 72 tensors such as strange.conv1.weight.*\?backbone=",
    ):
        FeatureExtractor.load(f"{tmp_path}/bare.pth")


def test_numbered_and_bare_files(
    networks: tuple[ResNet, ResNet], images: Tensor, tmp_path: Path
) -> None:
    for layout, state in (
        ("simclr", under("f.", numbered(networks[0]))),
        ("torchvision", numbered(networks[0])),
    ):
        torch.save(state, tmp_path / "theirs.pth")
        import_file(tmp_path / "theirs.pth", tmp_path / "ours.pth", layout=layout)
        assert_same(FeatureExtractor.load(f"{tmp_path}/ours.pth"), networks[0], images)


def test_safetensors(networks: tuple[ResNet, ResNet], images: Tensor, tmp_path: Path) -> None:
    save_file(
        {k: v.contiguous() for k, v in networks[0].state_dict().items()},
        tmp_path / "theirs.safetensors",
    )
    import_file(tmp_path / "theirs.safetensors", tmp_path / "ours.pth")
    assert_same(FeatureExtractor.load(f"{tmp_path}/ours.pth"), networks[0], images)


def test_detectron2(networks: tuple[ResNet, ResNet], images: Tensor, tmp_path: Path) -> None:
    theirs: State = {}
    for key, value in body(networks[0]).items():
        key = re.sub(r"layer(\d)", lambda m: f"res{int(m[1]) + 1}", key)
        key = key.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        key = re.sub(r"bn(\d)", r"conv\1.norm", key)
        theirs["backbone.bottom_up." + (key if key.startswith("res") else f"stem.{key}")] = value
    theirs = {k: v for k, v in theirs.items() if "num_batches" not in k}
    torch.save(dict(model=theirs | noise("roi_heads.box_head.fc1.weight")), tmp_path / "theirs.pth")
    written = import_file(tmp_path / "theirs.pth", tmp_path / "ours.pth")
    assert written.lines[0].startswith("layout detectron2 (")
    assert_same(FeatureExtractor.load(f"{tmp_path}/ours.pth"), networks[0], images)
