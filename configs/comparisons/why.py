"""Why do features transfer? The analyses as columns, on networks of equal budget.

Networks are pretrained on the photos of real.py. Those that are fine-tuned learn a third of the
same photos, or objects of generated scenes: another domain, drawn and with other classes. SupCon
has seen the photos' labels. docs/analyses.md says what each number means.

Photos as in configs/comparisons/real.py.

Launch:   python tools/compare.py configs/comparisons/why.py
Hardware: 2 CPU cores, estimated at two hours
Result:   none measured; our own recipe
Knob:     epochs and images of the analyses
"""

_base_ = "real.py"
title = "Why features transfer: analyses of networks of one budget"
_scenes = "data/scenes_factors"
prepare = dict(scenes=dict(out=_scenes, images=3000, size=96, seed=0))
budget = dict(samples=12_000)
overrides = {
    "_delete_": True,
    "source": dict(_delete_=True, type="ImageFolder", root="data/real/caltech101/train"),
    "schedule.warmup_samples": 1_200,
}
# Photos keep the jitter and greyscale of real.py, in the views that an objective has.
_jitter = dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8)
_whole, _exemplars = {}, {}
for _place in range(2):
    _whole[f"views.groups.global.{_place}.jitter"] = _jitter
    _whole[f"views.groups.global.{_place}.grey"] = 0.2
for _place in range(6):
    _exemplars[f"views.groups.exemplar.{_place}.jitter"] = _jitter
    _exemplars[f"views.groups.exemplar.{_place}.grey"] = 0.2
_quick = "configs/quick/{}_scenes64.py".format
arms = dict(
    _delete_=True,
    random=dict(train=False, overrides=_whole),
    SimCLR=dict(config=_quick("simclr"), overrides=_whole),
    PixContrast=dict(config=_quick("pixcontrast"), overrides=_whole),
    PixPro=dict(overrides=_whole),
    # In a batch of 16 of 101 classes an image would meet 0.15 others of its class.
    SupCon=dict(config=_quick("supcon"), overrides=_whole | {"loader.images_per_class": 4}),
    CIM=dict(config=_quick("cim"), overrides=_exemplars),
)

_photographed = dict(type="ClassFolder", root="data/real/caltech101")
_third = dict(**_photographed, every=(3, 1))
_drawn = dict(type="ClassFolder", root=f"{_scenes}/crops", every=(8, 4))
_streets = dict(type="SegmentationFolder", root="data/real/camvid", layout="camvid")
# Analyses of one network share a fine-tuning of equal settings.
_tuned = dict(epochs=8, checkpoints=2, work_dir="work_dirs/why_fine_tunings")
_shuffled = dict(type="block_shuffle", **_tuned)
_images = dict(size=64, images=300)
benchmarks = dict(
    _delete_=True,
    # what is gained where the structure of images is gone: photos in 16 and 256 blocks, drawings
    blocks_16=dict(**_shuffled, data=_third, block=16),
    blocks_4=dict(**_shuffled, data=_third, block=4),
    drawn_16=dict(**_shuffled, data=_drawn, block=16),
    # where two fine-tunings end, and which modules had to move
    barrier=dict(
        type="barrier", data=_third, **_tuned, points=11, images=500, statistics_images=512, draws=2
    ),
    criticality=dict(
        type="criticality",
        data=_third,
        **_tuned,
        alphas=6,
        sigmas=5,
        draws=2,
        images=128,
        rewound_images=500,
    ),
    # what pretraining changed
    cka=dict(type="cka", data=_photographed, size=64),
    distance=dict(type="distance", data=_photographed),
    alignment=dict(type="alignment", data=_photographed, **_images),
    dead_units=dict(type="dead_units", data=_photographed, **_images),
    # what features hold on to
    positional_bias=dict(type="positional_bias", data=_streets, size=(192, 256), images=300),
    dense_structure=dict(type="dense_structure", data=_streets, size=(192, 256)),
)
baselines = dict(_delete_=True)
primary = "blocks_16.relative_drop"
columns = (
    "blocks_16.relative_drop",
    "blocks_4.relative_drop",
    "drawn_16.relative_drop",
    "blocks_16.speed",
    "barrier.barrier",
    "criticality.rewind_drop",
    "cka.mean",
    "distance.relative",
    "alignment.misalignment",
    "dead_units.dead",
    "positional_bias.R2",
    "dense_structure.cell_rank",
)
next_step = "then pixelpretext analyse --list for analyses of single networks"
