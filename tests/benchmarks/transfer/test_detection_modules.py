"""What detection recipes add to mmdet: closed forms of each part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

from benchmarks.transfer.parts import Parts, pretrained_parts
from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.objectives.parts.levels import Levels

pytestmark = pytest.mark.usefixtures("transfer_libraries")
WIDTHS = {4: 8, 8: 12, 16: 16, 32: 20}  # channels of a toy backbone's maps, by stride


def maps(seed: int = 0) -> dict[int, Tensor]:
    """Maps of one 64-pixel image, by stride."""
    torch.manual_seed(seed)
    return {
        stride: torch.randn(1, width, 64 // stride, 64 // stride)
        for stride, width in WIDTHS.items()
    }


def detector(
    *, start_level: int = 0, norm: bool = False, towers: int = 2, extra: Any = False
) -> nn.ModuleDict:
    """mmdet's FPN and RetinaNet head under a detector's names."""
    from mmdet.registry import MODELS as MMDET

    head = dict(
        type="RetinaHead", num_classes=3, in_channels=24, feat_channels=24, stacked_convs=towers
    )
    fpn = dict(
        type="FPN",
        in_channels=list(WIDTHS.values()),
        out_channels=24,
        num_outs=5,
        start_level=start_level,
    )
    fpn |= dict(add_extra_convs=extra, norm_cfg=dict(type="BN") if norm else None)
    scope = dict(_scope_="mmdet")  # another library's may be the default since another test
    return nn.ModuleDict({"neck": MMDET.build(fpn | scope), "bbox_head": MMDET.build(head | scope)})


def pretrained(convs: int = 2) -> Levels:
    """The pyramid of a pretraining objective on strides 8 to 32, with biases that are not zero."""
    torch.manual_seed(1)
    pyramid = dict(strides=(8, 16, 32), channels=24, head_convs=convs)
    levels = Levels(FeatureInfo(WIDTHS, 20), pyramid=pyramid)
    for name, parameter in levels.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    return levels


def filled(model: nn.Module, levels: Levels) -> Parts:
    parts = pretrained_parts(levels.state_dict(), model.state_dict())
    model.load_state_dict(parts.state, strict=False)
    return parts


def test_a_pretrained_pyramid_computes_the_same_in_the_neck_and_its_tower_in_both_of_the_head() -> (
    None
):
    levels, model = pretrained(), detector()
    parts = filled(model, levels)
    assert parts.unused == ()
    images = maps()
    wanted = levels(Features({s: m for s, m in images.items() if s > 4}, torch.zeros(1, 20)))
    neck = model["neck"](tuple(images.values()))
    assert len(neck) == len(wanted) + 1  # strides 4 to 64; the finest level is new
    for tower in ("cls_convs", "reg_convs"):
        for level, expected in zip(neck[1:], wanted, strict=True):
            for conv in getattr(model["bbox_head"], tower):
                level = conv(level)
            torch.testing.assert_close(level, expected)
    # The first of four levels stays as initialised, all else is filled.
    assert set(parts.new) == {
        f"neck.{convs}.0.conv.{part}"
        for convs in ("lateral_convs", "fpn_convs")
        for part in ("weight", "bias")
    }


def test_a_neck_that_begins_at_stride_8_takes_the_same_levels_and_keeps_its_own_coarse_ones() -> (
    None
):
    levels, model = pretrained(), detector(start_level=1, extra="on_input")
    parts = filled(model, levels)
    state = model.state_dict()
    for index in range(3):
        assert torch.equal(
            state[f"neck.fpn_convs.{index}.conv.weight"], levels.fpn.layer_blocks[index][0].weight
        )
    assert {key.split(".conv.")[0] for key in parts.new} == {"neck.fpn_convs.3", "neck.fpn_convs.4"}


def test_biases_before_norms_are_unused_and_longer_towers_begin_anew() -> None:
    parts = filled(detector(norm=True, towers=3), pretrained())
    biases = [
        f"fpn.{blocks}.{i}.0.bias" for blocks in ("inner_blocks", "layer_blocks") for i in range(3)
    ]
    assert sorted(parts.unused) == biases and "6 unused" in str(parts)
    assert "neck.fpn_convs.1.bn.weight" in parts.new  # norms are new
    assert {key for key in parts.new if key.startswith("bbox_head")} == {
        f"bbox_head.{tower}.2.conv.{part}"
        for tower in ("cls_convs", "reg_convs")
        for part in ("weight", "bias")
    }


def test_a_detector_without_neck_takes_nothing_and_equal_widths_are_refused() -> None:
    levels = pretrained()
    assert (
        pretrained_parts(levels.state_dict(), {"backbone.conv1.weight": torch.zeros(1)}).state == {}
    )
    wanted = {f"neck.lateral_convs.{i}.conv.weight": torch.zeros(24, 12, 1, 1) for i in range(2)}
    with pytest.raises(ValueError, match=r"several maps of one width \(\[12, 12\]\)"):
        pretrained_parts(levels.state_dict(), wanted)


def test_extra_norm_is_the_last_layer_of_the_shared_head_and_everything_is_trained() -> None:
    torch.manual_seed(0)
    norm = dict(type="BN", requires_grad=True)
    head = MODELS.build(dict(type="ResLayerExtraNorm", depth=18, stage=3, stride=2, norm_cfg=norm))
    head.train()  # mmdet's returns nothing
    regions = torch.randn(6, 256, 4, 4)
    out = head(regions)
    assert out.shape == (6, 512, 2, 2)
    stage = head.layer4(regions)
    assert stage.min() == 0  # behind its ReLU
    mean, var = (
        stage.mean((0, 2, 3), keepdim=True),
        stage.var((0, 2, 3), keepdim=True, unbiased=False),
    )
    torch.testing.assert_close(out, (stage - mean) / (var + 1e-5).sqrt(), rtol=1e-4, atol=1e-4)
    assert {key.split(".")[0] for key in head.state_dict()} == {"layer4", "norm"}
    assert all(parameter.requires_grad for parameter in head.parameters())
    assert all(module.training for module in head.modules())
    assert (
        MODELS.build(dict(type="ResLayerExtraNorm", depth=50, norm_cfg=norm)).norm.num_features
        == 2048
    )


def test_simple_pyramid_has_the_strides_and_channels_of_a_pyramid_and_normalises_each_cell() -> (
    None
):
    torch.manual_seed(0)
    neck = MODELS.build(dict(type="SimplePyramid", in_channels=48, out_channels=32, in_stride=16))
    levels = neck((torch.zeros(1), torch.randn(2, 48, 6, 8)))  # the last map counts
    assert [tuple(level.shape) for level in levels] == [
        (2, 32, 96 // stride, 128 // stride) for stride in (4, 8, 16, 32)
    ] + [(2, 32, 2, 2)]
    for level in levels:
        torch.testing.assert_close(
            level.mean(1), torch.zeros_like(level.mean(1)), rtol=0, atol=1e-5
        )
        torch.testing.assert_close(
            level.var(1, unbiased=False), torch.ones_like(level.mean(1)), rtol=0, atol=1e-2
        )
    assert torch.equal(levels[4], levels[3][:, :, ::2, ::2])
    # Weights: deconvolutions (stride 4: two and a LayerNorm; stride 8: one), then 1 x 1, 3 x 3 and
    # two LayerNorms each.
    deconvs = (48 * 24 * 4 + 24 + 2 * 24 + 24 * 12 * 4 + 12) + (48 * 24 * 4 + 24)
    assert sum(p.numel() for p in neck.parameters()) == deconvs + 32 * (12 + 24 + 48 + 48) + 4 * (
        32 * 32 * 9 + 4 * 32
    )


def test_levels_of_the_simple_pyramid_share_nothing() -> None:
    neck = MODELS.build(
        dict(type="SimplePyramid", in_channels=8, out_channels=4, strides=(8, 16), extra=False)
    )
    neck((torch.randn(1, 8, 2, 2),))[0].sum().backward()
    touched = [any(p.grad is not None for p in branch.parameters()) for branch in neck.levels]
    assert touched == [True, False]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(strides=(4, 12)), "12 is not a power of two"),
        (dict(in_channels=6), "cannot be halved 2 times"),
    ],
)
def test_impossible_pyramids_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MODELS.build(dict(type="SimplePyramid", in_channels=8) | options)


class Toy(BaseModel):
    """BatchNorm three times: on the input, never reached, and kept in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.seen, self.idle, self.fixed = nn.BatchNorm1d(2), nn.BatchNorm1d(2), nn.BatchNorm1d(2)

    def train(self, mode: bool = True) -> Toy:
        super().train(mode)
        self.fixed.eval()
        return self

    def forward(self, inputs: Tensor, mode: str = "tensor") -> dict[str, Tensor]:
        return {"loss": self.scale * (self.seen(inputs) + self.fixed(inputs)).sum()}


