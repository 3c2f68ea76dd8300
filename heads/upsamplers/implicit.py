"""Features of one image as a function of place and colour: the network that is fitted to it, and
reading it.

FeatUp's implicit upsampler (arXiv 2403.10516). How it is fitted stands in
``pretrain/upsampling/implicit.py``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heads.upsamplers.guidance_encoder import ChannelNorm
from heads.upsamplers.principal import PrincipalComponents

SIGNALS = 5  # row, column, red, green, blue


class FourierFeatures(nn.Module):
    """Sines and cosines of every signal at every frequency, and the colours as they are.

        [sin(ω_k·z + a_k), cos(ω_k·z + b_k), rgb],   ω_k = exp(linspace(−2, 10, n)),   no 2π

    Frequency-major: the five signals of a frequency stand together. The phases a and b, one per
    frequency and signal, are learned from a standard normal start.

    Args:
        frequencies: n.
    """

    def __init__(self, frequencies: int = 30) -> None:
        super().__init__()
        self.register_buffer(
            "omega", torch.linspace(-2, 10, frequencies, dtype=torch.float64).exp().float()
        )
        self.sine_phase, self.cosine_phase = (
            nn.Parameter(torch.randn(frequencies, SIGNALS)) for _ in range(2)
        )

    @property
    def channels(self) -> int:
        """10·n + 3."""
        return 2 * self.sine_phase.numel() + 3

    def forward(self, signals: Tensor) -> Tensor:
        """(B, 5, H, W) -> (B, 10·n + 3, H, W)."""
        waves = self.omega[:, None, None, None] * signals[:, None]  # (B, n, 5, H, W)
        sine, cosine = (
            waves + phase[..., None, None] for phase in (self.sine_phase, self.cosine_phase)
        )
        return torch.cat([sine.sin().flatten(1, 2), cosine.cos().flatten(1, 2), signals[:, 2:]], 1)


class ImplicitNetwork(nn.Sequential):
    """Fourier features and an MLP on every pixel; 73,098 parameters at the defaults.

    Args:
        components: Channels of the result.
        hidden: Channels in between.
        frequencies: See :class:`FourierFeatures`.
        dropout: Share of channels dropped for a whole image, before the first and the second layer.
    """

    def __init__(
        self, components: int = 128, hidden: int = 128, frequencies: int = 30, dropout: float = 0.2
    ) -> None:
        fourier = FourierFeatures(frequencies)
        super().__init__(
            fourier,
            ChannelNorm(fourier.channels),
            nn.Dropout2d(dropout),
            nn.Conv2d(fourier.channels, hidden, 1),
            nn.ReLU(),
            nn.Dropout2d(dropout),
            ChannelNorm(hidden),
            nn.Conv2d(hidden, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, components, 1),
        )


class ImplicitField(nn.Module):
    """The features of one image at every place: network, range of its colours, principal
    components.

    Args:
        image: (1, 3, H, W) float, normalised; only its range of colours is kept.
        components: What the network's outputs mean.
        hidden: See :class:`ImplicitNetwork`.
        frequencies: See :class:`FourierFeatures`.
        dropout: See :class:`ImplicitNetwork`.
    """

    def __init__(
        self,
        image: Tensor,
        components: PrincipalComponents,
        *,
        hidden: int = 128,
        frequencies: int = 30,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        low, high = image.amin((0, 2, 3)), image.amax((0, 2, 3))
        self.register_buffer("low", low)
        self.register_buffer("span", (high - low).clamp_min(1e-4))
        self.components = components
        network = ImplicitNetwork(components.basis.shape[1], hidden, frequencies, dropout)
        self.network = network.to(device=image.device, dtype=image.dtype)

    def signals(self, image: Tensor) -> Tensor:
        """(1, 5, H, W): row and column in [−1, 1], colours in [−½, ½] by the image's range."""
        colours = (image - self.low[:, None, None]) / self.span[:, None, None] - 0.5
        places = [
            torch.linspace(-1, 1, side, dtype=image.dtype, device=image.device)
            for side in image.shape[-2:]
        ]
        row, column = torch.meshgrid(*places, indexing="ij")
        return torch.cat([torch.stack([row, column])[None], colours], 1)

    @torch.no_grad()
    def read(self, image: Tensor, output_size: tuple[int, int], *, budget: int = 2**23) -> Tensor:
        """Reads the features at any resolution, in bands of rows; dropout is off whatever the mode.

        Args:
            image: (1, 3, H, W) the fitted image; resized (bilinear, anti-aliased) where the output
                has another size.
            output_size: (H', W').
            budget: Fourier features (303 per pixel at the defaults) computed at a time, but one row
                at least. Memory beside the result: about 4 · budget numbers.

        Returns:
            (1, C, H', W') in the backbone's own space: projected components are brought back.
        """
        if tuple(image.shape[-2:]) != tuple(output_size):
            image = F.interpolate(
                image, size=tuple(output_size), mode="bilinear", align_corners=False, antialias=True
            )
        training = self.training
        self.eval()
        signals = self.signals(image)
        rows = max(1, budget // (self.network[0].channels * output_size[1]))
        up = image.new_empty(1, len(self.components.mean), *output_size)
        for top in range(0, output_size[0], rows):
            up[:, :, top : top + rows] = self.components.unproject(
                self.network(signals[:, :, top : top + rows])
            )
        self.train(training)
        return up
