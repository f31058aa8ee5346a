"""The wire call's field, whatever it holds: the same items as a plain reading gives, in bounds of number and memory."""

import json
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantel import errors
from plantel.http import queuemember
from plantel.http.queuemember import all_items, read_items, right_items
from plantel.roster import Member, parse_member
from plantel.tally import PROBLEMS, UNTOLD
from tests.support.door import item

MOST = 100
LARGE = 2 * 2**20
"""Bytes of a body that is read beside `tracemalloc`, which takes its time. Of items it may have as many as a body of
16 MiB may have by default, in proportion."""


def plainly(array: str) -> list[Member | errors.InvalidItem]:
    """The items, each with its own error, after a reading of all that there is."""
    items: list[Member | errors.InvalidItem] = []
    for number, one in enumerate(msgspec.json.decode(array), 1):
        try:
            items.append(parse_member(one))
        except errors.InvalidItem as error:
            items.append(error.at(number))
    return items


def comparable(items: Sequence[Member | errors.InvalidItem]) -> list[Any]:
    return [(one.code, one.item, one.key, one.params) if isinstance(one, errors.InvalidItem) else one for one in items]


values: st.SearchStrategy[Any] = st.sampled_from(
    [
        "ana",
        " ñ ",
        "",
        "a,b",
        "SIP/1",
        "}",
        "},",
        "],",
        '"',
        0,
        7,
        -1,
        2**31,
        1.5,
        None,
        True,
        [],
        [1, [2]],
        {"a": [{}]},
    ]
)
some_items = st.dictionaries(
    st.sampled_from(["membername", "queueName", "interface1", "penalty", "paused", "note", "ñ"]), values, max_size=7
)
right = st.builds(lambda number, note: item(f"ana {number}", note=note), st.integers(0, 99), values)


@given(
    st.lists(right | some_items | values, min_size=1, max_size=8),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " : ")]),
    st.booleans(),
    st.integers(1, 200),
)
def test_an_array_cut_into_items_is_read_as_a_whole(
    items: list[object], separators: tuple[str, str], escaped: bool, part: int
) -> None:
    array = json.dumps(items, separators=separators, ensure_ascii=escaped)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queuemember, "_PART", part)
        cut = all_items(array, 0, MOST)
    assert comparable(cut) == comparable(plainly(array))


@given(
    st.lists(right | values, min_size=1, max_size=5), st.integers(0), st.sampled_from([",", "}", "]", '"', "x", "[{"])
)
def test_what_is_no_json_is_refused_wherever_it_is_cut(items: list[object], place: int, spoilt: str) -> None:
    array = json.dumps(items)
    place %= len(array) + 1
    array = array[:place] + spoilt + array[place:]
    try:
        expected = comparable(plainly(array))
    except msgspec.DecodeError:
        expected = None
    for part in (1, 10, 10**6):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(queuemember, "_PART", part)
            try:
                found = comparable(all_items(array, 0, MOST))
            except errors.InvalidBatch:
                found = None
        assert found == expected


def test_the_place_of_a_mistake_is_told_in_bytes_of_the_whole() -> None:
    start = "[" + '"ñ",' * 40_000
    with pytest.raises(errors.NotJson) as refused:
        all_items(start + "nul]", 0, 10**6)
    with pytest.raises(msgspec.DecodeError) as whole:
        msgspec.json.decode(start + "nul]", type=msgspec.Raw)
    assert refused.value.params["detail"] == str(whole.value)


@pytest.mark.parametrize(
    ("value", "code"), [("1" * 5_000, "not_json"), ("1e999", "not_json"), ('"' + "0" * 5_000 + '"', None)]
)
def test_a_number_of_any_size_is_read_or_refused(value: str, code: str | None) -> None:
    array = json.dumps([item()]).replace('"penalty": "0"', f'"penalty": {value}')
    if code is None:
        assert read_items(b"queuemember=" + array.encode(), 1) == [Member("Ventas->", "ana", "SIP/1001")]
        return
    with pytest.raises(errors.InvalidBatch) as refused:
        read_items(b"queuemember=" + array.encode(), 1)
    assert refused.value.code == code


@pytest.mark.parametrize("wrong", [False, True])
def test_a_batch_has_so_many_items_and_no_more(wrong: bool) -> None:
    def array(count: int) -> str:
        return json.dumps([item(f"ana {number}", penalty=-1 if wrong else 0) for number in range(count)])

    def read(count: int) -> int:
        return len(right_items(array(count), MOST) or all_items(array(count), 0, MOST))

    assert [read(MOST - 1), read(MOST)] == [MOST - 1, MOST]
    with pytest.raises(errors.TooManyItems):
        read(MOST + 1)


def test_past_a_thousand_wrong_items_share_one_error() -> None:
    items = all_items("[" + "1," * (PROBLEMS + 9) + "1]", 0, 10**6)
    assert len(items) == PROBLEMS + 10
    assert len({id(one) for one in items[:PROBLEMS]}) == PROBLEMS
    assert {id(one) for one in items[PROBLEMS:]} == {id(UNTOLD)}


HOSTILE: dict[str, Callable[[int], str]] = {
    "numbers": lambda size: "[" + "1," * (size // 2) + "1]",
    "objects": lambda size: "[" + "{}," * (size // 3) + "{}]",
    "arrays": lambda size: "[" + "[]," * (size // 3) + "[]]",
    "texts": lambda size: "[" + '"a",' * (size // 4) + "1]",
    "one item of arrays": lambda size: '[{"x":[' + "[]," * (size // 3) + "[]]}]",
    "a name of arrays": lambda size: '[{"membername":[' + "[]," * (size // 3) + "[]]}]",
    "a name": lambda size: '[{"membername":"' + "x" * size + '"}]',
    "a name that is not ASCII": lambda size: '[{"membername":"' + "é" * (size // 2) + '"}]',
    "a penalty": lambda size: (
        '[{"membername":"a","queueName":"b","interface1":"SIP/1","penalty":"' + "0" * size + '"}]'
    ),
    "other keys": lambda size: "[{" + ",".join(f'"{number}":1' for number in range(size // 12)) + "}]",
    "blanks": lambda size: "[" + " " * size + "1]",
    "cut short": lambda size: '[{"membername":"' + "x" * size,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_wrong_body_takes_a_few_times_its_size_in_memory(kind: str) -> None:
    body = b"queuemember=" + HOSTILE[kind](LARGE).encode()
    tracemalloc.start()
    try:
        try:
            items: object = read_items(body, LARGE // 160)
        except errors.InvalidBatch as error:
            items = error.code
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert items is not None
    assert peak < 6 * len(body)
    assert kept < len(body), "a reference for each item, and the first thousand errors"
