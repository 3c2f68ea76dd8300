"""The form of RoCL (robust contrastive learning, NeurIPS 2020), ResNet-18, CIFAR-10, 1000 epochs at
batch 256.

Launch:   python tools/train.py configs/cifar/rocl_r18_1000e.py
Hardware: one GPU. Data: the 50,000 training images, one folder per class or all in one, below
          data/cifar10/train
Time:     not known; the attack adds 9 forward passes of a view and 7 backward passes to its pixels
Result:   the authors' repository: linear probe 83.71 % clean, 40.27 % under attack; not run by us
Knob:     schedule.epochs; with 200 re-implementers report 78.11 % and 30.21 %
Source:   the authors' repository: three-view NT-Xent over view, other view and attacked view, plus
          one of the attacked pair; PGD of 7 steps of 0.007 (1.785/255) within 8/255, random start,
          in evaluation mode, one set of BatchNorms, pixels in [0, 1]
Differs:  ours are the weight alpha of the second term, batch, optimiser and schedule (PixPro's
          LARS), temperature, projector and views (SimCLR's without blur). The first view is held
          and the second attacked, there it is the other way round. timm's ResNet-18 has the stem
          for large images: views are enlarged to 128 px. We have no evaluation under attack
"""

_base_ = ["../_base_/runtime.py", "../_base_/schedule_lars_100e.py", "../_base_/cifar10.py"]

model = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="resnet18"),
    objectives=[
        dict(
            type="Adversarial",
            objective=dict(type="SimCLR", hidden=512, dim=128, temperature=0.5),
            source="other",
            form="joint",
            alpha=1.0,
            attack="pgd",
            epsilon=8.0,
            steps=7,
            step_size=1.785,
            random_start=True,
            norm="shared",
            attack_bn="eval_adv",
        )
    ],
    data_preprocessor=dict(type="ViewPreprocessor", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
)
_view = dict(
    size=128,
    scale=(0.08, 1.0),
    flip=0.5,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
    grey=0.2,
)
views = dict(type="ViewRecipe", groups={"global": [_view, _view]})
schedule = dict(global_batch=256, epochs=1000, warmup_epochs=10)
