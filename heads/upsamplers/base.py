"""What every upsampler is: one call for all, and what the linear ones allow beside it."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn


class Upsampler(nn.Module):
    """Brings the features of an image to another grid.

    ``config`` is a plain dict (``type`` included) from which the registry builds the same upsampler
    again. A class in ``heads/upsamplers/`` that is registered and has a ``kind`` can be named
    wherever upsamplers are: nothing lists it a second time.
    """

    #: What specs call it, as ``jbu`` in ``jbu:PATH``; "" for a class that no spec names.
    kind: ClassVar[str] = ""
    #: Where its weights come from: "" it has none, "trained" a training of ours (the file holds its
    #: config), "image" fitted to every image anew, "repository" files that others published, run by
    #: their code.
    source: ClassVar[str] = ""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.config: dict[str, Any] = dict(type=type(self).__name__, **options)

    @classmethod
    def kinds(cls) -> dict[str, dict[str, Any]]:
        """Returns {what specs call it: arguments that this name stands for}."""
        return {cls.kind: {}} if cls.kind else {}

    def upsample(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        """Upsamples features, guided by the image they were computed from.

        Args:
            image: (B, 3, H, W) float, normalised as the backbone's input.
            features: (B, C, h, w) float.
            output_size: (H', W') of the result; any, the image's own size or less in most uses.

        Returns:
            (B, C, H', W'), dtype of ``features``.
        """
        raise NotImplementedError

    def forward(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        """See :meth:`upsample`."""
        return self.upsample(image, features, output_size)

    def reference(self, features: Tensor) -> Tensor:
        """Brings features (B, C, h, w) of any image into the space of the upsampled ones, on their
        own grid.

        What :meth:`upsample` gives is to be compared with this. Themselves, but for an upsampler
        that normalises first.
        """
        return features

    @property
    def normalises(self) -> bool:
        """Whether :meth:`reference` is another space than the features' own."""
        return False


class LinearUpsampler(Upsampler):
    """An upsampler that is linear in the features of a fixed image (in eval mode), in two factors:

        upsample(x, F) = S_x(M·F) + s

    S_x depends on the image alone and treats all channels alike; M (C, C) and s (C,) mix channels
    and know no image (identity and zero for most). So S_x can be computed once per image and kept
    (``filters``), and a linear read-out P·upsample(x, F) + β can be applied on the low-resolution
    grid, P·M·F, with only its few channels upsampled (``fold``). Subclasses implement ``filters``
    and ``spread``, and ``channel_map`` where M is not the identity.
    """

    # : False where something before S_x is not linear (a normalisation of the features): then
    # ``fold`` raises.
    foldable: bool = True

    def filters(
        self, image: Tensor, grid: tuple[int, int], output_size: tuple[int, int]
    ) -> tuple[Tensor, ...]:
        """Computes what S_x needs of an image (B, 3, H, W); features of any width may follow.

        Args:
            image: as in :meth:`upsample`.
            grid: (h, w) of the features to come.
            output_size: (H', W').

        Returns:
            Tensors with the images along their first axis, so that they can be stored image by
            image.
        """
        raise NotImplementedError

    def spread(
        self, filters: tuple[Tensor, ...], maps: Tensor, output_size: tuple[int, int]
    ) -> Tensor:
        """Applies S_x to maps (B, K, h, w) of any width K; returns (B, K, H', W')."""
        raise NotImplementedError

    def channel_map(self) -> tuple[Tensor, Tensor] | None:
        """M (C, C) and s (C,); None for identity and zero."""
        return None

    def mix(self, features: Tensor) -> Tensor:
        """M·F on the low-resolution grid, (B, C, h, w)."""
        mapped = self.channel_map()
        return features if mapped is None else F.conv2d(features, mapped[0][..., None, None])

    def upsample(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        """See :class:`Upsampler`."""
        return self.finish(
            self.filters(image, tuple(features.shape[-2:]), output_size), features, output_size
        )

    def finish(
        self, filters: tuple[Tensor, ...], features: Tensor, output_size: tuple[int, int]
    ) -> Tensor:
        """:meth:`upsample` with the image's part already computed."""
        up = self.spread(filters, self.mix(features), output_size)
        mapped = self.channel_map()
        return up if mapped is None else up + mapped[1][:, None, None]

    def fold(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Folds a linear read-out: P·upsample(x, F) + β = S_x(P'·F) + β' for every image.

        Args:
            weight: P (K, C).
            bias: β (K,).

        Returns:
            P' (K, C) to apply to the features on their own grid, β' (K,) to add after ``spread``
            (never before: the filter of a pixel need not sum to 1).

        Raises:
            ValueError: the upsampler is not linear in the features.
        """
        if not self.foldable:
            raise ValueError(
                f"{type(self).__name__} normalises features first, a read-out cannot be folded "
                "into it"
            )
        mapped = self.channel_map()
        return (weight, bias) if mapped is None else (weight @ mapped[0], bias + weight @ mapped[1])
