"""Scenes, fine-tuned: FCN for the label maps and Mask R-CNN for boxes and masks, by the libraries'
own training loops.

Pretraining and fine-tuning see the same train images. Networks and budget are those of scenes.py:
with --work-dir work_dirs/scenes what it has trained is not trained again. Any arm of scenes.py can
be added: only what is missing runs.

Launch:   bash tools/setup.sh transfer
          python tools/compare.py configs/comparisons/transfer_scenes.py
Hardware: 2 CPU cores
Result:   docs/results.md; our own recipe
Knob:     the recipes' train_dataloader.dataset.indices, how many labelled images are trained on
"""

_base_ = "scenes.py"
title = "Scenes, fine-tuned: segmentation, boxes and masks"
_out = "data/transfer"
prepare = dict(
    transfer=dict(out=_out, sets=("scenes_segmentation", "scenes_detection"), scenes="data/scenes")
)
arms = dict(
    _delete_=True,
    untrained=dict(train=False),
    SimCLR=dict(config="configs/quick/simclr_scenes64.py"),
    PixContrast=dict(config="configs/quick/pixcontrast_scenes64.py"),
)
benchmarks = dict(
    _delete_=True,
    segmentation=dict(
        type="transfer",
        data=dict(root=f"{_out}/scenes_segmentation"),
        recipe="configs/transfer/tiny/seg_fcn_scenes.py",
    ),
    detection=dict(
        type="transfer",
        data=dict(root=f"{_out}/scenes_detection"),
        recipe="configs/transfer/tiny/mask_fpn.py",
    ),
)
primary = "segmentation.mIoU"
columns = (
    "segmentation.mIoU",
    "segmentation.pixel_accuracy",
    "detection.box_AP",
    "detection.mask_AP",
)
baselines = dict(_delete_=True)
next_step = "or pixelpretext transfer CHECKPOINT RECIPE for a single network"
