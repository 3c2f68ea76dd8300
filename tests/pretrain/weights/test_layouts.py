"""The table of layouts: it is the documentation's, and files are recognised for the reason it
states.
"""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pretrain.weights.layouts import LAYOUTS, NAMES, READING, find_layout
from pretrain.weights.recognise import Unrecognised, find, flatten, recognise

PAGE = Path(__file__).resolve().parents[3] / "docs" / "exchange.md"
RESNET = {key: torch.zeros(1) for key in ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight")}
VIT = {
    key: torch.zeros(1)
    for key in ("cls_token", "pos_embed", "patch_embed.proj.weight", "norm.weight")
}


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


def named(content: dict[str, object]) -> str:
    return recognise(flatten(content), "the file").layout.name


def test_the_page_lists_what_the_code_knows() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| `--from`"))
    rows = {}
    for line in takewhile(lambda line: line.startswith("|"), lines[start + 2 :]):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows[cells[0].strip("`")] = cells
    assert tuple(rows) == NAMES
    for layout in LAYOUTS:
        cells = rows[layout.name]
        assert re.findall(r"`([^`]+)`", cells[2]) == [place for place in layout.online if place]
        assert ("top" in cells[2]) == ("" in layout.online)
        assert re.findall(r"`([^`]+)`", cells[3]) == list(layout.target)
        assert cells[5] == ("our reading" if layout.status == READING else layout.status), (
            layout.name
        )


def test_names_and_aliases() -> None:
    assert len(set(NAMES)) == len(NAMES) and "auto" not in NAMES
    assert find_layout("mmseg").name == find_layout("mmdet").name == "mmpretrain"
    with pytest.raises(ValueError, match="did you mean 'densecl'"):
        find_layout("denscl")


def test_the_same_prefix_is_told_apart_by_what_stands_beside_it() -> None:
    q = under("module.encoder_q.", RESNET)
    beside = {"queue": "moco", "grouping_q.weight": "slotcon"}
    for key, name in beside.items():
        assert named(dict(state_dict=q | {f"module.{key}": torch.zeros(1)})) == name
    backbone = under("module.backbone.", RESNET)
    heads = under("module.", {"projector.0.weight": torch.zeros(1)})
    assert named(dict(model=backbone | heads)) == "vicreg"
    assert (
        named(dict(model=backbone | heads | {"module.bn.running_mean": torch.zeros(1)})) == "barlow"
    )
    assert (
        named(dict(model=backbone | heads | {"module.maps_projector.0.weight": torch.zeros(1)}))
        == "vicregl"
    )
    encoder = under("encoder.", RESNET)
    assert named(encoder | {"head.0.weight": torch.zeros(1)}) == "supcon"
    assert named(encoder | {"projector.0.weight": torch.zeros(1)}) == "simclr"
    assert named(encoder | under("encoder_k.", RESNET)) == "pixpro"
    simsiam = {"predictor.0.weight": torch.zeros(1), "encoder.fc.0.weight": torch.zeros(1)}
    assert named(encoder | simsiam) == "simsiam"
    with pytest.raises(Unrecognised):
        named(encoder)


def test_a_choice_without_consequence_is_no_ambiguity() -> None:
    assert (
        named(RESNET) == "torchvision"
    )  # timm, DINO, VICReg and others read the same numbers for the same inputs
    with pytest.raises(Unrecognised, match="fits several layouts"):
        named(VIT)
    assert (
        named({"teacher": under("backbone.", VIT), "student": under("module.backbone.", VIT)})
        == "dino"
    )
    assert named({"teacher": VIT, "student": VIT}) == "dino"  # its first files
    assert (
        named(VIT | {"mask_token": torch.zeros(1), "blocks.0.ls1.gamma": torch.zeros(1)})
        == "dinov2"
    )


def test_wrappers_and_nests_do_not_matter() -> None:
    for prefix in ("module.", "_orig_mod.", "module._orig_mod."):
        found = recognise(
            flatten(dict(state_dict=under(prefix + "base_encoder.", RESNET))), "the file"
        )
        assert (
            found.layout.name == "mocov3"
            and found.networks["online"].place == "state_dict/base_encoder."
        )
        assert "online network at 'state_dict/base_encoder.' (resnet names)" in found.why
    wrapped = {}
    for key, value in RESNET.items():  # as wrappers of parts leave them
        wrapped[
            "base_encoder.module." + key.replace("layer1.0", "layer1.0._fsdp_wrapped_module")
        ] = value
    assert named(dict(state_dict=wrapped)) == "mocov3"
    assert named(dict(module=under("base_encoder.", RESNET))) == "mocov3"  # DeepSpeed's nest
    copy = {"blocks_c.0.norm1.weight": torch.ones(1), "norm_c.weight": torch.ones(1)}
    both = VIT | {"blocks.0.norm1.weight": torch.zeros(1)} | copy
    found = find(flatten(dict(model=under("module.", both))), find_layout("cim"), "the file")
    assert set(found.networks) == {"online", "target"}
    assert found.networks["target"].translated.state["norm.weight"] == 1
    assert found.networks["online"].translated.state["norm.weight"] == 0


def test_two_networks_of_one_name_are_refused() -> None:
    other = {key: torch.ones(1) for key in RESNET}
    both = under("module.", RESNET) | other
    with pytest.raises(ValueError, match="'module.conv1.weight' and 'conv1.weight' would both be"):
        flatten(dict(state_dict=both))
    nested = dict(state_dict=under("base_encoder.", RESNET), model=under("base_encoder.", other))
    with pytest.raises(ValueError, match="'state_dict/base_encoder.' and at 'model/base_encoder.'"):
        named(nested)
    assert named(nested | dict(model=under("base_encoder.", RESNET))) == "mocov3"  # twice the same
