"""mmcv, mmdet and mmsegmentation: imported here only, by :mod:`~benchmarks.mm.libraries`."""
