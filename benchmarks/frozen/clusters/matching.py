"""From clusters to classes, by how many pixels they share: a table (K, C) suffices.

IoU of cluster k and class c with n_kc pixels in common is n_kc / (Σ_c n_kc + Σ_k n_kc − n_kc).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from pretrain.names import check_choice

MATCHINGS = ("precision", "iou", "hungarian")


def classes_of(table: np.ndarray, matching: str, *, absent_classes: bool = False) -> np.ndarray:
    """The class of each cluster, (K,) int64.

    Args:
        table: (K, C) pixels of cluster k and class c.
        matching: ``precision``: the class of most of a cluster's pixels; ``iou``: that of the
            largest IoU; of equals the first. Several clusters may have one class. ``hungarian``:
            every class has one cluster so that the sum of IoUs is largest; clusters that are left
            over are class 0, the background.
        absent_classes: whether classes without a pixel take part in ``hungarian``, where each
            takes a cluster away from the others.
    """
    check_choice("matching", matching, MATCHINGS)
    if matching == "precision":
        return table.argmax(1)
    iou = _iou(table)
    if matching == "iou":
        return iou.argmax(1)
    taking = np.arange(table.shape[1]) if absent_classes else np.flatnonzero(table.sum(0))
    clusters, columns = linear_sum_assignment(iou[:, taking], maximize=True)
    classes = np.zeros(len(table), np.int64)
    classes[clusters] = taking[columns]
    return classes


def _iou(table: np.ndarray) -> np.ndarray:
    union = table.sum(1, keepdims=True) + table.sum(0, keepdims=True) - table
    return np.divide(table, union, out=np.zeros(table.shape), where=union > 0)
