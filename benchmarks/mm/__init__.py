"""mmcv, mmdet and mmsegmentation: they are imported here only, beside ``benchmarks.transfer``."""
