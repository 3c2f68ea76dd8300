"""Where published checkpoints keep the network: one entry per layout. Adding one is adding an
entry.
"""

from __future__ import annotations

from dataclasses import dataclass

from pretrain.names import check_choice

# Where a prefix without a slash is looked for: at the top of the file or in one of these dicts.
NESTS = (
    "",
    "state_dict/",
    "model/",
    "model_state/",
    "model_state_dict/",
    "network/",
    "net/",
    "module/",
)
IMAGENET = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
UNIT = dict(mean=(0.0,) * 3, std=(1.0,) * 3)
# How sure an entry is. No published file could be read while this table was written.
LIBRARY = "written by the library itself in our tests"
CONVERTED = "as timm's own converter reads it"
QUOTED = "key names as users quote them in public threads"
SCRIPT = "as the authors' released script saves it, read from its code"
READING = "our reading, no published file was seen"


@dataclass(frozen=True)
class Layout:
    """A way to lay out a checkpoint file.

    A *place* is a prefix of keys, ``encoder_q.``, looked for in each of ``NESTS``; or one with its
    nest, ``teacher/backbone.``: the part before the slash names a dict in the file. Names of
    wrappers, ``module.`` and others, are cut out of the keys before, wherever they stand.

    Attributes:
        name: For ``--from``.
        source: Paper, or the library's documentation.
        online: Places of the trained network, or of the only one; the first that holds a network
            counts.
        target: Places of its EMA copy (momentum encoder, teacher).
        copies: Ending of the names under which the EMA copy's modules stand beside the online
            network's, as ``_c`` in ``blocks_c.0.norm1.weight``; what has no copy is of both.
        marks: What else makes the layout, for recognition: of each entry, alternatives joined by
            ``|``, some key must start so; ``@`` stands for the place of the network.
        absent: No key may start so, for recognition as well.
        dialects: Names of :mod:`pretrain.weights.dialects` it comes in; () = any.
        usual: Which of two networks the method's authors evaluate.
        normalisation: What the network expects, RGB in [0, 1]; None: what timm states for the
            architecture.
        heads: {width: attention heads} where they are not width / 64, which shapes do not tell.
        note: What the weights do not show and was assumed; told at every import.
        convnext_note: The same for a ConvNeXt whose last norm stands behind the pooling, as in
            timm.
        guess: Whether a file can be recognised; otherwise only ``--from`` takes it.
        status: How sure we are.
    """

    name: str
    source: str
    online: tuple[str, ...] = ("",)
    target: tuple[str, ...] = ()
    copies: str = ""
    marks: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    dialects: tuple[str, ...] = ()
    usual: str = "online"
    normalisation: dict[str, tuple[float, ...]] | None = None
    heads: tuple[tuple[int, int], ...] = ()
    note: str = ""
    convnext_note: str = ""
    guess: bool = True
    status: str = READING


def _layout(name: str, source: str, **fields: object) -> Layout:
    """An entry with ImageNet's normalisation unless it says otherwise."""
    return Layout(name, source, **({"normalisation": IMAGENET} | fields))


# What tells a bare ViT of one method from another's.
_VIT_EXTRAS = (
    *("@blocks_c.", "@mask_token", "@decoder_embed.", "@blocks.0.ls1.", "@blocks.0.0."),
    "@masked_embed",
)

