"""Roster files as spreadsheets and programs write them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantel import errors
from plantel.client.roster_file import Format, Row, read_roster

WIRE = "membername,queueName,interface1,penalty,paused"
JOSE = {
    "membername": "José Ñandú",
    "queueName": "Campaña €",
    "interface1": "SIP/1",
    "penalty": "2",
    "paused": "1",
}


def csv(delimiter: str, heading: str = WIRE, end: str = "\r\n") -> str:
    return "".join(f"{line}{end}".replace(",", delimiter) for line in (heading, ",".join(JOSE.values())))


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_and_delimiters(codec: str, delimiter: str, end: str) -> None:
    found = read_roster(csv(delimiter, end=end).encode(codec))
    assert (found.format, found.rows) == ("csv", [Row(2, JOSE)])


@pytest.mark.parametrize(
    "heading",
    [
        "agente,campaña,interfaz,penalidad,pausado",
        "Agent,Campaign,Interface,Penalty,Paused",
        "AGENTE,Cola,Interface 1,Penalización,Pausa",
        '"membername","queue","interface","penalty","paused"',
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_headings(heading: str, delimiter: str) -> None:
    assert read_roster(csv(delimiter, heading).encode()).rows == [Row(2, JOSE)]


def test_excels_hint_is_a_line_and_no_heading() -> None:
    assert read_roster(("sep=;\r\n" + csv(";")).encode("cp1252")).rows == [Row(3, JOSE)]


def test_rows_are_known_by_the_line_they_begin_on() -> None:
    text = f'note,{WIRE}\n\n"two\nlines",a,q,SIP/1,0,0\n,,,,,\nx,b,q,SIP/2,,VERDADERO\nx,c,q,SIP/3,1,sí,\n'
    rows = read_roster(text.encode()).rows
    assert [(row.number, row.item["membername"], row.item["paused"]) for row in rows] == [
        (3, "a", "0"),
        (6, "b", "true"),
        (7, "c", "1"),
    ]


def test_a_short_row_lacks_keys() -> None:
    assert read_roster(f"{WIRE}\na,q,SIP/1\n".encode()).rows == [
        Row(2, {"membername": "a", "queueName": "q", "interface1": "SIP/1"})
    ]


@pytest.mark.parametrize(
    ("text", "error", "params"),
    [
        ("", errors.ColumnMissing, {"missing": "interface1, membername, paused, penalty, queueName"}),
        ("agente;cola;interfaz;prioridad;pausado\n", errors.ColumnMissing, {"missing": "penalty"}),
        (f"{WIRE},agente\n", errors.ColumnRepeated, {"key": "membername"}),
        (f"{WIRE}\n\na,q,SIP/1,0,0,oops\n", errors.RowTooLong, {"line": 3, "found": 6, "expected": 5}),
        (f'{WIRE}\n"a"b,q,SIP/1,0,0\n', errors.FileNotRoster, None),
        ("[1", errors.FileNotRoster, None),
        ("[" * 100_000, errors.FileNotRoster, None),
        ('{"a": 1}\n{', errors.FileNotRoster, None),
    ],
    ids=range(8),
)
def test_what_is_no_roster(text: str, error: type[errors.ClientError], params: dict[str, Any] | None) -> None:
    with pytest.raises(error) as caught:
        read_roster(text.encode())
    assert params is None or caught.value.params == params
    assert caught.value.say("es")


@pytest.mark.parametrize(
    ("text", "format_", "rows"),
    [
        ('[{"a": 1}, 2]', "json", [Row(1, {"a": 1}), Row(2, 2)]),
        ("\n []", "json", []),
        ('\n{"a": "\u2028"}\r\n\r\n{"b": 2}', "jsonl", [Row(2, {"a": "\u2028"}), Row(4, {"b": 2})]),
    ],
)
def test_json(text: str, format_: Format, rows: list[Row]) -> None:
    assert read_roster(text.encode()) == (format_, rows)
    assert read_roster(text.encode("utf-8-sig"), format_) == (format_, rows)


def test_json_that_is_no_array() -> None:
    with pytest.raises(errors.FileNotRoster):
        read_roster(b"{}", "json")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        rows = read_roster(data).rows
    except errors.ClientError:
        return
    assert all(row.number >= 1 for row in rows)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a\n" * (2**20 + 2**17), ""),
        (b"agente;cola;interfaz;penalty;paused\n" + b"a\n" * 1_100_000, "rows"),
        (b"agente;cola;interfaz;penalty;paused\n" + b";" * 2_000_000, "characters"),
        (b"agente;" * 1_000_000, "characters"),
        (b'agente;cola;interfaz;penalty;paused\n"' + b"a\n" * 200_000, "field"),
        (b"[" + b"1," * 1_100_000 + b"1]", "rows"),
        (b"{}\n" * 1_100_000, "rows"),
        (b"[" * 100_000, ""),
        (b'sep="\nagente"cola', ""),
        (b"sep=\n", ""),
        (b"\0" * 100, ""),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_a_file_that_means_ill_is_no_roster(data: bytes, said: str) -> None:
    with pytest.raises(errors.ClientError) as caught:
        read_roster(data)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 1000
