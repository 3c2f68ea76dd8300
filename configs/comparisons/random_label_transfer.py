"""Does learning random labels help or harm what is learnt next, and does width heal the harm?

Two networks without normalisation, one with four times as many channels in its last two stages,
learn random labels of 480 scenes, or nothing. Then they learn the classes of objects cut out of
other scenes: column transfer takes over the whole network (trained_gain above 0 is positive
transfer, below 0 negative), column filters only the first layer's filters or their covariance.
dead_units says how much of each layer is silent on the new images before these are learnt.

Launch:   python tools/compare.py configs/comparisons/random_label_transfer.py
Hardware: 2 CPU cores
Result:   none measured; our own recipe
Knob:     budget, the classes of the source, the channels of the wide network
"""

_base_ = "scenes.py"
title = "Scenes: from random labels to objects of other scenes, narrow and wide"
base = "configs/quick/random_labels_scenes64.py"
budget = dict(samples=24_000)
seeds = (0, 1, 2)


def _network(channels):
    return dict(
        _delete_=True,
        type="TimmBackbone",
        name="nf_resnet26",
        stem_type="3x3",
        stem_chs=64,
        depths=(1, 1, 1, 1),
        channels=channels,
    )


_narrow = {"model.backbone": _network((64, 64, 128, 128))}
_wide = {"model.backbone": _network((64, 64, 512, 512))}
overrides = {
    "source.classes": 50,
    "model.objectives.0.num_classes": 50,
    "views.groups.global.0.size": 32,
}
arms = dict(
    _delete_=True,
    narrow_untrained=dict(train=False, overrides=_narrow),
    narrow=dict(overrides=_narrow),
    wide_untrained=dict(train=False, overrides=_wide),
    wide=dict(overrides=_wide),
)

# Objects of the validation scenes alone, none of whose images was seen; split by lot.
_other = dict(type="ClassFolder", root="data/scenes/crops/val")
_tuned = dict(size=32, epochs=8, checkpoints=0, work_dir="work_dirs/random_label_fine_tunings")
benchmarks = dict(
    _delete_=True,
    transfer=dict(type="aligned_start", data=_other, layers=0, **_tuned),
    filters=dict(type="aligned_start", data=_other, layers=1, **_tuned),
    dead_units=dict(type="dead_units", data=_other, size=32),
    alignment=dict(type="alignment", data=_other, size=32),
)
primary = "transfer.trained_gain"
columns = (
    "transfer.trained_gain",
    "transfer.trained_top1",
    "transfer.scratch_top1",
    "dead_units.dead",
    "dead_units.dead_last",
    "filters.drawn_gain",
    "filters.trained_gain",
    "alignment.misalignment",
    "alignment.random_basis",
)
baselines = dict(_delete_=True)
pictures = dict(folder="data/scenes/images/val", count=8, size=96)
