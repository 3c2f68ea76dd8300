"""CLAE with the softmax of instance discrimination ("Plain"), ResNet-18, CIFAR-10, 301 epochs at
batch 128.

Launch:   python tools/train.py configs/cifar/clae_plain_r18_301e.py
Hardware: one GPU. Data: the 50,000 training images, one folder per class or all in one, below
          data/cifar10/train
Time:     not known
Result:   no number that we could read; not run by us
Knob:     objectives[0].epsilon, in 1/255
Source:   the authors' code: 301 epochs; FGSM of 0.03 in normalised units (about 1.53/255 at
          CIFAR-10's deviation) from the anchor, second set of BatchNorms, alpha 1; the rest as in
          instance_discrimination_r18_300e.py
Differs:  attacked pixels stay within [0, 1] (on uniform pixels .2 % of the attacked term, cosine of
          its gradient .994); one epsilon for all channels (1.1 % of the step, cosine of the
          gradient .9998); 2 instead of 3 passes through the second norms per step, with the same
          losses; and what instance_discrimination_r18_300e.py says, its cosine above all
"""

_base_ = ["instance_discrimination_r18_300e.py"]

model = dict(
    objectives=[
        dict(
            type="Adversarial",
            objective=dict(type="InstanceDiscrimination", form="softmax", dim=128, temperature=0.1),
            source="anchor",
            attack="fgsm",
            epsilon=1.53,
        )
    ]
)
schedule = dict(epochs=301)
