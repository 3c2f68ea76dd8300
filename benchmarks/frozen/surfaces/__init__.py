"""Depth and surface normals of whole images by a linear head on frozen features, as the published
evaluations train and score them: augmented crops, a schedule per iteration, the image's own size,
mirrored test images, scores per image.

The benchmarks ``depth`` and ``depth_probe`` resize images and ask for one number quickly; these ask
for the published one.
"""
