"""Fine-tuning through mmsegmentation and mmdet: the only folder that imports mmcv, mmseg and mmdet."""