LAYOUTS: tuple[Layout, ...] = (
    _layout(
        "torchvision",
        "torchvision.models",
        absent=("prototypes.", "projection_head."),
        dialects=("resnet", "numbered resnet", "torchvision vit", "torchvision convnext"),
        status=LIBRARY,
    ),
    Layout(
        "timm",
        "timm.create_model",
        target=("state_dict_ema/", "model_ema/"),
        dialects=("resnet", "vit", "convnext"),
        absent=(
            "prototypes.",
            "projection_head.",
            *(mark for mark in _VIT_EXTRAS if mark != "@blocks.0.ls1."),
        ),
        status=LIBRARY,
    ),
    _layout(
        "mmpretrain",
        "mmpretrain, mmsegmentation, mmdetection and their forerunners",
        online=("backbone.", "encoder_q.0.", "online_net.0.", ""),
        target=("encoder_k.0.", "target_net.0."),
        marks=(
            "meta|neck.|head.|decode_head.|rpn_head.|roi_head.|encoder_q.0.|online_net.0.|@patch_embed.projection.",
        ),
        absent=(
            "queue2",
            "projector.",
            "projection_head.",
            "prototypes.",
            "encoder.",
            "optimizer_states",
        ),
        dialects=("resnet", "mm deep stem", "mm vit"),
        status=LIBRARY,
        note=(
            "the stride of a ResNet's bottleneck is taken to be in the 3x3 convolution "
            "(style='pytorch'), colours RGB"
        ),
    ),
    _layout(
        "detectron2",
        "detectron2's ResNet, saved with torch.save",
        online=("backbone.bottom_up.", "backbone.", ""),
        dialects=("detectron2 resnet",),
        status=QUOTED,
        note=(
            "the stride of a bottleneck is taken to be in the 3x3 convolution "
            "(STRIDE_IN_1X1=False), colours RGB with ImageNet's mean and deviation"
        ),
    ),
    _layout(
        "huggingface",
        "transformers: ViT, DINOv2, ResNet",
        online=("vit.", "dinov2.", "dinov2_with_registers.", "resnet.", ""),
        dialects=("transformers resnet", "transformers vit"),
        note=(
            "colours are normalised with ImageNet's mean and deviation, LayerNorm has an "
            "epsilon of 1e-6; compare both with the model's own configuration"
        ),
    ),
    _layout(
        "convnext",
        "ConvNeXt, 2201.03545",
        target=("model_ema/",),
        dialects=("official convnext",),
        status=CONVERTED,
    ),
    _layout(
        "pixpro",
        "PixPro, 2011.10043",
        online=("encoder.",),
        target=("encoder_k.",),
        marks=("encoder.", "encoder_k."),
    ),
    _layout(
        "cim",
        "CIM, 2303.12670",
        copies="_c",
        marks=("@blocks_c.",),
        dialects=("vit",),
        status=SCRIPT,
        note=(
            "at sizes other than the position table's own, features are not those of the "
            "released code, which resizes the table without antialiasing: docs/exchange.md "
            "says by how much"
        ),
    ),
    _layout(
        "moco",
        "MoCo v1 and v2, 1911.05722, 2003.04297",
        online=("encoder_q.",),
        target=("encoder_k.",),
        marks=("encoder_q.fc.|queue",),
        absent=("queue2", "grouping_q."),
        status=QUOTED,
    ),
    _layout(
        "mocov3",
        "MoCo v3, 2104.02057",
        online=("base_encoder.",),
        target=("momentum_encoder.",),
        heads=((384, 12),),
        status=QUOTED,
    ),
    _layout(
        "densecl",
        "DenseCL, 2011.09157",
        online=("encoder_q.0.", "backbone.", ""),
        target=("encoder_k.0.",),
        marks=("encoder_q.0.", "queue2"),
        status=QUOTED,
    ),
    _layout(
        "slotcon",
        "SlotCon, 2205.15288",
        online=("encoder_q.",),
        target=("encoder_k.",),
        marks=("grouping_q.",),
    ),
    _layout(
        "simclr",
        "SimCLR, 2002.05709: ports to PyTorch",
        online=("encoder.", "f.", "backbone.", ""),
        marks=("projector.|projection_head.|g.|backbone.fc.0.", "encoder.|f.|backbone.fc.0."),
        absent=("encoder_k.", "predictor.", "target_encoder."),
        normalisation=UNIT,
    ),
    _layout(
        "lightly",
        "lightly's examples",
        online=("backbone.",),
        target=("backbone_momentum.",),
        marks=("backbone.0.|backbone.4.", "projection_head."),
        dialects=("numbered resnet",),
    ),
    _layout(
        "solo-learn",
        "solo-learn",
        online=("backbone.", "encoder."),
        target=("momentum_backbone.", "momentum_encoder."),
        marks=("optimizer_states|pytorch-lightning_version|momentum_backbone.",),
        absent=("projection_head.",),
    ),
    _layout(
        "byol",
        "BYOL, 2006.07733: ports to PyTorch",
        online=("online_encoder.net.", "online_network.encoder."),
        target=("target_encoder.net.", "target_network.encoder."),
    ),
    _layout(
        "simsiam",
        "SimSiam, 2011.10566",
        online=("encoder.",),
        marks=("encoder.fc.", "predictor."),
        absent=("encoder_k.",),
        status=QUOTED,
    ),
    _layout(
        "swav",
        "SwAV, 2006.09882",
        marks=("prototypes.|projection_head.",),
        absent=("backbone.", "encoder."),
        status=QUOTED,
    ),
    _layout(
        "vicreg",
        "VICReg, 2105.04906",
        online=("backbone.", ""),
        marks=("projector.", "backbone."),
        absent=(
            "bn.",
            "maps_projector.",
            "momentum_backbone.",
            "optimizer_states",
            "backbone.fc.0.",
        ),
    ),
    _layout(
        "vicregl",
        "VICRegL, 2210.01571",
        online=("backbone.", ""),
        marks=("maps_projector.",),
        dialects=("resnet", "official convnext"),
        status=QUOTED,
        convnext_note=(
            "the authors' map and vector are behind the last LayerNorm (of each cell, then "
            "the mean), these are not: the map is in front of it, the vector is the "
            "LayerNorm of the mean, as for other ConvNeXts; theirs come with "
            "head_norm_first=True as an option of the network"
        ),
    ),
    _layout(
        "barlow",
        "Barlow Twins, 2103.03230",
        online=("backbone.", ""),
        marks=("projector.", "bn.running_mean"),
    ),
    _layout(
        "supcon",
        "SupCon, 2004.11362: HobbitLong/SupContrast",
        online=("encoder.",),
        marks=("head.|fc.", "encoder."),
        absent=("encoder_k.", "predictor.", "projector.", "projection_head."),
        status=QUOTED,
    ),
    _layout(
        "dino",
        "DINO, 2104.14294",
        online=("student/backbone.", "student/", ""),
        target=("teacher/backbone.", "teacher/"),
        absent=(
            "student/backbone.masked_embed",
            "student/ibot_head.",
            "prototypes.",
            "projection_head.",
            *_VIT_EXTRAS,
        ),
        dialects=("resnet", "vit"),
        usual="target",
        status=QUOTED,
    ),
    _layout(
        "ibot",
        "iBOT, 2111.07832",
        online=("student/backbone.", ""),
        target=("teacher/backbone.",),
        absent=_VIT_EXTRAS[:-1],
        dialects=("vit",),
        usual="target",
    ),
    _layout(
        "dinov2",
        "DINOv2, 2304.07193",
        online=("student/backbone.", "model/student.backbone.", ""),
        target=("teacher/backbone.", "model/teacher.backbone."),
        marks=("@mask_token", "@blocks.0.ls1.|@blocks.0.0.ls1."),
        absent=("@decoder_embed.",),
        dialects=("vit",),
        usual="target",
        status=QUOTED,
    ),
    _layout(
        "mae",
        "MAE, 2111.06377",
        dialects=("vit",),
        absent=("@blocks_c.", "@masked_embed", "@blocks.0.ls1.", "@blocks.0.0."),
        status=QUOTED,
    ),
    _layout(
        "vissl",
        "VISSL",
        online=("classy_state_dict/base_model/model/trunk/_feature_blocks.",),
        dialects=("resnet",),
    ),
)
UPSAMPLERS = ("featup",)  # layouts of files that hold an upsampler and no network
_ALIASES = dict(
    mmseg="mmpretrain",
    mmdet="mmpretrain",
    openselfsup="mmpretrain",
    mmselfsup="mmpretrain",
    mocov2="moco",
    transformers="huggingface",
    sololearn="solo-learn",
    barlowtwins="barlow",
)
NAMES = (*(layout.name for layout in LAYOUTS), *UPSAMPLERS)


def find_layout(name: str) -> Layout:
    """The layout of a name or of an alias such as ``mmseg``.

    Raises:
        ValueError: there is none; lists all.
    """
    check_choice("--from", _ALIASES.get(name, name), ("auto", *NAMES, *_ALIASES))
    return next(layout for layout in LAYOUTS if layout.name == _ALIASES.get(name, name))
