"""PixPro, ResNet-50, ImageNet-1k, 100 epochs on one GPU: batch 256 in two micro-batches.

Launch:   python tools/train.py configs/one_gpu/pixpro_r50_100e.py
Hardware: 1 GPU, 128 images per forward pass, which the authors fit into 32 GB; on 80 GB use
          schedule.accumulate=1
Time:     not known; 8 V100 need 58 h for the same number of images (a user's report), one of them
          about 8 times that
Result:   ours, untested. At batch 512 with lr 2 and momentum from 0.9934 a user reached VOC 56.6 AP
          (paper, batch 1024: 58.8) and suspected that the momentum was too high for that batch
Knob:     schedule.global_batch: the learning rate follows by itself, lr = 4 * sqrt(batch / 1024),
          the author's rule
Differs:  batch 256, lr 2.0. Momentum still starts at 0.99: do not raise it because the batch is
          small (see Result), though four times as many steps per epoch move the target. BatchNorm
          sees 128 images instead of 1024, since accumulation does not join micro-batches; if memory
          is short, lower global_batch before going below 128
"""

_base_ = ["../imagenet/pixpro_r50_100e.py"]

schedule = dict(global_batch=256, accumulate=2, lr_rule="sqrt", lr_per_256=2.0)
work_dir = "work_dirs/one_gpu_pixpro_r50_100e"  # its file name is that of the recipe for eight GPUs
