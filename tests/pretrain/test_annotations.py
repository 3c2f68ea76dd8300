"""Values from configs and command lines against annotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from pretrain.annotations import build, fit_all, fitted, matches


@pytest.mark.parametrize(
    ("value", "annotation", "fits"),
    [
        (2, int, True),
        (2.5, int, False),
        (True, int, False),
        (2, float, True),
        (float("nan"), float, False),
        ((1.0, float("nan")), tuple[float, ...], False),
        (float("inf"), float, True),
        ("2", float, False),
        ([1, 3], tuple[int, int], True),
        ((1, 3, 5), tuple[int, int], False),
        ((1, "3"), tuple[int, int], False),
        (2, tuple[int, int], False),
        ((), tuple[int, ...], True),
        ((1, 2.5), tuple[int, ...], False),
        ((None, "a.txt"), tuple[str | None, str | None], True),
        (["a", "b"], list[str], True),
        (["a", 1], list[str], False),
        ((1, "a"), tuple, True),
        (None, int | None, True),
        ("auto", Literal["auto", "none"], True),
        ("always", Literal["auto", "none"], False),
        (object(), Sequence[int], True),  # configs do not spell it
    ],
)
def test_what_fits(value: Any, annotation: Any, fits: bool) -> None:
    assert matches(value, annotation) is fits


@pytest.mark.parametrize(
    ("value", "annotation", "meant"),
    [
        (2012, str, "2012"),
        ("a.txt,b.txt", tuple[str | None, str | None], ("a.txt", "b.txt")),
        ("a.txt, None", tuple[str | None, str | None], ("a.txt", None)),
        (3, tuple[int, ...], (3,)),
        ("fog", tuple[str, ...], ("fog",)),
        ("fog,3", tuple[str, ...], "fog,3"),  # no tuple of text: refused as it stands
        (2, tuple[int, int], 2),
        ("abc", int, "abc"),
        (7, str | None, "7"),
        ("a,b", str | tuple[str, ...], "a,b"),
    ],
)
def test_what_command_lines_cannot_tell_apart(value: Any, annotation: Any, meant: Any) -> None:
    assert fitted(value, annotation) == meant


@dataclass
class Sizes:
    side: int = 1
    pair: tuple[int, int] = (1, 1)
    free: Any = None


def test_values_of_a_wrong_type_are_named() -> None:
    assert fit_all({"side": 2, "pair": "1,3", "free": {}}, Sizes, where="x: ") == dict(
        side=2, pair=(1, 3), free={}
    )
    with pytest.raises(ValueError, match=r"^x: side=2.5 is of type float; must be int$"):
        fit_all({"side": 2.5}, Sizes, where="x: ")
    with pytest.raises(ValueError, match=r"^x: pair=2 is of type int; must be tuple\[int, int\]$"):
        fit_all({"pair": 2}, Sizes, where="x: ")

    def reader(root: str, *, every: int = 1, **more: Any) -> None: ...

    assert fit_all({"root": "a", "every": 2, "depth": 3}, reader, where="") == dict(
        root="a", every=2, depth=3
    )
    with pytest.raises(ValueError, match="every='x' is of type str; must be int"):
        fit_all({"every": "x"}, reader, where="")


def test_nan_is_no_number_in_messages() -> None:
    def take(height: float) -> float:
        return height

    with pytest.raises(ValueError, match="x: height=nan is not a number; must be float"):
        fit_all({"height": float("nan")}, take, where="x: ")


@dataclass
class Sheet:
    size: tuple[int, int]
    names: tuple[str, ...] = ()


def test_a_dataclass_is_built_from_what_a_person_wrote() -> None:
    assert build(Sheet, dict(size=[3, 4], names="a"), where="sheet.") == Sheet([3, 4], ("a",))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (7, "sheet=7: must be a dict of size, names"),
        (dict(siez=(1, 2)), "sheet.siez is unknown; did you mean 'size'.; legal: size, names"),
        (dict(names=("a",)), "sheet.size is missing"),
        (dict(size=3), "sheet.size=3 is of type int; must be tuple"),
    ],
)
def test_what_does_not_fit_a_dataclass_is_named(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(Sheet, values, where="sheet.")