class Rows(Dataset):
    """12 rows of two numbers; the mean of each batch of 4 differs."""

    def __init__(self) -> None:
        self.rows = torch.from_numpy(
            np.random.default_rng(0).normal(3, 2, (12, 2)).astype(np.float32)
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return dict(inputs=self.rows[index] + index)


def test_precise_statistics_are_plain_averages_over_the_batches_after_training(
    tmp_path: Path,
) -> None:
    """2 iterations on rows 0-3 and 4-7; then 3 batches: rows 8-11, 0-3, 4-7, each with the same
    weight.
    """
    loader = dict(
        dataset=Rows(),
        batch_size=4,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=False),
        collate_fn=dict(type="default_collate"),
    )
    runner = Runner(
        model=Toy(),
        work_dir=str(tmp_path),
        train_dataloader=loader,
        default_scope="mmengine",
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=2),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.0)),
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=1)),
        custom_hooks=[dict(type="PreciseBN", batches=3)],
        experiment_name="precise",
        log_level="WARNING",
    )
    model = runner.model
    model.idle.running_mean.fill_(5.0)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    runner.train()
    rows = np.stack([dict(Rows()[i])["inputs"].numpy() for i in range(12)]).reshape(3, 4, 2)
    mean, var = rows.mean(1).mean(0), rows.var(1, ddof=1).mean(0)
    np.testing.assert_allclose(model.seen.running_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(model.seen.running_var, var, rtol=1e-5)
    assert model.seen.momentum == 0.1 and model.seen.num_batches_tracked == 2
    for key in (
        "scale",
        "idle.running_mean",
        "idle.running_var",
        "fixed.running_mean",
        "fixed.running_var",
    ):
        assert torch.equal(model.state_dict()[key], before[key]), key
    # The last checkpoint has them, the one before has moving averages: 0.9 * 0 + 0.1 * the first
    # batch.
    saved = [
        torch.load(tmp_path / f"iter_{i}.pth", weights_only=False)["state_dict"] for i in (1, 2)
    ]
    np.testing.assert_allclose(saved[0]["seen.running_mean"], 0.1 * rows[0].mean(0), rtol=1e-5)
    np.testing.assert_allclose(saved[1]["seen.running_mean"], mean, rtol=1e-5)


def test_precise_bn_needs_a_batch() -> None:
    from benchmarks.mm.modules.precise_bn import PreciseBN

    with pytest.raises(ValueError, match=r"PreciseBN\.batches=0 must be at least 1"):
        PreciseBN(batches=0)


def test_voc_average_precision_is_the_mean_over_the_thresholds_that_detectron2_takes() -> None:
    """One object, found with an IoU of 0.72: a hit at 0.50, 0.55, 0.60, 0.65 and 0.70 of the ten
    thresholds.
    """
    from mmdet.registry import METRICS

    recipe = Config.fromfile(
        Path(__file__).parents[3] / "configs/transfer/voc0712_fasterrcnn_r50_c4_24k.py"
    )
    metric = METRICS.build(recipe.test_evaluator)
    metric.dataset_meta = dict(classes=("dog",), dataset_type="VOC2007")
    none = dict(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    truth = dict(bboxes=torch.tensor([[0.0, 0, 99, 99]]), labels=torch.tensor([0]))
    found = dict(
        bboxes=torch.tensor([[0.0, 0, 71, 99]]),
        labels=torch.tensor([0]),
        scores=torch.tensor([0.9]),
    )
    metric.process({}, [dict(gt_instances=truth, ignored_instances=none, pred_instances=found)])
    measured = metric.evaluate(size=1)
    assert measured["pascal_voc/mAP"] == pytest.approx(0.5)
    assert (measured["pascal_voc/AP50"], measured["pascal_voc/AP75"]) == (1.0, 0.0)
