"""Any network of ours fine-tuned on a small class folder, on a CPU: 20 epochs at 64 px.

For comparisons on this machine, not for a published number: crops and mirrors, smoothing, no
mixing. The batch is small, so that 10 % of a small set still make some steps. The peak rate (1e-2
at batch 16) is the better of two tried for a short run of a small ResNet; a ViT wants about a tenth
of it.

Launch:   python tools/finetune.py work_dirs/real_pixcontrast_0/final.pth configs/finetune/tiny.py \
              --data data/real/caltech101 --seeds 0 1 2 --fraction 0.1
Hardware: 1 CPU core, minutes
Result:   docs/finetuning.md; our own recipe
Knob:     schedule.epochs (more where labels are few), schedule.lr_per_256, model.size and
          views.size
"""

_size = 64
model = dict(
    type="Finetuner",
    pooling="mean",
    size=_size,
    crop_fraction=0.875,
    drop_path=0.0,
    smoothing=0.1,
    mixup=0.0,
    cutmix=0.0,
    erase=0.0,
)
views = dict(type="FinetuneViews", size=_size, scale=(0.35, 1.0), flip=0.5, randaugment=None)
schedule = dict(
    global_batch=16, epochs=20, warmup_epochs=1, warmup_from=0.0, lr_per_256=0.16, lr_min=1e-6
)
optimizer = dict(type="AdamW", weight_decay=0.05, layer_decay=0.8)
loader = dict(workers=0)
engine = dict(precision="fp32", checkpoint_every=200, keep_checkpoints=1, log_every=50)
custom_imports = dict(imports=["benchmarks.finetune.model", "benchmarks.finetune.views"])
vis_backends = []
