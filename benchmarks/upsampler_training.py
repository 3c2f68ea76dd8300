"""What ``tools/train_upsampler.py`` does once its arguments are parsed: from a backbone to a run of the engine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from benchmarks.extractor import FeatureExtractor
from benchmarks.weights import read_checkpoint, weights_fingerprint
from pretrain.engine import cli
from pretrain.engine.settings import ConfigError
from pretrain.files import atomic_path

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "upsamplers"
BACKBONE = "backbone.pth"  # the frozen weights, in a run's folder
_KINDS = {"JBUStack": "jbu", "NeighbourhoodUpsampler": "neighbourhood", "Interpolation": "bilinear"}


def train(args: argparse.Namespace) -> int:
    """Trains an upsampler, or only checks with ``--check``; returns the exit code, 2 for a mistake in the arguments."""
    return cli.run(args, lambda: make_config(args), title="train_upsampler")


def make_config(args: argparse.Namespace) -> Config:
    """Returns the config of a run and writes the backbone's weights into its folder.

    Args:
        args: of the command line.

    Raises:
        ConfigError: an unknown backbone, a size that is not whole cells, nothing to train, or a folder that holds an
            upsampler of another backbone.
        FileNotFoundError: no such checkpoint.
    """
    cfg = Config.fromfile(CONFIGS / f"{args.objective}.py")
    if args.upsampler == "bilinear":
        if args.objective == "regression":
            raise ConfigError("--upsampler bilinear --objective regression: nothing to train; take consistency")
        cfg.model.upsampler = dict(type="Interpolation", mode="bilinear")
    elif args.upsampler is not None:
        cfg.model.upsampler = dict(type=args.upsampler)
    cfg.work_dir = args.work_dir or f"work_dirs/upsamplers/{_KINDS[cfg.model.upsampler.type]}_{args.seed}"
    cfg.seed = args.seed
    try:
        extractor = FeatureExtractor.load(args.backbone)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if args.size % extractor.stride:
        raise ConfigError(f"--size {args.size}: must be a multiple of the backbone's stride {extractor.stride}")
    cfg.merge_from_dict(_of_arguments(args, extractor, consistency="pad" in cfg.model.objective))
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    if not args.check:
        write_backbone(extractor, Path(cfg.work_dir) / BACKBONE)
        cfg.load_from = str(Path(cfg.work_dir) / BACKBONE)
    return cfg


def _of_arguments(args: argparse.Namespace, extractor: FeatureExtractor, *, consistency: bool) -> dict[str, Any]:
    """The settings that follow from backbone and arguments, by dotted key."""
    # A timm network's own weights come from the folder as well: nothing is fetched when the run is repeated.
    left_out = ("pretrained", "checkpoint_activations")
    network = {k: v for k, v in extractor.backbone.config.items() if k not in left_out}
    settings: dict[str, Any] = {
        "model.backbone": dict(type="TimmBackbone", **network),
        "model.map_stride": extractor.stride,
        "model.data_preprocessor": dict(type="ViewPreprocessor", mean=list(extractor.mean), std=list(extractor.std)),
        "source": dict(type="ImageFolder", root=args.data, labels=False),
        "views.groups.global.0.size": args.size,
    }
    if consistency:  # the config's pad belongs to 224 px
        settings["model.objective.pad"] = max(1, round(args.size * 20 / 224))
    if args.samples is not None:
        settings["schedule.samples"] = args.samples
    return settings


def write_backbone(extractor: FeatureExtractor, path: Path) -> None:
    """Writes the weights as ``load_from`` reads them, with the spec and the weights' fingerprint.

    Raises:
        ConfigError: the file is there and holds another backbone.
    """
    fingerprint = weights_fingerprint(extractor.backbone)
    if path.is_file():
        found = read_checkpoint(path)["meta"]
        if found["fingerprint"] != fingerprint:
            raise ConfigError(
                f"--work-dir {path.parent}: holds an upsampler of another backbone ({found['spec']}); choose another"
            )
        return
    state = {f"backbone.{key}": value for key, value in extractor.backbone.state_dict().items()}
    meta = dict(spec=extractor.spec, fingerprint=fingerprint)
    with atomic_path(path) as temporary:
        torch.save(dict(meta=meta, state_dict=state), temporary)
