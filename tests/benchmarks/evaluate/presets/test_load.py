"""Files of presets that are not complete are refused, with the entry's name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.evaluate.presets.load import load_preset
from benchmarks.evaluate.presets.preset import Entry, Published


def test_an_unknown_preset_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(ValueError, match="'humingbird-voc' is not one of .* 'hummingbird-voc'"):
        load_preset("humingbird-voc")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("predict = dict(_delete_=True)", "neighbours of benchmark retrieval is missing"),
        ("features = dict(_delete_=True)", "features.layers is missing"),
        ("data = dict(_delete_=True)", "data.layout is missing"),
        ("title = ''", "title='' must be a str, not empty"),
        ("version = '1'", "version='1' must be a int"),
        ("colour = 3", "unknown entry 'colour'"),
        ("predict = dict(neigbours=(3, 'O', 'x'))", "did you mean 'neighbours'"),
        ("predict = dict(neighbours=(3, 'O'))", r"predict.neighbours=\(3, 'O'\) must be \(value,"),
        ("predict = dict(neighbours=(3, 'O', ''))", "the texts not empty"),
        ("predict = dict(neighbours=(3, 'Q: x', 'x'))", "source='Q: x' must begin with one of O,"),
        ("predict = dict(neighbours=(0, 'O', 'x'))", "neighbours=0 must be greater than 0"),
        ("predict = dict(neighbours=('a', 'O', 'x'))", "neighbours='a' is of type str"),
        ("score = dict(neighbours=(3, 'O', 'x'))", "neighbours stands in predict and in score"),
        ("data = dict(layout=('vok', 'O', 'x'))", "did you mean 'voc'"),
        ("data = dict(trian=('a', 'O', 'x'))", "no argument 'trian'; did you mean 'train'"),
        ("features = dict(norm=('a', 'O', 'x'))", "features.norm='a' is of type str"),
        ("normalisation = ('imagenet', 'O', 'x')", "normalisation='imagenet' must be 'weights'"),
        ("benchmark = 'retreival'", "did you mean 'retrieval'"),
        ("tolerance = dict(_delete_=True, miou=1)", "did you mean 'mIoU'"),
        ("tolerance = dict(_delete_=True, pixel_accuracy=1)", "metric of a published row='mIoU'"),
        ("seed = 'sead'", "seed='sead' is not one of"),
        ("published = [dict(model='a')]", "lacks something"),
        ("published = [dict(modell='a')]", "did you mean 'model'"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    write_preset: Callable[..., str], text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        load_preset(write_preset(text))
    assert str(raised.value).startswith("preset 'toy': ")


def test_a_value_may_follow_the_stride_and_refuses_others() -> None:
    entry = Entry(dict(by_stride={14: 504, 16: 512}), "O", "x")
    assert entry.resolve("size", 14) == 504
    with pytest.raises(ValueError, match="stride 14, 16, this one's is 32: give --set size=VALUE"):
        entry.resolve("size", 32)
    assert Entry(7, "O", "x").resolve("size", 32) == 7


def test_printed_numbers_keep_their_digits() -> None:
    common = dict(model="a", metric="mIoU", source="O", kind="authors")
    row = Published(value="77.0", **common)
    assert (row.number, row.digits, row.half_unit) == (77.0, 1, 0.05)
    assert Published(value=".4340", **common).half_unit == pytest.approx(5e-5)
    assert Published(value="77", **common).half_unit == 0.5
    with pytest.raises(ValueError, match="write the number as it is printed"):
        Published(value="77 %", **common)
    with pytest.raises(ValueError, match="kind='ours' is not one of authors, reproduction"):
        Published(value="77", **(common | dict(kind="ours")))
