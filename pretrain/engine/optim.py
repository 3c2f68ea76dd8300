"""Optimisers with the papers' exclusions; a wrapper for precision, accumulation, clipping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS
from torch import Tensor, nn

from pretrain.engine.group_settings import freeze, refine, take_settings
from pretrain.engine.lars import Lars
from pretrain.engine.schedule import Schedule, cosine

DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Returns two groups: tensors of ≥ 2 dimensions with ``weight_decay``; 1-D ones (biases, norm
    scales) and what a timm network names in ``no_weight_decay()`` (a ViT's position embeddings and
    tokens) without.

    LARS adapts the learning rate only where the weight decay is not 0, so 1-D tensors also skip the
    trust ratio, as in the papers' code. Frozen parameters are left out; a parameter shared by two
    modules counts once. With ``weight_decay=0`` LARS still needs to know the matrices, hence the
    flag ``adapt``.
    """
    exempt = set()
    for module in model.modules():
        named = module.no_weight_decay() if hasattr(module, "no_weight_decay") else ()
        exempt.update(id(p) for name, p in module.named_parameters() if name in named)
    matrices, others = [], []
    for parameter in model.parameters():
        if parameter.requires_grad:
            decays = parameter.ndim >= 2 and id(parameter) not in exempt
            (matrices if decays else others).append(parameter)
    groups = [
        dict(params=matrices, weight_decay=weight_decay, adapt=True),
        dict(params=others, weight_decay=0.0, adapt=False),
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(
    model: nn.Module, config: Mapping[str, Any], lr: float
) -> torch.optim.Optimizer:
    """Builds the optimiser of a config's ``optimizer`` section (``type`` and the constructor's
    arguments, no lr).

    Args:
        model: The unwrapped model; see :func:`parameter_groups` for what happens to its parameters.
        config: e.g. ``dict(type="Lars", momentum=0.9, weight_decay=1e-5)``; options of
            :class:`pretrain.engine.group_settings.GroupSettings` as well, such as
            ``layer_decay=0.8``. With ``train_blocks`` parameters of the model are frozen.
        lr: learning rate of the first step; the loop sets every later one.

    Raises:
        ConfigError: an option that is illegal or that the model has no layers for.
    """
    config = dict(config)
    settings = take_settings(config)
    freeze(model, settings)
    groups = refine(parameter_groups(model, settings.weight_decay), model, settings)
    optimizer = OPTIMIZERS.build(dict(config, params=groups, lr=lr))
    if isinstance(optimizer, Lars):
        for group in optimizer.param_groups:
            group["always_adapt"] = group["adapt"]
    return optimizer


def total_norm(parameters: list[nn.Parameter]) -> Tensor:
    """Returns the L2 norm of all gradients together, 0-d float on their device; whole tensors also
    when sharded.
    """
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm


@OPTIM_WRAPPERS.register_module()
class PrecisionOptimWrapper(OptimWrapper):
    """mmengine's wrapper on any device: autocast in bf16 or fp16, loss scaling for fp16, the
    gradient norm measured.

    Args:
        optimizer: The optimiser.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        device_type: ``cpu``, ``cuda``, …
        accumulate: micro-batches per step; gradients are their mean.
        clip_grad: largest total gradient norm, None = no clipping.

    Attributes:
        grad_norm: 0-d tensor, gradient norm of the last step before clipping, unscaled; None before
            the first.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        precision: str = "fp32",
        *,
        device_type: str = "cpu",
        accumulate: int = 1,
        clip_grad: float | None = None,
    ) -> None:
        super().__init__(optimizer, accumulative_counts=accumulate)
        self.dtype = DTYPES[precision]
        self.device_type = device_type
        self.max_norm = clip_grad
        self.scaler = torch.amp.GradScaler(device_type) if precision == "fp16" else None
        self.grad_norm: Tensor | None = None
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def set_step(self, schedule: Schedule, step: int) -> None:
        """Sets what changes from step to step in every group.

        Learning rate: the schedule's times the group's ``lr_scale``, 1 if it has none; 0 during the
        epochs that it ``waits``. Weight decay: a cosine over the run from ``weight_decay_start`` to
        ``weight_decay_end``, if it has them.
        """
        for group in self.param_groups:
            waiting = step < group.get("waits", 0) * schedule.per_epoch
            group["lr"] = 0.0 if waiting else schedule.lr(step) * group.get("lr_scale", 1.0)
            if "weight_decay_end" in group:
                span = group["weight_decay_start"], group["weight_decay_end"]
                group["weight_decay"] = cosine(*span, schedule.progress(step))

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int) -> None:
        """Starts counting at optimiser step ``init_counts`` of ``max_counts``; micro-batches are
        counted inside.
        """
        self._inner_count = init_counts * self._accumulative_counts
        self._max_counts = max_counts * self._accumulative_counts
        self._remainder_counts = 0

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast; gradients are exchanged in a step's last micro-batch only."""
        casting = nullcontext()
        if self.dtype is not None:
            casting = torch.autocast(self.device_type, self.dtype)
        with super().optim_context(model), casting:
            yield

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Back-propagates ``loss`` (0-d), scaled for fp16."""
        super().backward(loss if self.scaler is None else self.scaler.scale(loss), **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Unscales, measures, clips, updates; under fp16 the scaler skips a step that overflows."""
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        self.grad_norm = total_norm(self.parameters)
        if self.max_norm is not None:
            gradients = [p for p in self.parameters if p.grad is not None]
            torch.nn.utils.clip_grads_with_norm_(gradients, self.max_norm, self.grad_norm)
        if self.scaler is None:
            self.optimizer.step(**kwargs)
        else:
            self.scaler.step(self.optimizer, **kwargs)
            self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Returns the optimiser's state and, under fp16, the scaler's as ``loss_scaler``."""
        state = self.optimizer.state_dict()
        return state if self.scaler is None else dict(state, loss_scaler=self.scaler.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned."""
        state = dict(state_dict)
        scaler = state.pop("loss_scaler", None)
        if self.scaler is not None and scaler is not None:
            self.scaler.load_state_dict(scaler)
        self.optimizer.load_state_dict(state)
