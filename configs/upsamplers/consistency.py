"""A learned upsampler for one frozen backbone, by multi-view consistency (FeatUp, arXiv
2403.10516): the JBU stack.

The tool fills in what a backbone decides: its network and weights, its normalisation, the folder of
images. Settings are those of FeatUp's code: 2,000 steps of 4 images (the length that JAFAR's
authors report for it), NAdam at 1e-3 without a schedule, 5 jitters per step, gradients clipped hard
in the first 10 steps. Ours: random crops instead of central ones.

Launch:   python tools/train_upsampler.py work_dirs/pixpro/final.pth --data data/imagenet/train \
              --work-dir work_dirs/jbu
Hardware: one GPU; with --size 96 and model.objective.shared=True 2 CPU cores do
Result:   docs/upsamplers.md; not reproduced by us at this size
Knob:     --size, --samples, model.objective.shared (one upsampling, with one dropout, for all
          jitters of a step), model.objective.recompute (memory of one jitter instead of five)
"""

model = dict(
    type="UpsamplerTrainer",
    upsampler=dict(type="JBUStack"),
    objective=dict(
        type="MultiViewConsistency", jitters=5, pad=20, max_zoom=2.0, projection=30, crf=0.001
    ),
)
views = dict(type="ViewRecipe", groups={"global": [dict(size=224, scale=(0.4, 1.0), flip=0.5)]})
loader = dict(workers=2)
schedule = dict(global_batch=4, samples=8_000, lr_rule="none", lr=1e-3, lr_min=1e-3)
optimizer = dict(type="NAdam")
engine = dict(precision="fp32", checkpoint_every=100, keep_checkpoints=1, log_every=10)
hooks = [dict(type="EarlyClipHook", norm=1e-4, steps=10)]
vis_backends = []
seed = 0
