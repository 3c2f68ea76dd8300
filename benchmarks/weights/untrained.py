"""A network as it was before its pretraining: rebuilt from a recipe and its seed."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import set_random_seed

from pretrain.engine.check import register_all
from pretrain.engine.start_weights import load_start
from pretrain.random_state import undisturbed_random


def untrained_content(config: Config) -> dict[str, Any]:
    """Returns what a checkpoint of a recipe's run would hold before the first step, as far as an
    evaluation reads it: ``state_dict``, and in ``meta`` the backbone's config and the
    normalisation.

    Equal to a run's own start bit for bit with the run's version of torch, which draws the numbers.

    Args:
        config: of a run: its ``model``, and its ``seed`` and ``load_from`` where it has them.

    Raises:
        ValueError: a ``load_from`` that is not there any more or does not fit.
    """
    register_all()
    with undisturbed_random():
        # The same call with which the engine seeds a run, so that networks trained with this seed
        # started from these very weights.
        set_random_seed(int(config.get("seed", 0)))
        model = MODELS.build(copy.deepcopy(config.model.to_dict()))
        if config.get("load_from"):
            load_start(model, config.load_from, config.model.get("objectives") or ())
    meta = dict(**model.describe(), samples_seen=0, untrained=True)
    return dict(state_dict=model.state_dict(), meta=meta)
