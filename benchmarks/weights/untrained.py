"""A network as it was before its pretraining: rebuilt from a recipe and its seed."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import set_random_seed

from pretrain.engine.check import register_all
from pretrain.engine.start_weights import begin
from pretrain.random_state import undisturbed_random


def untrained_content(config: Config) -> dict[str, Any]:
    """Returns what a checkpoint of a recipe's run would hold before the first step, as far as an
    evaluation reads it: ``state_dict``, and in ``meta`` the backbone's config and the
    normalisation.

    Equal to a run's own start bit for bit with the run's version of torch, which draws the numbers.

    Args:
        config: of a run: its ``model`` with what the backbone starts from, and its ``seed`` and
            ``load_from`` where it has them.

    Raises:
        ValueError: start weights that are not there any more or do not fit.
    """
    register_all()
    with undisturbed_random():
        # The same call with which the engine seeds a run, so that networks trained with this seed
        # started from these very weights.
        set_random_seed(int(config.get("seed", 0)))
        model = MODELS.build(copy.deepcopy(config.model.to_dict()))
        start = begin(model, config)
    meta = dict(**model.describe(), samples_seen=0, untrained=True)
    if start is not None:
        meta |= start.meta
    return dict(state_dict=model.state_dict(), meta=meta)
