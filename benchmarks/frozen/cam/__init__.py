"""Class activation maps: does the place that a map names for a class hold what the classifier goes
by?

A linear classifier (benchmark ``linear``) is fitted on the mean of the frozen map F over its
positions, so the logit of class k is a mean over positions of Σ_c w_kc F_c plus a constant. That
sum is the class activation map, and for such a head it is what Grad-CAM gives, too (its channel
weights are ∂logit/∂F_c = w_kc / hw). It is taken from the upsampled map, A = Σ_c w_kc up(F)_c at
the image's own size; k is the predicted class. The map shown is M = max(A, 0) / max A in [0, 1].
The masked image keeps a pixel's colour by the share M and fades to the mean colour; Y and O are the
softmax scores of class k on the image and on the masked image. Averages over images:

    Average Drop ↓      100 · mean(max(0, Y − O) / Y)
    Average Increase ↑  100 · share of O > Y
    Average Gain ↑      100 · mean(max(0, O − Y) / (1 − Y))
    Coherency ↑         100 · mean (1 + ρ) / 2
    Complexity ↓        100 · mean over pixels of M
    Area ↓              100 · share of pixels with M > 0
    ADCC ↑              100 · mean 3 / (1/Coherency + 1/(1 − Complexity) + 1/(1 − Drop)),
                        of each image's own shares

ρ is Pearson's correlation of M with the map of the masked image for the same class.
Coherency, complexity and ADCC are those of Poppi et al. 2021 (arXiv 2104.10252) and their code.
Until November 2026 ``complexity`` was what is called ``area`` now, and ADCC was made of it and of
means over images: such records have another protocol. On one set of maps complexity fell from 0.703
to 0.298 by that, and ADCC rose from 0.547 to 0.844.
"""

from benchmarks.frozen.cam.run import BENCHMARK, Settings

__all__ = ["BENCHMARK", "Settings"]
