"""What analyses fine-tune with unless told otherwise: 12 epochs at 64 px, on a CPU.

All layers train, at one rate, behind a new linear layer; plain cross-entropy, so that a training
loss can be compared with the loss of other weights on the same images. SGD as in the published
analyses of what is transferred, with a cosine because the run is short; the rate is ours.

Launch:   python tools/finetune.py work_dirs/pixpro/final.pth configs/finetune/analysis.py \
              --data data/scenes/crops
Hardware: 1 CPU core, minutes
Result:   our own recipe
Knob:     schedule.epochs, schedule.lr, model.size and views.size
"""

_size = 64
model = dict(
    type="Finetuner",
    pooling="mean",
    size=_size,
    crop_fraction=0.875,
    drop_path=0.0,
    smoothing=0.0,
    mixup=0.0,
    cutmix=0.0,
    erase=0.0,
)
views = dict(type="FinetuneViews", size=_size, scale=(0.35, 1.0), flip=0.5, randaugment=None)
schedule = dict(
    global_batch=32,
    epochs=12,
    warmup_epochs=1,
    warmup_from=0.0,
    lr_rule="none",
    lr=0.02,
    lr_min=1e-6,
)
optimizer = dict(type="SGD", momentum=0.9, weight_decay=1e-4)
loader = dict(workers=0)
engine = dict(precision="fp32", checkpoint_every=200, keep_checkpoints=1, log_every=50)
custom_imports = dict(imports=["benchmarks.finetune.model", "benchmarks.finetune.views"])
vis_backends = []
