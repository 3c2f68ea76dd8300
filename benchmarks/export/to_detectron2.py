"""Exports for detectron2: its ResNets in the pickle layout that its own converter of torchvision's
weights writes.
"""

from __future__ import annotations

import pickle
from pathlib import Path

from benchmarks.export.plain import plain_resnet
from benchmarks.export.source import Export, Network, NoCounterpart, in_bytes
from pretrain.weights.key_names import DETECTRON2_RESNET, rename

_UNVERIFIED = (
    "detectron2 is not among this project's libraries; names and shapes are those of its ResNet"
)


def to_detectron2(network: Network) -> Export:
    """A pickle of numpy arrays for ``MODEL.WEIGHTS``; ResNets with a 7x7 stem and 18 to 152 layers,
    ResNeXt, wide.
    """
    plain = plain_resnet(network)
    if plain.depth is None or not plain.doubling or plain.deep_stem or plain.avg_down:
        raise NoCounterpart(
            "detectron2's ResNets have 18, 34, 50, 101 or 152 layers, a 7x7 stem and channels "
            f"that double; {network.name!r} does not"
        )
    state = rename(network.weights, DETECTRON2_RESNET)

    def write(path: Path) -> None:
        arrays = {key: value.numpy() for key, value in state.items()}
        content = {"model": arrays, "__author__": "PixelPretext", "matching_heuristics": True}
        path.write_bytes(pickle.dumps(content, protocol=4))

    options = {
        "MODEL.WEIGHTS": "{file}",
        "MODEL.RESNETS.DEPTH": plain.depth,
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "MODEL.RESNETS.NUM_GROUPS": plain.groups,
        "MODEL.RESNETS.WIDTH_PER_GROUP": plain.width_per_group,
        "MODEL.RESNETS.STEM_OUT_CHANNELS": plain.stem,
        "MODEL.RESNETS.RES2_OUT_CHANNELS": plain.planes[0] * plain.expansion,
        "INPUT.FORMAT": "RGB",
        "MODEL.PIXEL_MEAN": in_bytes(network.mean),
        "MODEL.PIXEL_STD": in_bytes(network.std),
    }
    pairs = []
    for key, value in options.items():
        pairs.append(f"{key!r}, {value if value == '{file}' else repr(value)}")
    notes = (
        "the stride is in the 3x3 convolution, and images are RGB and divided by a standard "
        "deviation; detectron2's defaults differ in all of this. FREEZE_AT and NORM are yours "
        "to set",
    )
    if network.output_stride < 32:
        notes += (
            f"output stride 32, not {network.output_stride}: weights do not depend on dilation",
        )
    return Export(
        suffix=".pkl",
        write=write,
        check=lambda path: _UNVERIFIED,
        line=f"cfg.merge_from_list([{', '.join(pairs)}])",
        keys=len(state),
        renamed=len(state),
        left_out=tuple(key for key in network.state if key not in network.weights),
        notes=notes,
    )
