"""How a long run on GPUs is driven: loading, precision, checkpoints, watching.

No setting here is part of a method.

Knob:     `loader.workers` (per training process, so 96 beside 8 GPUs; tools/doctor.py advises),
          `engine.precision` ("fp16" on GPUs before Ampere, the authors of PixPro trained in fp16),
          `engine.compile` (faster after minutes of start-up)
"""

loader = dict(workers=12, photometrics="device")
engine = dict(
    precision="bf16",
    channels_last=True,
    sync_bn=True,
    checkpoint_every=1000,
    keep_checkpoints=2,
    log_every=20,
)
hooks = [dict(type="CollapseHook", every=500), dict(type="ThroughputHook", every=100)]
vis_backends = [dict(type="TensorboardVisBackend")]
seed = 0
