"""Any timm network as a feature pyramid plus one pooled vector."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from mmengine.registry import MODELS
from mmengine.runner import CheckpointLoader
from timm.layers import PatchEmbed
from timm.models.convnext import ConvNeXt
from timm.models.naflexvit import NaFlexVit
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pretrain.backbones.timm_networks import check_timm_name, create_network, options_of

# What the options of a backbone's config are about. Said here and nowhere else.
_FILLING = (
    "pretrained",
    "checkpoint_activations",
    "frozen_statistics",
)  # how it gets weights and trains: no architecture
_SINCOS = ("freeze_patches", "position_resize")  # SinCosViT's own, unknown to timm
# What it sees, drops and holds fixed in training: the weights are the same ones with other values.
_TRAINING = ("output_stride", "img_size", "drop_path_rate", "drop_rate", "freeze_patches")


@dataclass(frozen=True)
class FeatureInfo:
    """What a backbone gives.

    Attributes:
        channels: {stride in pixels: D of that map}.
        vector: width of the pooled vector.
        reference: what the frozen network beside it gives, where that is of another architecture
            (``reference.backbone`` of the model); None = the same.
    """

    channels: dict[int, int]
    vector: int
    reference: FeatureInfo | None = None

    def pick(self, stride: int | None) -> int:
        """Returns ``stride`` if there is a map at it, the deepest map's stride for None.

        Raises:
            ValueError: no map at that stride; the message lists those there are.
        """
        if stride is None:
            return max(self.channels)
        if stride not in self.channels:
            raise ValueError(
                f"stride={stride}: the backbone has maps at strides {sorted(self.channels)}; "
                "choose one of them or change the backbone's output_stride"
            )
        return stride


@dataclass
class Features:
    """One view's encoding.

    Attributes:
        pyramid: {stride: (B, D, h, w)}; where several stages share a stride (dilated networks) the
            deepest one stands.
        vector: (B, D) the network's own pooling of its last map.
        prefix: (B, P, D) what a ViT carries beside its patches, the class token first; None for
            networks without.
    """

    pyramid: dict[int, Tensor]
    vector: Tensor
    prefix: Tensor | None = None

    def map(self, stride: int | None = None) -> Tensor:
        """Returns the map (B, D, h, w) at ``stride``, the one of the largest stride for None."""
        return self.pyramid[max(self.pyramid) if stride is None else stride]

    def each(self, function: Callable[[Tensor], Tensor]) -> Features:
        """Returns a copy with ``function`` applied to every tensor, the prefix included."""
        pyramid = {stride: function(features) for stride, features in self.pyramid.items()}
        prefix = None if self.prefix is None else function(self.prefix)
        return replace(self, pyramid=pyramid, vector=function(self.vector), prefix=prefix)


@MODELS.register_module()
class TimmBackbone(nn.Module):
    """A timm network without its classifier; parameters keep timm's key names under ``model.``.

    Args:
        name: timm model name (``resnet50``, ``vit_small_patch16_224``, ``convnext_tiny``, …).
        output_stride: 32, 16 or 8 for networks that can dilate (ResNet, ConvNeXt); None keeps the
            network's own.
        frozen_statistics: BatchNorms keep the running statistics that they begin with and normalise
            by them in training as well. For post-training: small batches of augmented crops would
            replace statistics that belong to the weights, even at a learning rate of 0.
        checkpoint_activations: recompute activations in the backward pass: less memory, about one
            more forward of time. BatchNorm's running statistics then move twice per step; batch
            statistics, used in training, do not change.
        out_indices: stages of timm's ``feature_info`` (blocks, for a ViT) whose raw maps
            ``forward`` then gives as a plain tuple, as necks and heads of mmsegmentation and mmdet
            expect it: (1, 2, 3, 4) are strides 4 to 32 of a ResNet-50, (3, 5, 7, 11) four blocks of
            a ViT-B. None gives ``Features``. No weight depends on it.
        start: spec of the weights that a run begins with (:mod:`pretrain.weights.start`):
            ``timm:NAME.TAG``, or a file in any layout that ``pixelpretext import`` knows. The
            engine loads them when a run begins, and never when a network is built again from its
            ``config``, which does not name them.
        init_cfg: ``dict(type="Pretrained", checkpoint=FILE)`` as in configs of mmengine's
            libraries, whose models fill it by calling ``init_weights``; keys ``model.*``.
        **options: passed to ``timm.create_model``, for example ``channels=(32, 64, 128, 256)`` for
            a narrow ResNet. timm starts every residual block of a ResNet as the identity, as
            PixPro's code does; ``zero_init_last=False`` starts the last norm of each at 1, as
            DenseCL's does.

    Raises:
        ValueError: unknown name (with suggestions), or an option that the network does not take.
    """

    def __init__(
        self,
        name: str,
        output_stride: int | None = None,
        *,
        checkpoint_activations: bool = False,
        frozen_statistics: bool = False,
        out_indices: Sequence[int] | None = None,
        start: str | None = None,
        init_cfg: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.start = start
        self.frozen_statistics = frozen_statistics
        self._mask: Tensor | None = None
        if init_cfg is not None and (
            init_cfg.get("type") != "Pretrained" or set(init_cfg) != {"type", "checkpoint"}
        ):
            raise ValueError(f"init_cfg={init_cfg}: write dict(type='Pretrained', checkpoint=FILE)")
        self.init_cfg = init_cfg
        check_timm_name(name)
        self._config = dict(name=name, output_stride=output_stride, **options)
        if output_stride is not None:
            options["output_stride"] = output_stride
        if "dynamic_img_size" in options_of(name):
            options.setdefault(
                "dynamic_img_size", True
            )  # ViTs: position embeddings follow the size of the input
        self.model = create_network(name, options)
        if not hasattr(self.model, "forward_intermediates"):
            raise ValueError(
                f"backbone {name!r}: timm gives no intermediate features for it; choose a "
                "ResNet, ViT or ConvNeXt"
            )
        if checkpoint_activations:
            self.model.set_grad_checkpointing()
        stages = self.stages
        self.out_indices = None if out_indices is None else tuple(out_indices)
        if self.out_indices and not all(0 <= index < len(stages) for index in self.out_indices):
            raise ValueError(
                f"out_indices={self.out_indices}: {name!r} has stages 0 to {len(stages) - 1}"
            )
        self.out_channels = tuple(stages[index]["num_chs"] for index in self.out_indices or ())
        deepest, channels = {}, {}
        for index, stage in enumerate(stages):
            deepest[stage["reduction"]] = index
            channels[stage["reduction"]] = stage["num_chs"]
        self._stage_of = dict(sorted(deepest.items()))
        # Networks with a layer between pooling and classifier, such as MobileNets, give its output.
        width = getattr(self.model, "head_hidden_size", self.model.num_features)
        self.info = FeatureInfo(dict(sorted(channels.items())), width)

    @property
    def config(self) -> dict[str, Any]:
        """What the network was built with, as plain values."""
        return dict(self._config)

    @property
    def own_size(self) -> tuple[int, int] | None:
        """(H, W) in pixels that the network was built for; None where timm does not say."""
        size = self._config.get("img_size")
        if size is not None:
            return (size, size) if isinstance(size, int) else tuple(size)
        known = getattr(self.model, "pretrained_cfg", None) or {}
        return tuple(known["input_size"][-2:]) if "input_size" in known else None

    @property
    def takes_size(self) -> bool:
        """Whether the network can be built for images of another size (``img_size=``)."""
        return "img_size" in inspect.signature(type(self.model).__init__).parameters

    @property
    def stages(self) -> list[dict[str, Any]]:
        """What timm says of each stage (block, for a ViT): ``num_chs`` channels at stride
        ``reduction``, from module ``module``."""
        stages = self.model.feature_info
        return stages if isinstance(stages, list) else stages.info

    @property
    def architecture(self) -> dict[str, Any]:
        """Registry dict from which ``MODELS.build`` builds the same architecture, fresh."""
        return architecture(self._config)

    def check_size(self, size: tuple[int, int]) -> None:
        """Raises a ValueError for inputs of (H, W) pixels that the network's patch embedding
        refuses.

        Arithmetic alone, nothing is encoded: timm itself fails at the first image, with an
        ``AssertionError``, or in NaFlex's networks with a ``RuntimeError`` that names no patch.
        """
        name, (height, width) = self._config["name"], size
        if isinstance(self.model, NaFlexVit):
            patch, pads = self.model.embeds.patch_size, False
        else:
            embedding = getattr(self.model, "patch_embed", None)
            if not isinstance(embedding, PatchEmbed) or embedding.img_size is None:
                return
            patch, pads, own = embedding.patch_size, embedding.dynamic_img_pad, embedding.img_size
            if embedding.strict_img_size and tuple(size) != tuple(own):
                hint = f"; build it with img_size={tuple(size)}" if self.takes_size else ""
                raise ValueError(
                    f"{height} × {width} pixels: {name} takes {own[0]} × {own[1]} alone{hint}"
                )
        if not pads and (height % patch[0] or width % patch[1]):
            near = [max(1, round(n / cell)) * cell for n, cell in zip(size, patch, strict=True)]
            raise ValueError(
                f"{height} × {width} pixels: {name} takes whole patches of {patch[0]} × "
                f"{patch[1]}; the nearest is {near[0]} × {near[1]}"
            )

    def train(self, mode: bool = True) -> TimmBackbone:
        """As of every module; BatchNorms stay in evaluation mode where their statistics are
        frozen.
        """
        super().train(mode)
        if self.frozen_statistics:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def init_weights(self) -> None:
        """Fills the network from ``init_cfg``; without one it stays as timm drew it.

        Raises:
            RuntimeError: a weight would stay random, or one of the file has no place.
        """
        if self.init_cfg is not None:
            content = CheckpointLoader.load_checkpoint(
                self.init_cfg["checkpoint"], map_location="cpu"
            )
            self.load_state_dict(content.get("state_dict", content))

    def add_mask_token(self) -> None:
        """Gives the network the vector (D,) that stands for hidden cells, zero at first; once.

        It is no part of ``config``: a network that is built again for evaluation has none.

        Raises:
            ValueError: the network has no patch embedding, so it has no cells to hide.
        """
        if not isinstance(getattr(self.model, "patch_embed", None), PatchEmbed):
            raise ValueError(
                f"backbone {self._config['name']!r} has no patch embedding: an objective that "
                "hides cells needs a ViT such as vit_small_patch16_224"
            )
        self.mask_token = nn.Parameter(torch.zeros(self.model.embed_dim))
        # Stays: torch.compile does not see hooks that come and go, and would use the graph without.
        self.model.patch_embed.register_forward_hook(self._replace_hidden)

    def no_weight_decay(self) -> set[str]:
        """The optimiser lets the mask token be; timm's networks name their own exceptions."""
        return {"mask_token"}

    def patch_grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns the grid (h, w) of cells of an input of (H, W) pixels of a network with a patch
        embedding.
        """
        patch = self.model.patch_embed.patch_size
        return size[0] // patch[0], size[1] // patch[1]

    def _replace_hidden(
        self, _: nn.Module, inputs: tuple[Tensor, ...], patches: Tensor
    ) -> Tensor | None:
        """Puts the mask token in the place of embedded patches, before positions are added."""
        if self._mask is None:
            return None
        # (B, h, w, D) where the input's size may change, else (B, h·w, D).
        hidden = self._mask if patches.ndim == 4 else self._mask.flatten(1)
        return torch.where(hidden.unsqueeze(-1), self.mask_token.to(patches.dtype), patches)

    def forward(self, images: Tensor, mask: Tensor | None = None) -> Features | tuple[Tensor, ...]:
        """Encodes normalised images (B, 3, H, W) float; H and W should be multiples of the deepest
        stride.

        With ``out_indices`` the result is the tuple of those maps (B, D, h, w), without a ViT's
        last LayerNorm.

        Args:
            images: as above.
            mask: (B, h, w) bool over the grid of :meth:`patch_grid`, True = hidden from the
                network; only after :meth:`add_mask_token`. Where it is False throughout, no bit of
                the result changes.
        """
        self._mask = mask
        try:
            return self._encode(images)
        finally:
            self._mask = None

    def _encode(self, images: Tensor) -> Features | tuple[Tensor, ...]:
        """:meth:`forward` without a mask."""
        if self.out_indices is not None:
            maps = self.model.forward_intermediates(
                images, indices=list(self.out_indices), intermediates_only=True
            )
            return tuple(maps)
        # norm=True: plain ViTs end in a LayerNorm outside their blocks; without it their last map
        # has no fixed scale. ConvNeXts with head_norm_first=True have theirs in front of the
        # pooling, and so in the map.
        options = {"norm": True} if self._normalises else {}
        last, maps = self.model.forward_intermediates(
            images, indices=list(self._stage_of.values()), **options
        )
        count = getattr(self.model, "num_prefix_tokens", 0)
        return Features(
            dict(zip(self._stage_of, maps, strict=True)),
            self.model.forward_head(last, pre_logits=True),
            last[:, :count] if count else None,
        )

    @property
    def _normalises(self) -> bool:
        if hasattr(self.model, "blocks"):
            # Where it is the identity (EVA-02, BEiT), timm keeps the norm behind the pooling.
            return isinstance(getattr(self.model, "norm", None), nn.Module)
        return isinstance(self.model, ConvNeXt) and not isinstance(self.model.norm_pre, nn.Identity)


def architecture(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the registry dict that builds a network of this ``config`` again, fresh, whatever
    fills it afterwards.

    Args:
        config: of a backbone, as checkpoints hold it in ``meta["backbone"]``. That of a
            ``TimmBackbone`` names no ``type``, that of any other class does.
    """
    return {"type": "TimmBackbone"} | _without(config, _FILLING)


def timm_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what ``timm.create_model`` takes beside the name to build the network."""
    options = _without(config, (*_FILLING, *_SINCOS, "type", "name"))
    if options.get("output_stride", 0) is None:  # the network's own
        del options["output_stride"]
    return options


def weight_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of ``config``, the name among them, that decide which weights there are:
    what a network must share that these are to be copied into.
    """
    return _without(config, (*_FILLING, *_TRAINING, "type"))


def _without(config: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in names}
