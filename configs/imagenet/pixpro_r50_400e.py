"""PixPro, ResNet-50, ImageNet-1k, 400 epochs: as the 100-epoch recipe, four times as long.

Launch:   bash tools/dist_train.sh configs/imagenet/pixpro_r50_400e.py 8
Hardware: 8 GPUs, 128 images each (authors: 8 V100 of 32 GB)
Time:     not known; four times that of 100 epochs (58 h on 8 V100 by a user's report) would be 232
          h
Result:   paper: VOC detection 60.2 AP (C4), COCO 1x 40.5 box / 35.3 mask AP (C4); not reproduced by
          us
Knob:     schedule.epochs
"""

_base_ = ["./pixpro_r50_100e.py"]

schedule = dict(epochs=400)
