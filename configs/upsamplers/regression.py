"""The upsampler that depends on no backbone, by regression: features of a smaller image to those of
the image itself.

Launch:   python tools/train_upsampler.py work_dirs/pixpro/final.pth --data data/imagenet/train \
              --objective regression
Hardware: one GPU; with --size 96 2 CPU cores do
Result:   docs/upsamplers.md; our own recipe, after what NAF (CVPR 2026) is said to do
Knob:     --size, --samples, model.objective.scales
"""

_base_ = "consistency.py"
model = dict(
    upsampler=dict(type="NeighbourhoodUpsampler"),
    objective=dict(_delete_=True, type="ScaleRegression", scales=(0.25, 0.5)),
)
hooks = []
