"""Why do features transfer? The analyses as columns, on the networks of real.py and two more.

SupCon has seen the photos' labels, CIM has views of its own; network, photos, budget and schedule
are one. Fine-tuned is with a quarter of the same photos, in 101 classes, and with one domain of
PACS: photos, paintings, cartoons of seven other classes. docs/analyses.md says what each number
means.

Photos as in configs/comparisons/real.py: with --work-dir work_dirs/real what that has trained is
not trained again, and four of the six arms are there. All fine-tunings of one network and settings
are made once: `whole`, `barrier` and `criticality` share theirs, and all arms share those of the
random starts.

Launch:   python tools/compare.py configs/comparisons/why.py --work-dir work_dirs/real
Hardware: 2 CPU cores, estimated at 40 minutes behind real.py, 20 more without it
Result:   docs/results.md; our own recipe
Knob:     epochs and images of the analyses
"""

_base_ = "real.py"
title = "Why features transfer: analyses of networks of one budget"
_photos, _sets = "data/real/caltech101", "data/factors"
prepare = dict(pacs=dict(out="data/real/pacs"), factors=dict(out=_sets, factors=10))
# Photos keep the jitter and greyscale of real.py, in the views that an objective has.
overrides = {
    "_delete_": True,
    "source": dict(_delete_=True, type="ImageFolder", root=f"{_photos}/train"),
}
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

_photographed = dict(type="ClassFolder", root=_photos)
_quarter = dict(**_photographed, every=(4, 1))
_domain = dict(type="ClassFolder", root="data/real/pacs", held_back=0.25)
_streets = dict(type="SegmentationFolder", root="data/real/camvid", layout="camvid")
# 101 classes are not learnt in a few hundred steps at the recipe's rate, and networks that have
# learnt nothing have no barrier.
_batch = {"schedule.global_batch": 16}
_tuned = dict(
    epochs=8,
    lr=0.1,
    size=32,
    options=_batch,
    checkpoints=2,
    curve_images=256,
    work_dir="work_dirs/why_fine_tunings",
)
_shuffled = dict(type="block_shuffle", **_tuned)
_few = _shuffled | dict(epochs=30, block=32)  # 105 images of a domain
# What `whole` trains, written as it writes it.
_as_whole = _tuned | dict(
    recipe="analysis_centred",
    options=_batch | {"model.inputs": dict(type="BlockShuffle", block=32)},
)
_images = dict(size=64, images=300)
benchmarks = dict(
    _delete_=True,
    # what pretraining is worth, also where the structure of images is gone: in 16 and 256 blocks
    whole=dict(**_shuffled, data=_quarter, block=32),
    blocks_8=dict(**_shuffled, data=_quarter, block=8),
    blocks_2=dict(**_shuffled, data=_quarter, block=2),
    photo=dict(**_few, data=dict(**_domain, domain="photo")),
    art=dict(**_few, data=dict(**_domain, domain="art_painting")),
    cartoon=dict(**_few, data=dict(**_domain, domain="cartoon")),
    # where two fine-tunings end, and which modules had to move
    barrier=dict(
        type="barrier",
        data=_quarter,
        **_as_whole,
        points=9,
        images=400,
        statistics_images=256,
        deltas=(0.5, 1.0),
        draws=1,
    ),
    criticality=dict(
        type="criticality",
        data=_quarter,
        **_as_whole,
        alphas=6,
        sigmas=5,
        draws=2,
        images=128,
        rewound_images=400,
    ),
    # what pretraining changed
    cka=dict(type="cka", data=_photographed, size=64),
    distance=dict(type="distance", data=_photographed),
    alignment=dict(type="alignment", data=_photographed, **_images),
    dead_units=dict(type="dead_units", data=_photographed, **_images),
    # what features hold on to, and what they ignore
    positional_bias=dict(type="positional_bias", data=_streets, size=(192, 256), images=100),
    dense_structure=dict(type="dense_structure", data=_streets, size=(192, 256)),
    invariances=dict(
        type="invariances", data=dict(type="ImageSets", root=_sets, layout="scenes"), size=64
    ),
)
baselines = dict(_delete_=True)
primary = "whole.relative_drop"
columns = (
    "whole.relative_drop",
    "blocks_8.relative_drop",
    "blocks_2.relative_drop",
    "blocks_8.speed",
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
