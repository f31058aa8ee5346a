"""Forms as the usual clients really send them: percent-encoded, or plain JSON that only calls itself a form.

The strict part follows the URL standard's application/x-www-form-urlencoded parser, on bytes. The lenient part is
`decode_json_field`: see CONTRACT, "How the seven usual clients encode it".
"""

import binascii
import re
from urllib.parse import unquote_to_bytes

from plantel.http.request import Body

_PIECE = 64 * 1024
"""Bytes decoded in one go: of a large body only so much is copied at a time."""

_PERCENT = bytes.maketrans(b"%", b"=")

_VISIBLE = re.compile(rb"[^ \t\n\r\v\f]")


def unquote(quoted: Body) -> bytes:
    """The bytes that `quoted` percent-encodes, exactly as `urllib.parse.unquote_to_bytes` has it, only much faster.

    A `%` without two hexadecimal digits stands for itself.
    """
    if b"%" not in quoted:
        return bytes(quoted)
    # the compiled decoder of quoted-printable does the work: %41 becomes =41, what means something to it is escaped
    escaped = quoted.replace(b"=", b"=3D").replace(b"\n", b"=0A").replace(b"\r", b"=0D").translate(_PERCENT)
    unquoted = binascii.a2b_qp(escaped)
    # a % without its digits it leaves as =, but drops it at the end
    if b"=" not in unquoted and not quoted.endswith(b"%"):
        return unquoted
    # each escape is two bytes shorter then, and nothing else is: else there was a % without its digits
    if len(unquoted) == len(quoted) - 2 * quoted.count(b"%"):
        return unquoted
    return unquote_to_bytes(bytes(quoted))


def _decoded(form: Body, start: int, end: int) -> bytes:
    """What `form[start:end]` says by the form rules."""
    if end - start <= _PIECE:
        return unquote(form[start:end].replace(b"+", b" "))
    pieces: list[bytes] = []
    while start < end:
        cut = min(start + _PIECE, end)
        if cut < end and (sign := form.rfind(b"%", cut - 2, cut)) >= 0:
            cut = sign  # an encoded byte is not cut in two
        pieces.append(unquote(form[start:cut].replace(b"+", b" ")))
        start = cut
    return b"".join(pieces)


def to_text(raw: Body) -> str:
    """UTF-8, or ISO-8859-1 where it is not that: Python's http.client sends a str body so. Never fails."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("iso-8859-1")


def decode_field(form: Body, name: str) -> str | None:
    """The first value of field `name` in a form or query string, by the form rules; None where it has none."""
    wanted = name.encode()
    start, size = 0, len(form)
    while start <= size:
        end = form.find(b"&", start)
        if end < 0:
            end = size
        sign = form.find(b"=", start, end)
        if sign < 0:
            sign = end
        if (form.startswith(wanted, start) and sign - start == len(wanted)) or _decoded(form, start, sign) == wanted:
            return to_text(_decoded(form, sign + 1, end))
        start = end + 1
    return None


def decode_json_field(form: Body, name: str) -> str | None:
    """The value of field `name`, which should be JSON; None where the form has no such field.

    By the form rules where the value is well encoded. Where it plainly is not (it begins like JSON and holds a raw
    quote or brace, which no encoder leaves), everything up to the end of `form` is the text, taken as it stands.
    """
    start = _value_start(form, name.encode() + b"=")
    if start is not None:
        found = _VISIBLE.search(form, start)
        if found is not None:
            start, first = found.start(), found.group()
            if first == b"{" or (first == b"[" and (form.find(b'"', start) >= 0 or form.find(b"{", start) >= 0)):
                return to_text(form[start:])
    return decode_field(form, name)


def _value_start(form: Body, prefix: bytes) -> int | None:
    if form.startswith(prefix):
        return len(prefix)
    place = form.find(b"&" + prefix)
    return None if place < 0 else place + 1 + len(prefix)
