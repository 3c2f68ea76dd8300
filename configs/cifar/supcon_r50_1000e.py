"""SupCon, ResNet-50, CIFAR-10, 1000 epochs at batch 1024: the paper's CIFAR setting.

Launch:   python tools/train.py configs/cifar/supcon_r50_1000e.py
Hardware: one GPU of 80 GB, or more of them with tools/dist_train.sh. Data: the 50,000 training
          images, one folder per class, below data/cifar10/train
Time:     not known
Result:   paper: 96.0 % by a linear classifier on frozen features; not reproduced by us
Knob:     schedule.global_batch: more positives and negatives; objectives[0].temperature, 0.5 for
          the SimCLR arm
Source:   the authors' PyTorch code: SGD lr 0.5, momentum 0.9, weight decay 1e-4, 10 epochs of
          warm-up from 0.01, cosine to a thousandth, tau 0.1, loss times tau / 0.07, projector
          2048-2048-128, crops of at least 20 % of the area, jitter 0.4, 0.4, 0.4, 0.1, grey 0.2, no
          blur, CIFAR-10's mean and deviation, residual blocks whose last BatchNorm starts at 1. For
          CIFAR-100: another root, mean (.5071, .4867, .4408), deviation (.2675, .2565, .2761)
Differs:  no decay on biases and norms; the learning rate changes per step and the cosine begins
          after the warm-up, there per epoch and at once (at most 5.3e-3 of .5 apart); 48 steps per
          epoch, there 49. timm's ResNet-50 has the stem for large images (stride 4 in all): views
          are enlarged to 128 px, which gives every stage the map size that a stem of stride 1 gives
          at 32 px. Stage two is our linear probe, a fitted logistic regression, in place of 100
          epochs of SGD
"""

_base_ = ["../_base_/runtime.py", "../_base_/cifar10.py"]

_temperature = 0.1
model = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="resnet50", zero_init_last=False),
    objectives=[
        dict(
            type="SupCon",
            hidden=2048,
            dim=128,
            temperature=_temperature,
            loss_scale=_temperature / 0.07,
        )
    ],
    data_preprocessor=dict(
        type="ViewPreprocessor", mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)
    ),
)
_view = dict(
    size=128,
    scale=(0.2, 1.0),
    flip=0.5,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
    grey=0.2,
)
views = dict(type="ViewRecipe", groups={"global": [_view, _view]})
schedule = dict(
    global_batch=1024,
    epochs=1000,
    warmup_epochs=10,
    warmup_from=0.02,
    lr_rule="none",
    lr=0.5,
    lr_min=5e-4,
)
optimizer = dict(type="SGD", momentum=0.9, weight_decay=1e-4)
