"""Patches classified by what the train part's patches are labelled: by their nearest neighbours,
pixel by pixel, or by logistic regression on each patch's most frequent label.

Settings are chosen by mIoU on a held-back part of the train images, then all of these are used
(Darcet et al. 2025, arXiv 2502.08769). A pixel that counts nowhere is a label of its own among the
neighbours: where it wins, the prediction is wrong, and one more class has an IoU of 0.
"""
