"""Linear probes of dense features: one 1×1 convolution, trained on frozen features at any
resolution.

With z = (U(x, F) − μ) / σ the upsampled features of an image, standardised by mean and deviation of
the train part's features on their own grid, the read-out is o = P·z + β at every pixel. Everything
between F and o is linear, so where the upsampler is, too
(:class:`heads.upsamplers.base.LinearUpsampler`), P is applied on the low-resolution grid and only
its few outputs are upsampled, in training as well: exact, see
:mod:`benchmarks.frozen.probe.readout`.

The probe is trained by AdamW with a warm-up and a cosine schedule per step, the images in an order
drawn by the seed. The validation part is looked at once, with the final weights: the last value is
the value reported. Images are not augmented.
"""
