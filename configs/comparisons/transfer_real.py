"""Real photos, fine-tuned: what is pretrained on Caltech-101 is transferred to CamVid (FCN) and to
blood cells (Faster R-CNN) by the libraries' own training loops.

The blood cells are downloaded, too. Networks and budget are those of real.py:
with --work-dir work_dirs/real what it has trained is not trained again. Any arm of real.py can be
added: only what is missing runs.

Launch:   bash tools/setup.sh transfer
          python tools/compare.py configs/comparisons/transfer_real.py
Hardware: 2 CPU cores
Result:   docs/results.md; our own recipe
Knob:     the recipes' train_dataloader.dataset.indices, how many labelled images are trained on
"""

_base_ = "real.py"
title = "Real photos, fine-tuned: Caltech-101 → CamVid and BCCD"
_out = "data/transfer"
prepare = dict(transfer=dict(out=_out, sets=("camvid", "bccd")))
arms = dict(
    _delete_=True,
    random=dict(train=False),
    SimCLR=dict(config="configs/quick/simclr_scenes64.py"),
    PixContrast=dict(config="configs/quick/pixcontrast_scenes64.py"),
)
benchmarks = dict(
    _delete_=True,
    segmentation=dict(
        type="transfer",
        data=dict(root=f"{_out}/camvid"),
        recipe="configs/transfer/tiny/seg_fcn.py",
        options={
            "train_dataloader.dataset.indices": list(range(0, 367, 9)),  # 41 labelled images
            "train_cfg.max_iters": 120,
            "param_scheduler.1.end": 120,
            "default_hooks.checkpoint.interval": 120,
        },
    ),
    detection=dict(
        type="transfer",
        data=dict(root=f"{_out}/bccd"),
        recipe="configs/transfer/tiny/det_fpn.py",
        options={
            "train_cfg.max_iters": 60,
            "param_scheduler.1.end": 60,
            "default_hooks.checkpoint.interval": 60,
        },
    ),
)
primary = "segmentation.mIoU"
columns = (
    "segmentation.mIoU",
    "segmentation.pixel_accuracy",
    "detection.box_AP",
    "detection.box_AP50",
)
baselines = dict(_delete_=True)
next_step = "or pixelpretext transfer CHECKPOINT RECIPE for a single network"
