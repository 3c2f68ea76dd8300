"""Why do features transfer? The analyses as columns, on networks of equal budget.

Networks are pretrained on the photos of real.py. Those that are fine-tuned learn a quarter of the
same photos, whose labels SupCon has seen, or one domain of PACS: photos, paintings, cartoons of
seven other classes. docs/analyses.md says what each number means.

Photos as in configs/comparisons/real.py.

Launch:   python tools/compare.py configs/comparisons/why.py
Hardware: 2 CPU cores, estimated at two hours
Result:   none measured; our own recipe
Knob:     epochs and images of the analyses
"""

_base_ = "real.py"
title = "Why features transfer: analyses of networks of one budget"
_sets = "data/factors"
prepare = dict(pacs=dict(out="data/real/pacs"), factors=dict(out=_sets, factors=10))
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
_quarter = dict(**_photographed, every=(4, 1))
_domain = dict(type="ClassFolder", root="data/real/pacs", held_back=0.25)
_streets = dict(type="SegmentationFolder", root="data/real/camvid", layout="camvid")
# Analyses of one network share a fine-tuning of equal settings.
_tuned = dict(epochs=8, checkpoints=2, work_dir="work_dirs/why_fine_tunings")
_shuffled = dict(type="block_shuffle", **_tuned)
_few = _shuffled | dict(epochs=40)  # 105 images of a domain
_images = dict(size=64, images=300)
benchmarks = dict(
    _delete_=True,
    # what pretraining is worth, also where the structure of images is gone: in 16 and 256 blocks
    whole=dict(**_shuffled, data=_quarter, block=64),
    blocks_16=dict(**_shuffled, data=_quarter, block=16),
    blocks_4=dict(**_shuffled, data=_quarter, block=4),
    photo=dict(**_few, data=dict(**_domain, domain="photo"), block=64),
    art=dict(**_few, data=dict(**_domain, domain="art_painting"), block=64),
    cartoon=dict(**_few, data=dict(**_domain, domain="cartoon"), block=64),
    # where two fine-tunings end, and which modules had to move
    barrier=dict(
        type="barrier",
        data=_quarter,
        **_tuned,
        points=11,
        images=500,
        statistics_images=512,
        draws=2,
    ),
    criticality=dict(
        type="criticality",
        data=_quarter,
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
    # what features hold on to, and what they ignore
    positional_bias=dict(type="positional_bias", data=_streets, size=(192, 256), images=300),
    dense_structure=dict(type="dense_structure", data=_streets, size=(192, 256)),
    invariances=dict(
        type="invariances", data=dict(type="ImageSets", root=_sets, layout="scenes"), size=64
    ),
)
baselines = dict(_delete_=True)
primary = "whole.relative_drop"
columns = (
    "whole.relative_drop",
    "blocks_16.relative_drop",
    "blocks_4.relative_drop",
    "blocks_16.speed",
    "photo.relative_drop",
    "art.relative_drop",
    "cartoon.relative_drop",
    "barrier.barrier",
    "criticality.rewind_drop",
    "cka.mean",
    "distance.relative",
    "alignment.misalignment",
    "dead_units.dead",
    "positional_bias.R2",
    "dense_structure.cell_rank",
    "invariances.occlusion_top10",
    "invariances.viewpoint_top10",
)
next_step = "then pixelpretext analyse --list for analyses of single networks"
