"""Forms as the usual clients really send them: percent-encoded, or plain JSON that only calls itself a form.

The strict part follows the URL standard's application/x-www-form-urlencoded parser, on bytes. The lenient part is
`decode_json_field`: see CONTRACT, "How the seven usual clients encode it".
"""

import binascii
import re

from plantel import errors
from plantel.http.limits import BAD_ESCAPES, FIELDS
from plantel.http.request import Body

_PIECE = 32 * 1024
"""Bytes decoded in one go: of a large body only so much is copied at a time, and other threads get their turn."""

_PERCENT = bytes.maketrans(b"%", b"=")

_PLUS = bytes.maketrans(b"+", b" ")

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")

_VISIBLE = re.compile(rb"[^ \t\n\r\v\f]")


def unquote(quoted: Body) -> bytes:
    """The bytes that `quoted` percent-encodes, exactly as `urllib.parse.unquote_to_bytes` has it, only much faster.

    A `%` without two hexadecimal digits stands for itself.
    """
    return _unquoted(quoted, len(quoted))[0]


def _unquoted(quoted: Body, most: int) -> tuple[bytes, int]:
    """The same, and how many `%` stand for themselves. Raises BadlyEncoded for more than `most`."""
    if b"%" not in quoted:
        return bytes(quoted), 0
    unquoted = _escapes_decoded(quoted)
    # a % without its digits becomes =, or nothing
    if b"=" not in unquoted and not quoted.endswith(b"%"):
        return unquoted, 0
    # each escape is two bytes shorter then, and nothing else is: else there was a % without its digits
    if len(unquoted) == len(quoted) - 2 * quoted.count(b"%"):
        return unquoted, 0
    mended, bad = _BAD_ESCAPE.subn(b"%25", quoted, most + 1)
    if bad > most:
        raise errors.BadlyEncoded(most=BAD_ESCAPES)
    return _escapes_decoded(mended), bad


def _escapes_decoded(quoted: Body) -> bytes:
    # the compiled decoder of quoted-printable does the work: %41 becomes =41, what means something to it is escaped
    escaped = quoted.replace(b"=", b"=3D").replace(b"\n", b"=0A").replace(b"\r", b"=0D").translate(_PERCENT)
    return binascii.a2b_qp(escaped)


def _decoded(form: Body, start: int, end: int, bad_escapes: int = BAD_ESCAPES) -> bytes:
    """What `form[start:end]` says by the form rules. Raises BadlyEncoded past so many."""
    if end - start <= _PIECE:
        return _unquoted(form[start:end].replace(b"+", b" "), bad_escapes)[0]
    pieces: list[bytes] = []
    while start < end:
        cut = min(start + _PIECE, end)
        if cut < end and (sign := form.rfind(b"%", cut - 2, cut)) >= 0:
            cut = sign  # an encoded byte is not cut in two
        # not `replace`, which takes its time where there is nothing but +
        piece, bad = _unquoted(form[start:cut].translate(_PLUS), bad_escapes)
        bad_escapes -= bad
        pieces.append(piece)
        start = cut
    return b"".join(pieces)


def to_text(raw: Body) -> str:
    """UTF-8, or ISO-8859-1 where it is not that: Python's http.client sends a str body so. Never fails."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("iso-8859-1")


def decode_field(form: Body, name: str, bad_escapes: int = BAD_ESCAPES) -> str | None:
    """The first value of field `name` in a form or query string, by the form rules; None where it has none.

    Raises TooManyFields, and BadlyEncoded past so many `bad_escapes`.
    """
    wanted = name.encode()
    for start, end in _fields(form):
        sign = form.find(b"=", start, end)
        if sign < 0:
            sign = end
        # an encoded name is at most three times as long
        if form[start:sign] == wanted or (sign - start <= 3 * len(wanted) and _decoded(form, start, sign) == wanted):
            return to_text(_decoded(form, sign + 1, end, bad_escapes))
    return None


def _fields(form: Body) -> list[tuple[int, int]]:
    """Where each field begins and ends. Raises TooManyFields."""
    fields: list[tuple[int, int]] = []
    start = 0
    while (end := form.find(b"&", start)) >= 0:
        fields.append((start, end))
        if len(fields) == FIELDS:
            raise errors.TooManyFields(most=FIELDS)
        start = end + 1
    fields.append((start, len(form)))
    return fields


def decode_json_field(form: Body, name: str, bad_escapes: int = BAD_ESCAPES) -> str | None:
    """The value of field `name`, which should be JSON; None where the form has no such field.

    By the form rules where the value is well encoded. Where it plainly is not (it begins like JSON and holds a raw
    quote or brace, which no encoder leaves), everything up to the end of `form` is the text, taken as it stands.
    Raises TooManyFields, BadlyEncoded, as `decode_field` does.
    """
    start = _value_start(form, name.encode() + b"=")
    if start is not None:
        found = _VISIBLE.search(form, start, start + _PIECE)
        if found is not None:
            start, first = found.start(), found.group()
            if first == b"{" or (first == b"[" and (form.find(b'"', start) >= 0 or form.find(b"{", start) >= 0)):
                return to_text(form[start:])
    return decode_field(form, name, bad_escapes)


def _value_start(form: Body, prefix: bytes) -> int | None:
    if form.startswith(prefix):
        return len(prefix)
    place = form.find(b"&" + prefix)
    return None if place < 0 else place + 1 + len(prefix)
