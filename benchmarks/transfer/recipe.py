"""A transfer recipe: a config of mmsegmentation or mmdet, fitted to one network, one data folder
and this machine.
"""

from __future__ import annotations

import colorsys
import copy
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from pretrain.annotations import build
from pretrain.backbones.timm_backbone import weight_options
from pretrain.engine.config_file import override, read_config
from pretrain.names import check_choice

SECTION = "transfer"
# Speed, logging and places: no part of what is measured.
_NO_PROTOCOL = (
    "work_dir",
    "visualizer",
    "vis_backends",
    "log_processor",
    "log_level",
    "env_cfg",
    "default_hooks",
    "launcher",
    "num_workers",
    "persistent_workers",
    "pin_memory",
    "load_from",
    "resume",
    "data_root",
    "experiment_name",
    "custom_imports",
    "auto_scale_lr",
    "tta_model",
    "tta_pipeline",
    "backend_args",
    "val_dataloader",
    "val_evaluator",
    "val_cfg",
    "val_interval",
)


@dataclass(frozen=True)
class Section:
    """What a recipe says in ``transfer = dict(...)``, next to the libraries' own sections.

    Attributes:
        task: ``segmentation`` (mmsegmentation) or ``detection`` (mmdet).
        batch: images per optimiser step over all processes.
        backbone: ``native``: the library's own ResNet takes the weights; ``timm``: the network that
            the recipe names; ``any``: whichever network was pretrained.
        classes: the classes are those that ``classes.json`` of the data folder lists; else those of
            the data set's class.
        allow_shared: accept images that lie in the training data and in what is scored; the
            protocol then says so.
    """

    task: str
    batch: int
    backbone: str = "native"
    classes: bool = False
    allow_shared: bool = False

    def __post_init__(self) -> None:
        check_choice("transfer.task", self.task, ("segmentation", "detection"))
        check_choice("transfer.backbone", self.backbone, ("native", "timm", "any"))
        if self.batch < 1:
            raise ValueError(
                f"transfer.batch={self.batch} must be at least 1, images per step over all "
                "processes"
            )


def read_recipe(path: str | Path, options: dict[str, Any] | None = None) -> tuple[Config, Section]:
    """Reads a recipe and its section.

    Args:
        path: a config file or the name of one below ``transfer``; its bases may lie in
            mmsegmentation or mmdet (``mmdet::_base_/…``).
        options: overrides, dotted keys as in mmengine's ``--cfg-options``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no section ``transfer``, an unknown key in it, or an illegal value.
    """
    config = read_config(path, folder="transfer")
    if options:
        override(config, options)
    given = config.get(SECTION)
    if given is None:
        raise ValueError(
            f"{path} has no section transfer = dict(task=…, batch=…): those in configs/transfer "
            "have one"
        )
    return config, build(Section, given, where="transfer.")


def place_data(config: Config, root: str | Path | None) -> None:
    """Puts ``root`` in the place of the recipe's ``data_root``, wherever a string of the config
    begins with it.

    Raises:
        FileNotFoundError: the data is not there.
    """
    old = config.get("data_root", "")
    if root is not None:
        change = _rooted(old, root)
        _replace_all(config, change)
        config.data_root = change(old) if old else str(root).rstrip("/")
    if not Path(config.get("data_root", ".")).is_dir():
        raise FileNotFoundError(
            f"no data folder {config.get('data_root')!r}; name it with --data ROOT (docs/data.md)"
        )


def options_there(
    options: dict[str, Any], config: Config, root: str | Path | None
) -> dict[str, Any]:
    """Overrides with ``root`` in the place of the recipe's ``data_root``, as :func:`place_data`
    puts it.

    Args:
        options: by dotted key.
        config: the recipe before :func:`place_data`.
        root: the folder that was given; None: none was.

    Raises:
        ValueError: both name a data folder.
    """
    if root is None:
        return options
    if "data_root" in options:
        raise ValueError(
            f"--cfg-options data_root={options['data_root']} and --data {root} both name the "
            "data: give one of the two"
        )
    return _replace(copy.deepcopy(options), _rooted(config.get("data_root", ""), root))


