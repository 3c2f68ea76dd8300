"""A network fine-tuned on one domain of DomainNet for 100 epochs, as in "What is being transferred
in transfer learning?" (NeurIPS 2020).

Launch:   python tools/finetune.py work_dirs/pixpro/final.pth \
              configs/finetune/transferred_domainnet.py --data data/domainnet/clipart
          python tools/analyse.py which_checkpoint work_dirs/pixpro/final.pth \
              --data "domains:data/domainnet?domain=clipart&cap=50000,50000&seed=2020" \
              --set recipe=transferred_domainnet
Hardware: 1 GPU
Result:   the figures' ends read about 78 % (real), 74 % (clipart) and 67 % (quickdraw) for a
          pretrained ResNet-50, 62, 58 and 64 % for a random start; not reproduced by us
Knob:     schedule.lr=0.0025, the paper's other rate (it labels the two 0.02 and 0.1, and divides
          them by 8)
Source:   the paper's appendix and its repository: batch 32, SGD with momentum 0.9, weight decay
          1e-4, rate down tenfold after 30, 60 and 90 epochs, mixup with alpha 0.7
Differs:  the paper's network is a ResNet-50 without BatchNorm (Fixup), whose biases and scales have
          a tenth of the rate; ours is the one given, at one rate. Its augmentation is not known to
          us: crops of 8 % of the area or more, mirrors, test at 256 → 224. Which 50,000 images it
          takes depends on its own generator.
"""

_size = 224
model = dict(
    type="Finetuner",
    pooling="mean",
    size=_size,
    crop_fraction=0.875,
    drop_path=0.0,
    smoothing=0.0,
    mixup=0.7,
    cutmix=0.0,
    erase=0.0,
)
views = dict(type="FinetuneViews", size=_size, scale=(0.08, 1.0), flip=0.5, randaugment=None)
schedule = dict(
    global_batch=32, epochs=100, lr_rule="none", lr=0.0125, drop_epochs=(30.0, 60.0, 90.0)
)
optimizer = dict(type="SGD", momentum=0.9, weight_decay=1e-4)
loader = dict(workers=8)
engine = dict(precision="bf16", checkpoint_every=1000, keep_checkpoints=2, log_every=50)
custom_imports = dict(imports=["benchmarks.finetune.model", "benchmarks.finetune.views"])
vis_backends = [dict(type="TensorboardVisBackend")]
