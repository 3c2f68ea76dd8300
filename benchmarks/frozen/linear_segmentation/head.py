"""The only part that is trained: dropout of channels, BatchNorm, a 1×1 convolution."""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.frozen.linear_segmentation.settings import Settings


class LinearHead(nn.Module):
    """Features (B, C, h, w) to class scores (B, K, h, w).

    Args:
        channels: C.
        outputs: K.
        settings: which parts it has, and the seed of its weights.
        distributed: whether its BatchNorm takes the statistics of all processes.
    """

    def __init__(
        self, channels: int, outputs: int, *, settings: Settings, distributed: bool = False
    ) -> None:
        super().__init__()
        self.dropout = settings.dropout
        self.norm = SharedBatchNorm(channels, distributed) if settings.batch_norm else None
        self.classify = nn.Conv2d(channels, outputs, 1)
        generator = torch.Generator().manual_seed(settings.seed)
        weight, bias = self.classify.weight, self.classify.bias
        with torch.no_grad():
            if settings.init_std:
                weight.normal_(0, settings.init_std, generator=generator)
                bias.zero_()
            else:
                bound = 1 / math.sqrt(channels)
                weight.uniform_(-bound, bound, generator=generator)
                bias.uniform_(-bound, bound, generator=generator)

    @property
    def plain(self) -> bool:
        """Whether it is a 1×1 convolution and nothing else, which commutes with linear
        upsampling.
        """
        return self.norm is None and not self.dropout

    def forward(self, features: Tensor, kept: Tensor | None = None) -> Tensor:
        """Class scores of features.

        Args:
            features: (B, C, h, w).
            kept: (B, C) 1 for channels that dropout keeps and 0 for others; None: all.
        """
        if kept is not None:
            features = features * (kept / (1 - self.dropout))[..., None, None]
        if self.norm is not None:
            features = self.norm(features)
        return self.classify(features)


class SharedBatchNorm(nn.BatchNorm2d):
    """BatchNorm of features that take no gradient, over the batches of all processes.

    Statistics of frozen features are constants, so that one sum over the processes each way is all
    that they must exchange, on any device. ``nn.SyncBatchNorm`` runs on GPUs alone.

    Args:
        channels: C.
        shared: whether the processes share statistics; every one of them must call it then, also
            with an empty batch.
    """

    def __init__(self, channels: int, shared: bool) -> None:
        super().__init__(channels)
        self.shared = shared

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w), normalised; scale and shift take gradients."""
        if not (self.training and self.shared):
            return super().forward(features)
        axes = (0, 2, 3)
        with torch.no_grad():
            sums = features.new_empty(self.num_features + 1)
            sums[:-1], sums[-1] = features.sum(axes), features.numel() / self.num_features
            dist.all_reduce(sums)
            mean, count = sums[:-1] / sums[-1], sums[-1]
            squares = (features - mean[:, None, None]).square().sum(axes)
            dist.all_reduce(squares)
            unbiased = squares / (count - 1).clamp_min(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
            self.num_batches_tracked += 1
        weight, bias = self.weight, self.bias
        return F.batch_norm(features, mean, squares / count, weight, bias, False, 0.0, self.eps)
