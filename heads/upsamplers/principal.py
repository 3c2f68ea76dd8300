"""Principal components of feature maps: fewer channels to fit, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class PrincipalComponents(nn.Module):
    """A mean (C,) and an orthonormal basis (C, k); both are buffers, so they are saved with a
    module that holds them.

    Args:
        channels: C.
        components: k.
    """

    def __init__(self, channels: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("basis", torch.eye(channels, components))

    @classmethod
    def fit(cls, maps: Tensor, components: int, *, seed: int = 0) -> PrincipalComponents:
        """Fits to maps (B, C, h, w) by randomised low-rank PCA with 4 power iterations, on their
        device.

        Takes fewer components where there are fewer channels or cells. Same maps and seed, same
        result; torch's global random state is left as it was.
        """
        samples = maps.detach().movedim(1, -1).flatten(0, -2)  # (N, C)
        fitted = cls(samples.shape[1], min(components, *samples.shape)).to(samples)
        fitted.mean.copy_(samples.mean(0))
        with private_rng(seed, samples.device):
            fitted.basis.copy_(torch.pca_lowrank(samples, fitted.basis.shape[1], niter=4)[2])
        return fitted

    def project(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, k, H, W)."""
        return torch.einsum("bchw,ck->bkhw", maps - self.mean[:, None, None], self.basis)

    def unproject(self, maps: Tensor) -> Tensor:
        """(B, k, H, W) -> (B, C, H, W)."""
        return torch.einsum("bkhw,ck->bchw", maps, self.basis) + self.mean[:, None, None]


@contextmanager
def private_rng(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds torch's generators of the CPU and of ``device`` for a while; afterwards they are as
    they were before.
    """
    cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
