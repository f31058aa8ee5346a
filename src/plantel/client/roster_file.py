"""A roster in a file, as people keep it: CSV of any spreadsheet, JSON, or JSON lines.

Told apart by content: JSON begins with `[`, JSON lines with `{`, all else is CSV.
"""

import codecs
import csv
import io
import unicodedata
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import msgspec

from plantel import errors
from plantel.roster import WIRE_KEYS

Format = Literal["csv", "json", "jsonl"]

FILE_BYTES = 64 * 2**20
"""The largest file read; 50,000 members take about 5 MB."""


ROWS_MOST = 1_000_000
"""The most rows of a file: each takes many times its bytes once it is read."""

LINE_MOST = 2**20
"""The longest line of CSV, in characters: a thousand cells of a kilobyte."""


_HEADINGS_MOST = 2**16
"""Characters of the first line that are looked at for what stands between two cells."""


class Row(NamedTuple):
    """One item of the file, not yet checked.

    `number`, from 1: the line it begins on, or the element of a JSON array.
    """

    number: int
    item: Any


class RosterFile(NamedTuple):
    """`format` is what was found, `rows` all items in order."""

    format: Format
    rows: list[Row]


def read_roster(data: bytes, format: Format | None = None) -> RosterFile:  # noqa: A002  # its name on the command line
    """The rows of a file's bytes; `format` None finds out.

    UTF-8 with or without BOM, UTF-16 with BOM, else Windows-1252 (which is ISO-8859-1 in all that can be a name).
    Raises FileNotRoster, ColumnMissing, ColumnRepeated, RowTooLong.
    """
    text = _decode(data)
    format = format or _detect(text)  # noqa: A001  # as above
    read = {"csv": _csv, "json": _json, "jsonl": _json_lines}[format]
    rows: list[Row] = []
    for row in read(text):
        if len(rows) >= ROWS_MOST:
            raise errors.FileNotRoster(detail=f"more than {ROWS_MOST} rows")
        rows.append(row)
    return RosterFile(format, rows)


def _decode(data: bytes) -> str:
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for codec in ("utf-16",) if wide else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            return data.decode(codec)
        except UnicodeDecodeError as error:
            detail = str(error)
    raise errors.FileNotRoster(detail=detail)


def _detect(text: str) -> Format:
    first = text.lstrip()[:1]
    return "json" if first == "[" else "jsonl" if first == "{" else "csv"


def _json(text: str) -> Iterator[Row]:
    items = _decode_json(text, "")
    if not isinstance(items, list):
        raise errors.FileNotRoster(detail="the JSON is not an array")
    for number, item in enumerate(items, 1):
        yield Row(number, item)


def _json_lines(text: str) -> Iterator[Row]:
    # Not splitlines(), which also ends a line at U+2028 and other characters that JSON allows within a string.
    for number, line in enumerate(io.StringIO(text, newline="\n"), 1):
        if line.strip():
            yield Row(number, _decode_json(line, f"line {number}: "))


def _decode_json(text: str, place: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise errors.FileNotRoster(detail=f"{place}{error}") from None


# --- CSV -------------------------------------------------------------------------------------------------------------

_COLUMNS = {
    "membername": "membername",
    "member": "membername",
    "agent": "membername",
    "agente": "membername",
    "queuename": "queueName",
    "queue": "queueName",
    "cola": "queueName",
    "campaign": "queueName",
    "campana": "queueName",
    "interface1": "interface1",
    "interface": "interface1",
    "interfaz": "interface1",
    "penalty": "penalty",
    "penalidad": "penalty",
    "penalizacion": "penalty",
    "paused": "paused",
    "pausado": "paused",
    "pausada": "paused",
    "pausa": "paused",
}
"""Each heading, without case, accents and punctuation, and its wire key. `prioridad` is left out on purpose: whether
its 1 rings first or last is anybody's guess."""

_FLAGS = {"verdadero": "true", "falso": "false", "sí": "1", "si": "1", "yes": "1", "no": "0"}
"""What a Spanish spreadsheet and people write for the flag, beside what the wire call takes."""


def _csv(text: str) -> Iterator[Row]:
    skipped = 0
    delimiter = None
    # Excel's own hint, a line before the headings.
    if text[:4].lower() == "sep=":
        delimiter = text[4:5].strip('\r\n "')
        text = text.partition("\n")[2]
        skipped = 1
    delimiter = delimiter or _delimiter(text.lstrip()[:_HEADINGS_MOST].partition("\n")[0])
    reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    keys: list[str | None] | None = None
    line = 0
    try:
        for cells in reader:
            # A quoted cell may hold line ends; a row is known by the line it begins on.
            line, begins = reader.line_num, line + 1
            if not any(cell.strip() for cell in cells):
                continue
            if keys is None:
                keys = _keys(cells)
                continue
            if any(cell.strip() for cell in cells[len(keys) :]):
                raise errors.RowTooLong(line=begins + skipped, found=len(cells), expected=len(keys))
            yield Row(begins + skipped, _item(keys, cells))
    except csv.Error as error:
        raise errors.FileNotRoster(detail=f"line {reader.line_num + skipped}: {error}") from None
    if keys is None:
        raise errors.ColumnMissing(missing=", ".join(sorted(WIRE_KEYS)))


def _lines(text: str) -> Iterator[str]:
    for line in io.StringIO(text, newline=""):
        if len(line) > LINE_MOST:
            raise csv.Error(f"more than {LINE_MOST} characters")
        yield line


def _delimiter(headings: str) -> str:
    """Whichever of the three makes the most known headings of the first line."""
    return max(",;\t", key=lambda each: sum(_key(heading) is not None for heading in headings.split(each)))


def _keys(headings: list[str]) -> list[str | None]:
    """The wire key of each column, None for a column that is not ours."""
    keys = [_key(heading) for heading in headings]
    known = [key for key in keys if key is not None]
    for key in known:
        if known.count(key) > 1:
            raise errors.ColumnRepeated(key=key)
    if missing := WIRE_KEYS.difference(known):
        raise errors.ColumnMissing(missing=", ".join(sorted(missing)))
    return keys


def _key(heading: str) -> str | None:
    plain = unicodedata.normalize("NFKD", heading.casefold())
    return _COLUMNS.get("".join(filter(str.isalnum, plain)))


def _item(keys: list[str | None], cells: list[str]) -> dict[str, str]:
    item = {key: cell for key, cell in zip(keys, cells, strict=False) if key is not None}
    if "paused" in item:
        item["paused"] = _FLAGS.get(item["paused"].strip().casefold(), item["paused"])
    return item