def _rooted(old: str, root: str | Path) -> Callable[[str], str]:
    new = str(root).rstrip("/") + ("/" if old.endswith("/") else "")
    return lambda value: new + value[len(old) :] if value.startswith(old) and old else value


def place_classes(config: Config) -> tuple[str, ...]:
    """Gives data sets and heads the classes that ``classes.json`` of the data folder lists; returns
    their names.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not a list of names.
    """
    path = Path(config.data_root) / "classes.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"no {path}: a JSON list of class names in the order of their numbers (docs/data.md)"
        )
    names = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path} must hold a JSON list of class names, found {str(names)[:80]}")
    for data in datasets(config):
        _check_categories(data, names, path)
        data["metainfo"] = dict(classes=tuple(names), palette=_palette(len(names)))
    for part in _dicts(config.model):
        if "num_classes" in part and part["num_classes"] is None:
            part["num_classes"] = len(names)
    return tuple(names)


def _check_categories(data: ConfigDict, names: list[str], path: Path) -> None:
    """mmdet passes over a name that a COCO file does not have, while the heads would keep an output
    for it.
    """
    listed = Path(data.get("data_root") or "", data.get("ann_file") or "")
    if listed.suffix != ".json" or not listed.is_file():
        return
    categories = json.loads(listed.read_text(encoding="utf-8"))["categories"]
    known = {category["name"] for category in categories}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"{path} lists {unknown}, which {listed} has no category of; it has "
            f"{sorted(known)[:20]}"
        )


def place_backbone(config: Config, section: Section, network: dict[str, Any]) -> None:
    """Puts the pretrained network's architecture into a recipe that is not tied to the library's
    own ResNet.

    Args:
        config: changed in place.
        section: of the same recipe.
        network: config of the pretrained ``TimmBackbone``.

    Raises:
        ValueError: the recipe names another network.
    """
    if section.backbone == "native":
        return
    wanted = dict(config.model.backbone)
    if wanted.get("name") not in (None, network["name"]):
        raise ValueError(
            f"the recipe fine-tunes backbone name={wanted['name']!r}, the checkpoint holds "
            f"{network['name']!r}; take a checkpoint of that network, or another recipe "
            f"(--cfg-options model.backbone.name={network['name']})"
        )
    # Its position table stays fixed, its patch embedding is trained (ours).
    if network.get("type") == "SinCosViT":
        wanted |= dict(type="SinCosViT", freeze_patches=False)
    config.model.backbone = ConfigDict(weight_options(network) | wanted)
    if section.backbone == "any":
        from mmengine.registry import MODELS

        _place_channels(config.model, MODELS.build(dict(config.model.backbone)).out_channels)


def _place_channels(model: ConfigDict, channels: tuple[int, ...]) -> None:
    """Fills every ``in_channels=None`` of neck and heads from the maps they read."""
    for name, part in model.items():
        if not isinstance(part, dict) or part.get("in_channels", 0) is not None:
            continue
        index = part.get("in_index")
        if name == "neck":
            part["in_channels"] = list(channels)
        elif isinstance(index, (list, tuple)) and index:
            part["in_channels"] = [channels[i] for i in index]
        else:
            part["in_channels"] = channels[-1 if index is None else index]


def place_machine(config: Config, section: Section, *, processes: int, cuda: bool) -> str:
    """Shares the batch among the processes and chooses a norm that works here; returns how batches
    are normalised.

    SyncBN needs CUDA, so it becomes BN elsewhere.

    Raises:
        ValueError: the batch cannot be shared evenly.
    """
    if section.batch % processes:
        fitting = [n for n in range(1, section.batch + 1) if section.batch % n == 0]
        raise ValueError(
            f"{section.batch} images cannot be shared by {processes} processes; take one of "
            f"{fitting}"
        )
    config.train_dataloader.batch_size = section.batch // processes
    synchronised = any(part.get("type") == "SyncBN" for part in _dicts(config.model))
    if not synchronised:
        share = f", {section.batch // processes} images per process" if processes > 1 else ""
        return f"as the recipe says{share}"
    if cuda and processes > 1:
        return "batch statistics over all processes"
    _replace_all(config, lambda value: "BN" if value == "SyncBN" else value)
    return f"batch statistics of {section.batch // processes} images"


