"""CamVid at 256 x 192, UPerNet on the maps of strides 4 and 8 of any backbone.

Launch:   python tools/prepare_transfer.py data/transfer --sets camvid
          python tools/transfer.py CHECKPOINT configs/transfer/tiny/seg_upernet.py
Hardware: 2 CPU cores
Result:   ours, untested
Knob:     train_dataloader.dataset.indices, how many labelled images are trained on
Source:   our own recipe; the head is mmsegmentation's, narrower
"""

_base_ = ["seg_fcn.py"]

model = dict(
    backbone=dict(out_indices=(1, 2)),
    decode_head=dict(
        _delete_=True,
        type="UPerHead",
        in_channels=None,
        in_index=[0, 1],
        pool_scales=(1, 2, 3, 6),
        channels=64,
        dropout_ratio=0,
        num_classes=None,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
)
