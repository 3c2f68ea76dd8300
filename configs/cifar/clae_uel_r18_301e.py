"""CLAE with the loss of unsupervised embedding learning ("UEL"), ResNet-18, CIFAR-10, 301 epochs at
batch 128.

Launch:   python tools/train.py configs/cifar/clae_uel_r18_301e.py
Hardware: one GPU. Data: the 50,000 training images, one folder per class or all in one, below
          data/cifar10/train
Time:     not known
Result:   no number that we could read; not run by us
Knob:     objectives[0].epsilon, in 1/255
Source:   the authors' code, with the settings of clae_plain_r18_301e.py
Differs:  as clae_plain_r18_301e.py says. The loss is the authors', equal to theirs on the same
          tensors up to 2e-15
"""

_base_ = ["clae_plain_r18_301e.py"]

model = dict(
    objectives=[
        dict(
            type="Adversarial",
            objective=dict(type="InstanceDiscrimination", form="uel", dim=128, temperature=0.1),
            source="anchor",
            attack="fgsm",
            epsilon=1.53,
        )
    ]
)