def recipe_hash(config: Config) -> str:
    """First 12 hex digits of a hash of what the recipe does, whatever the network, the folder and
    the machine.

    Take it before the network is put in.
    """
    root = str(config.get("data_root", ""))

    def kept(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {str(k): kept(v) for k, v in tree.items() if k not in _NO_PROTOCOL}
        if isinstance(tree, (list, tuple)):
            return [kept(item) for item in tree]
        if isinstance(tree, str) and root and tree.startswith(root):
            return tree[len(root) :]
        return tree if isinstance(tree, (str, int, float, bool, type(None))) else str(tree)

    text = json.dumps(kept(config.to_dict()), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def data_fingerprint(config: Config) -> str:
    """First 12 hex digits of a hash of the labels: contents of annotation files, names and sizes of
    label maps.
    """
    digest = hashlib.sha256()
    for data in datasets(config):
        root = Path(data.get("data_root") or "")
        listed = root / data.get("ann_file", "")
        if data.get("ann_file") and listed.is_file():
            digest.update(listed.read_bytes())
        if data.type == "VOCDataset":  # a list of images; their boxes stand in a file each
            boxes = root / data.data_prefix.get("sub_data_root", "") / "Annotations"
            for name in listed.read_text(encoding="utf-8").split():
                digest.update((boxes / f"{name}.xml").read_bytes())
        maps = root / data.get("data_prefix", {}).get("seg_map_path", "")
        if data.get("data_prefix", {}).get("seg_map_path") and maps.is_dir():
            files = []
            for path in maps.rglob("*.png"):
                files.append((str(path.relative_to(maps)), path.stat().st_size))
            digest.update(json.dumps(sorted(files)).encode())
    return digest.hexdigest()[:12]


def datasets(config: Config) -> list[ConfigDict]:
    """Returns the dicts of all data sets of the config that name their files, wrapped ones
    included.
    """
    return [
        *datasets_of(config, "train"),
        *datasets_of(config, "val"),
        *datasets_of(config, "test"),
    ]


def datasets_of(config: Config, part: str) -> list[ConfigDict]:
    """The same of one part: ``train``, ``val`` or ``test``; none where the recipe has no such
    loader.
    """
    loader = config.get(f"{part}_dataloader")
    return [data for data in _dicts(loader or {}) if "data_prefix" in data and "type" in data]


def _dicts(tree: Any) -> Iterator[ConfigDict]:
    """Yields every dict in a tree of dicts and lists."""
    children: Iterable[Any] = ()
    if isinstance(tree, dict):
        yield tree
        children = tree.values()
    elif isinstance(tree, (list, tuple)):
        children = tree
    for child in children:
        yield from _dicts(child)


def _replace_all(config: Config, change: Callable[[str], str]) -> None:
    """Applies ``change`` to every string of a config."""
    for key in list(config):
        config[key] = _replace(config[key], change)


def _replace(tree: Any, change: Callable[[str], str]) -> Any:
    """Applies ``change`` to every string in a tree of dicts and lists, in place; returns it."""
    if isinstance(tree, dict):
        for key, value in list(tree.items()):
            tree[key] = _replace(value, change)
        return tree
    if isinstance(tree, (list, tuple)):
        return type(tree)(_replace(item, change) for item in tree)
    return change(tree) if isinstance(tree, str) else tree


def _palette(count: int) -> list[list[int]]:
    """Colours for pictures, as far apart on the colour wheel as they go."""
    colours = []
    for index in range(count):
        red, green, blue = colorsys.hsv_to_rgb(index / count, 0.8, 0.9)
        colours.append([round(255 * red), round(255 * green), round(255 * blue)])
    return colours
