"""Which terms are minimised: ours and mmengine's rule are one."""

from __future__ import annotations

import torch
from mmengine.model import BaseModel

from pretrain.terms import is_loss, total_loss


def test_the_sum_is_what_mmengine_minimises() -> None:
    names = ("loss", "adversarial_loss", "A.loss", "A.pairs", "before")
    terms = {name: torch.tensor(2.0**k) for k, name in enumerate(names)}
    minimised, _ = BaseModel.parse_losses(None, terms)
    assert total_loss(terms) == minimised == 7
    assert [name for name in names if is_loss(name)] == list(names[:3])
