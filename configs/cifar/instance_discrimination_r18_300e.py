"""Instance discrimination ("Plain" in the code of adversarial contrastive learning), ResNet-18,
CIFAR-10, 300 epochs.

Launch:   python tools/train.py configs/cifar/instance_discrimination_r18_300e.py
Hardware: one GPU. Data: the 50,000 training images, one folder per class or all in one, below
          data/cifar10/train
Time:     not known
Result:   no number that we could read; not run by us
Knob:     objectives[0].form: "uel" is the other base loss, with the same recipe
Source:   that code: batch 128, SGD lr 0.03, momentum 0.9, weight decay 5e-4, tau 0.1, linear head
          to 128, crops of at least 20 % of the area, jitter 0.4 always, grey 0.2, mirror,
          CIFAR-10's mean and deviation, residual blocks whose last BatchNorm starts at 1
Differs:  a cosine from 0.03 to a hundredth of it, in place of steps to 0.1, 0.05 and 0.01 of it at
          epochs 120, 160 and 200; 300 epochs, not 301; no decay on biases and norms; convolutions
          start as timm draws them, there as torch does. timm's ResNet-18 has the stem for large
          images (stride 4 in all): views are enlarged to 128 px, which gives every stage the map
          size that a stem of stride 1 gives at 32 px. Evaluation here reads the 512 channels of the
          pooled vector, there the 128 of the head
"""

_base_ = ["../_base_/runtime.py", "../_base_/cifar10.py"]

model = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="resnet18", zero_init_last=False),
    objectives=[dict(type="InstanceDiscrimination", form="softmax", dim=128, temperature=0.1)],
    data_preprocessor=dict(
        type="ViewPreprocessor", mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)
    ),
)
_view = dict(
    size=128,
    scale=(0.2, 1.0),
    flip=0.5,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4, p=1.0),
    grey=0.2,
)
views = dict(type="ViewRecipe", groups={"global": [_view, _view]})
schedule = dict(global_batch=128, epochs=300, lr_rule="none", lr=0.03, lr_min=3e-4)
optimizer = dict(type="SGD", momentum=0.9, weight_decay=5e-4)
