"""An account of every tensor of an imported file."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pretrain.weights.recognise import Contents, Match, StoredNetwork

# What a file may hold beside a backbone, by how the part of the key behind the network's place
# begins.
_GROUPS = (
    (
        "optimiser",
        r"(optim|opt\b|scheduler|lr_sched|amp\b|scaler|fp16_scaler|loss_scaler|grad_scaler)",
    ),
    ("queue", r"(queue|memory_bank|.*\.queue)"),
    ("counter", r"(.*num_batches_tracked|n_averaged|steps|step|epoch|iter|.*_ptr)$"),
    ("mask token", r"(.*\.)?(mask_token|masked_embed)"),
    ("decoder", r"(decoder|decode_head|auxiliary_head)"),
    (
        "momentum",
        r"(momentum|ema|target|teacher|encoder_k|\w+_k\.|model_ema|state_dict_ema|backbone_momentum)",
    ),
    ("momentum", r"(patch_embed|blocks|norm)_c\."),
    (
        "head",
        r"(fc\d?|heads?|head_\w+|classifier|pooler|mlp|mlp_head|last_layer|linear|lm_head|bn|g|neck)\.",
    ),
    (
        "head",
        r"(proj_head|projector|projection|prototypes|predictor|pred\w*_head|maps_projector|value_transform)",
    ),
    (
        "head",
        r"(grouping|dino_head|ibot_head|dino_loss|ibot_\w*loss|rpn_head|roi_head|bbox_head|mask_head)",
    ),
    ("head", r"(contrast|online_predictor|projector_q|data_preprocessor|loss)"),
)


@dataclass(frozen=True)
class KeyReport:
    """Where the tensors of a file went.

    Attributes:
        loaded: Number of tensors taken under their own names.
        renamed: Number taken under timm's names.
        joined: Number of separate query, key and value tensors that became one.
        changed: What was resized or set, in words.
        left_out: {group: paths in the file}.
    """

    loaded: int = 0
    renamed: int = 0
    joined: int = 0
    changed: tuple[str, ...] = ()
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"{self.loaded + self.renamed + self.joined} tensors loaded"]
        parts += [f"{self.renamed} of them renamed"] if self.renamed else []
        parts += [f"{self.joined} of them joined"] if self.joined else []
        parts.append("0 missing")
        parts += [f"changed: {', '.join(self.changed)}"] if self.changed else []
        groups = []
        for group, paths in self.left_out.items():
            more = ", …" if len(paths) > 1 else ""
            groups.append(f"{group} {len(paths)} ({paths[0]}{more})")
        return ", ".join(parts) + (f"; left out: {', '.join(groups)}" if groups else "")

    def plain(self) -> dict[str, Any]:
        """The report as plain values, for a checkpoint's ``meta``."""
        counts = {group: len(paths) for group, paths in self.left_out.items()}
        return dict(
            loaded=self.loaded,
            renamed=self.renamed,
            joined=self.joined,
            missing=0,
            changed=list(self.changed),
            left_out=counts,
        )


def group_of(key: str) -> str | None:
    """Which kind of part a key belongs to, None for one that may be the backbone's."""
    return next((name for name, pattern in _GROUPS if re.match(pattern, key)), None)


def account(
    contents: Contents,
    match: Match,
    networks: list[tuple[StoredNetwork, set[str], tuple[str, ...]]],
) -> KeyReport:
    """Makes the report.

    Args:
        contents: The file.
        match: Its networks, and the layout it was read by.
        networks: Those that were taken, each with timm's names that were filled and what was
            changed.
    """
    taken: set[str] = set()
    count: Counter[str] = Counter()
    changed: list[str] = []
    for network, filled, changes in networks:
        changed += changes
        for name, sources in network.translated.sources.items():
            paths = {network.place + source for source in sources}
            if name in filled and not paths <= taken:  # what two networks share counts once
                taken |= paths
                single = "loaded" if sources[0] == name else "renamed"
                count["joined" if len(sources) > 1 else single] += len(sources)
    left: dict[str, tuple[str, ...]] = {}
    for path in contents.tensors:
        if path not in taken:
            group = _group_of_path(path, match)
            left[group] = (*left.get(group, ()), path)
    return KeyReport(**count, changed=tuple(changed), left_out=left)


def _group_of_path(path: str, match: Match) -> str:
    """The group of a path that was not taken."""
    for network in match.networks.values():
        if path.startswith(network.place):
            own = path[len(network.place) :]
            group = group_of(own) or ("network not taken" if own in network.keys else None)
            if group:
                return group
    nest, _, key = path.rpartition("/")
    parts = key.split(".")
    inner = next(
        filter(None, map(group_of, [".".join(parts[n:]) for n in range(len(parts))])), None
    )
    outer = next(filter(None, map(group_of, [f"{part}." for part in nest.split("/")])), None)
    if outer == "optimiser":  # its tensors are called after parts of the network
        return outer
    # Where the layout knows networks.
    places = tuple(filter(None, (*match.layout.online, *match.layout.target)))
    left = "network not taken" if path.startswith(places) or key.startswith(places) else None
    return inner or left or outer or "other"
