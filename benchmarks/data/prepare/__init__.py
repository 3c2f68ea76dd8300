"""Labelled data rewritten into the layouts that mmsegmentation and mmdet read: ADE20K's, COCO's and
VOC's.

:mod:`run` knows the data sets by name; :mod:`segmentation`, :mod:`bccd`, :mod:`coco100` and
:mod:`scenes` write one each. Needs none of the libraries that read the result.
"""

from .run import SETS, prepare_sets

__all__ = ["SETS", "prepare_sets"]
