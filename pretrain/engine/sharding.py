"""Sharding the model over processes, and whole states of sharded or unsharded models."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import get_rank
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule, fully_shard

from pretrain.engine.optim import PrecisionOptimWrapper


def shard(model: nn.Module) -> nn.Module:
    """Shards every parameter of the model over all processes and returns the model.

    Parameters keep their shapes (they become DTensors), so weight-decay groups, LARS norms and the
    EMA of targets work as without sharding. Each of the model's ``networks`` is one unit, gathered
    for its forward pass and released after.
    """
    for network in model.networks:
        fully_shard(network, reshard_after_forward=True)
    return fully_shard(model, reshard_after_forward=True)


def is_sharded(model: nn.Module) -> bool:
    """Tells whether :func:`shard` was applied."""
    return isinstance(model, FSDPModule)


def full_state(
    model: nn.Module, optim_wrapper: PrecisionOptimWrapper
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns (model state, optimiser state), whole tensors on the CPU; the same whether sharded or
    not.

    Collective when sharded. Only rank 0, which writes, gets tensors; the others get none (and copy
    nothing).
    """
    if not is_sharded(model):
        if get_rank() != 0:
            return {}, {}
        return to_cpu(model.state_dict()), to_cpu(optim_wrapper.state_dict())
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    optimizer = get_optimizer_state_dict(model, optim_wrapper.optimizer, options=options)
    optimizer = numbered(optimizer) if optimizer else {}
    if optim_wrapper.scaler is not None:
        optimizer["loss_scaler"] = optim_wrapper.scaler.state_dict()
    return dict(get_model_state_dict(model, options=options)), optimizer


def load_model(
    model: nn.Module, state: dict[str, Any], strict: bool
) -> tuple[list[str], list[str]]:
    """Loads whole tensors into a sharded model or not; returns (missing, unexpected keys)."""
    if not is_sharded(model):
        report = model.load_state_dict(state, strict=strict)
    else:
        options = StateDictOptions(full_state_dict=True, strict=strict)
        report = set_model_state_dict(model, state, options=options)
    return list(report.missing_keys), list(report.unexpected_keys)


def load_optimizer(
    model: nn.Module, optim_wrapper: PrecisionOptimWrapper, state: dict[str, Any]
) -> None:
    """Restores the optimiser (and scaler) state that :func:`full_state` returned."""
    if not is_sharded(model):
        optim_wrapper.load_state_dict(state)
        return
    state = dict(state)
    scaler = state.pop("loss_scaler", None)
    if optim_wrapper.scaler is not None and scaler is not None:
        optim_wrapper.scaler.load_state_dict(scaler)
    names_of = {id(parameter): name for name, parameter in model.named_parameters()}
    names = []
    for group in optim_wrapper.optimizer.param_groups:
        names += [names_of[id(parameter)] for parameter in group["params"]]
    options = StateDictOptions(full_state_dict=True)
    set_optimizer_state_dict(model, optim_wrapper.optimizer, named(state, names), options=options)


def numbered(state: dict[str, Any]) -> dict[str, Any]:
    """Turns an optimiser state keyed by parameter names into torch's usual one, keyed by position
    in the groups.
    """
    number: dict[str, int] = {}
    groups = []
    for group in state["param_groups"]:
        for name in group["params"]:
            number[name] = len(number)
        groups.append(dict(group, params=[number[name] for name in group["params"]]))
    return {
        "state": {number[name]: value for name, value in state["state"].items()},
        "param_groups": groups,
    }


def named(state: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Turns an optimiser state keyed by position back into one keyed by ``names``, the parameters
    in group order.
    """
    groups = []
    for group in state["param_groups"]:
        groups.append(dict(group, params=[names[i] for i in group["params"]]))
    return {
        "state": {names[i]: value for i, value in state["state"].items()},
        "param_groups": groups,
    }


def to_cpu(value: Any) -> Any:
    """Returns nested dicts and lists with every tensor copied to the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {name: to_cpu(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(to_cpu(item) for item in value)
    return value


def mean_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """Returns a tensor's mean over all processes. Collective."""
    if dist.is_initialized():
        dist.all_reduce(values)
        values = values / dist.get_world_size()
    return values
