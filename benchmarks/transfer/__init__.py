"""Fine-tuning through mmsegmentation and mmdet, which :mod:`benchmarks.mm` imports."""
