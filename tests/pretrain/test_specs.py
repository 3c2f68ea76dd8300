"""Specs as they are written: a source and its options."""

from __future__ import annotations

import pytest

from pretrain.specs import split_options


def test_options_behind_a_folder() -> None:
    assert split_options("a+b:c/data?masks=la+b/x%26y&train=t 1") == (
        "a+b:c/data",
        dict(masks="la+b/x&y", train="t 1"),
    )
    with pytest.raises(ValueError, match=r"train= is given twice; give it once"):
        split_options("data?train=a&val=c&train=b")
