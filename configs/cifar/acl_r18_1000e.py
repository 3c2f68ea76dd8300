"""The form of ACL (adversarial contrastive learning, NeurIPS 2020), ResNet-18, CIFAR-10, 1000
epochs at batch 256.

Launch:   python tools/train.py configs/cifar/acl_r18_1000e.py
Hardware: one GPU. Data: the 50,000 training images, one folder per class or all in one, below
          data/cifar10/train
Time:     not known; the attack adds 12 forward passes of a view and 10 backward passes to its
          pixels
Result:   the authors' repository: 2.99 points of robust and 2.14 of standard accuracy more than the
          best before; not run by us
Knob:     schedule.epochs
Source:   the authors' repository: both views attacked together, PGD of 5 steps of 2/255 within
          8/255, random start, in evaluation mode, second set of BatchNorms, mean of the clean and
          the attacked NT-Xent
Differs:  ours are batch, epochs, optimiser and schedule (PixPro's LARS), temperature, projector and
          views (SimCLR's without blur). timm's ResNet-18 has the stem for large images: views are
          enlarged to 128 px. We have no evaluation under attack
"""

_base_ = ["rocl_r18_1000e.py"]

model = dict(
    objectives=[
        dict(
            type="Adversarial",
            weight=0.5,
            objective=dict(type="SimCLR", hidden=512, dim=128, temperature=0.5),
            source="both",
            attack="pgd",
            epsilon=8.0,
            steps=5,
            step_size=2.0,
            random_start=True,
            norm="second",
            attack_bn="eval_adv",
        )
    ]
)
