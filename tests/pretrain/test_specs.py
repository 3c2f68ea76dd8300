"""Specs as they are written: a source and its options."""

from __future__ import annotations

import pytest

from pretrain.specs import spec_of, split_options


def test_options_behind_a_folder() -> None:
    assert split_options("a+b:c/data?masks=la+b/x%26y&train=t 1") == (
        "a+b:c/data",
        dict(masks="la+b/x&y", train="t 1"),
    )
    with pytest.raises(ValueError, match=r"train= is given twice; give it once"):
        split_options("data?train=a&val=c&train=b")


def test_a_spec_is_written_as_it_is_read() -> None:
    options = dict(licence="CC BY 4.0 & more", depth=2, layers=(1, 2), text="a+b")
    assert split_options(spec_of("a b/c.pth", options)) == ("a b/c.pth", options)
    assert spec_of("timm:resnet18", {}) == "timm:resnet18"
