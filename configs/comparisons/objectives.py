"""Every objective for pretraining from scratch on the embedded data set "scenes": one network, one
schedule, three seeds each. Those that go on from a published backbone are in post_train.py.

Launch:   python tools/compare.py configs/comparisons/objectives.py
Hardware: 2 CPU cores, within six hours; killed or interrupted, the same command goes on
Result:   docs/results.md; our own recipes, one learning rate for all
Knob:     budget
"""

_base_ = "scenes.py"
title = "Objectives: every one of them under one budget"
budget = dict(samples=12_000)
overrides = {"schedule.warmup_samples": 1_200}
_quick = "configs/quick/{}_scenes64.py".format
arms = dict(
    _delete_=True,
    untrained=dict(train=False),
    # labels
    supervised=dict(config=_quick("supervised")),
    SupCon=dict(config=_quick("supcon")),
    random_labels=dict(config=_quick("random_labels")),
    # whole images
    SimCLR=dict(config=_quick("simclr")),
    BYOL=dict(config=_quick("byol")),
    InstanceDiscrimination=dict(config=_quick("instance_discrimination")),
    AdCo=dict(config=_quick("adco")),
    # whole images and cells
    DenseCL=dict(config=_quick("densecl")),
    VICRegL=dict(config=_quick("vicregl")),
    # cells
    PixContrast=dict(config=_quick("pixcontrast")),
    PixPro=dict(),
    CIM=dict(config=_quick("cim")),
    SimMIM=dict(config=_quick("simmim")),
    SlotCon=dict(config=_quick("slotcon")),
    CrIBo=dict(config=_quick("cribo")),
    LeJEPA_cells=dict(config=_quick("lejepa")),
    # with an adversary
    Adversarial_SimCLR=dict(config=_quick("clae_simclr")),
)

benchmarks = dict(retrieval=dict(memory_size=51_200))
pictures = dict(count=6)
