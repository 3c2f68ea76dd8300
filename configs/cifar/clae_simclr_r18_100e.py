"""CLAE with SimCLR's loss, ResNet-18, CIFAR-10, 100 epochs at batch 256.

Launch:   python tools/train.py configs/cifar/clae_simclr_r18_100e.py
Hardware: one GPU. Data: the 50,000 training images, one folder per class or all in one, below
          data/cifar10/train
Time:     not known
Result:   no number that we could read; not run by us
Knob:     objectives[0].epsilon, in 1/255
Source:   the authors' code: Adam at a constant 3e-4 without weight decay, tau 0.5, projection
          512-512-64, crops of at least 8 % of the area, colour strength 1, no blur, mean and
          deviation 0.5, FGSM of 0.03 in normalised units (3.825/255) from the anchor, second set of
          BatchNorms, alpha 1, residual blocks whose last BatchNorm starts at 1
Differs:  the projector has BatchNorms, there it has none; attacked pixels stay within [0, 1] (on
          uniform pixels .2 % of the attacked term, cosine of its gradient .994); 2 instead of 3
          passes through the second norms per step, with the same losses; convolutions start as timm
          draws them, there as torch does. timm's ResNet-18 has the stem for large images: views are
          enlarged to 128 px, which gives every stage the map size that a stem of stride 1 gives at
          32 px
"""

_base_ = ["../_base_/runtime.py", "../_base_/cifar10.py"]

model = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="resnet18", zero_init_last=False),
    objectives=[
        dict(
            type="Adversarial",
            objective=dict(type="SimCLR", hidden=512, dim=64, temperature=0.5),
            source="anchor",
            attack="fgsm",
            epsilon=3.825,
        )
    ],
    data_preprocessor=dict(type="ViewPreprocessor", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
)
_view = dict(
    size=128,
    scale=(0.08, 1.0),
    flip=0.5,
    jitter=dict(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, p=0.8),
    grey=0.2,
)
views = dict(type="ViewRecipe", groups={"global": [_view, _view]})
# The rate at the end is that at the beginning: the cosine is a constant.
schedule = dict(global_batch=256, epochs=100, lr_rule="none", lr=3e-4, lr_min=3e-4)
optimizer = dict(type="Adam", weight_decay=0.0)
