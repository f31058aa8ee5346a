"""Forms as the usual clients really send them: percent-encoded, or plain JSON that only calls itself a form.

The strict part follows the URL standard's application/x-www-form-urlencoded parser, on bytes. The lenient part is
`decode_json_field`: see CONTRACT, "How the seven usual clients encode it".
"""

from urllib.parse import unquote_to_bytes


def unquote(quoted: bytes) -> bytes:
    """The bytes that `quoted` percent-encodes, exactly as `urllib.parse.unquote_to_bytes` has it, only much faster.

    A `%` without two hexadecimal digits stands for itself.
    """
    if b"%" not in quoted:
        return quoted
    try:
        # the compiled unicode_escape codec does the work: %41 becomes \x41, and each byte comes back as one character
        escaped = quoted.replace(b"\\", b"\\\\").replace(b"%", b"\\x")
        return escaped.decode("unicode_escape").encode("iso-8859-1")
    except UnicodeDecodeError:
        return unquote_to_bytes(quoted)


def to_text(raw: bytes) -> str:
    """UTF-8, or ISO-8859-1 where it is not that: Python's http.client sends a str body so. Never fails."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("iso-8859-1")


def decode_field(form: bytes, name: str) -> str | None:
    """The first value of field `name` in a form or query string, by the form rules; None where it has none."""
    wanted = name.encode()
    for pair in form.split(b"&"):
        key, _, value = pair.partition(b"=")
        if key == wanted or unquote(key.replace(b"+", b" ")) == wanted:
            return to_text(unquote(value.replace(b"+", b" ")))
    return None


def decode_json_field(form: bytes, name: str) -> str | None:
    """The value of field `name`, which should be JSON; None where the form has no such field.

    By the form rules where the value is well encoded. Where it plainly is not (it begins like JSON and holds a raw
    quote or brace, which no encoder leaves), everything up to the end of `form` is the text, taken as it stands.
    """
    start = _value_start(form, name.encode() + b"=")
    if start is not None:
        raw = form[start:].lstrip()
        first = raw[:1]
        if first == b"{" or (first == b"[" and (b'"' in raw or b"{" in raw)):
            return to_text(raw)
    return decode_field(form, name)


def _value_start(form: bytes, prefix: bytes) -> int | None:
    if form.startswith(prefix):
        return len(prefix)
    place = form.find(b"&" + prefix)
    return None if place < 0 else place + 1 + len(prefix)
