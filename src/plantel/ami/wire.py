"""The bytes of the Asterisk Manager Interface, without any input or output.

An action is a block of `Name: value` lines, each ended by CR LF, the block by an empty line; so are responses and
events. The server opens with one line, its banner. The limits are those of Asterisk's `main/manager.c`.

Bytes that are not UTF-8 are read with `surrogateescape`: a name that somebody configured in ISO-8859-1 comes back to
Asterisk byte for byte when it is sent again, while names in UTF-8 are plain text that compares equal to the roster's.
"""

import re
from collections.abc import Iterable

from plantel.ami.limits import BANNER_BYTES, DETAIL_MOST, DIGITS_MOST, LINES_MOST, MESSAGE_BYTES
from plantel.language import visible

BANNER = b"Asterisk Call Manager/"
"""How the banner of every AMI begins; the version of the protocol follows."""

LINE_BYTES = 1024
"""The longest line that Asterisk reads, CR LF included."""

HEADERS_MOST = 128
"""Asterisk ignores what an action holds beyond these."""

_END = b"\r\n\r\n"
_ACTION_ID = b"\r\nActionID: "
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
# C0, DEL, and C1 (where NEL is) as UTF-8. On the bytes, so that escaped surrogates cannot spell one.
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]|\xc2[\x80-\x9f]")


class Unsendable(ValueError):
    """An action cannot be put on the wire as asked; the message says why, without the value."""


class Malformed(Exception):
    """What came is not AMI; the message shows it."""


class TooMuch(Exception):
    """What came is more than an Asterisk may make us read or keep: more than `most` of `what`, an `errors.Excess`."""

    def __init__(self, what: str, most: int) -> None:
        super().__init__(what, most)
        self.what = what
        self.most = most


class Message:
    """A response or an event; read when it is asked, for a snapshot brings tens of thousands.

    `headers` by the name that Asterisk gives them; of equal ones the first counts, as it does for Asterisk. To read
    them raises TooMuch. `block` is all of it, without its end.
    """

    __slots__ = ("_headers", "block")

    def __init__(self, block: bytes) -> None:
        self.block = block
        self._headers: dict[str, str] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and self.block == other.block

    __hash__ = None  # type: ignore[assignment]  # nobody keeps sets of them

    @property
    def headers(self) -> dict[str, str]:
        if self._headers is None:
            if self.block.count(b"\r\n") >= LINES_MOST:
                raise TooMuch("lines", LINES_MOST)
            self._headers = _parse(self.block.decode("utf-8", "surrogateescape"))
        return self._headers

    @property
    def action_id(self) -> str | None:
        """Its ActionID."""
        start = self.block.find(_ACTION_ID)
        if start < 0 or self._headers is not None:
            return self.headers.get("ActionID")
        start += len(_ACTION_ID)
        end = self.block.find(b"\r\n", start)
        return self.block[start : end if end >= 0 else None].decode("utf-8", "surrogateescape")

    @property
    def is_item(self) -> bool:
        """Whether it is one event of a list."""
        return self.block.startswith(b"Event: ") and b"\r\nEventList:" not in self.block

    @property
    def ends(self) -> tuple[bytes, bytes]:
        """Its first and its last line, with the CR LF between them and the others."""
        first, end, _ = self.block.partition(b"\r\n")
        _, start, last = self.block.rpartition(b"\r\n")
        return first + end, start + last

    @property
    def succeeded(self) -> bool:
        """Whether this is a response that does not report an error, or no response at all."""
        return self.headers.get("Response") != "Error"

    @property
    def text(self) -> str:
        """Asterisk's own wording of the outcome."""
        return self.headers.get("Message", "")


def encode(headers: Iterable[tuple[str, str]]) -> bytes:
    """The headers as one block, its end included. Raises Unsendable rather than let a value add a line to it."""
    lines = []
    for name, value in headers:
        if not _HEADER_NAME.fullmatch(name):
            raise Unsendable(f"{name!r} is not the name of a header")
        try:
            line = f"{name}: {value}".encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise Unsendable(f"{name} holds half a surrogate pair") from None
        # what can be printed holds none, and is told apart at a fraction of the price
        if not value.isprintable() and _CONTROL.search(line):
            raise Unsendable(f"{name} holds a control character")
        if len(line) + 2 > LINE_BYTES:
            raise Unsendable(f"{name} is longer than {LINE_BYTES} bytes")
        lines.append(line)
    if not 0 < len(lines) <= HEADERS_MOST:
        raise Unsendable(f"an action has 1 to {HEADERS_MOST} headers")
    return b"\r\n".join(lines) + _END


class Decoder:
    """Turns what arrives, however it is cut, into messages. Holds at most MESSAGE_BYTES and what one `feed` brings."""

    def __init__(self) -> None:
        self.banner: str | None = None
        """The server's first line, once it is there."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes. Raises Malformed or TooMuch; the decoder is then of no more use."""
        buffer = self._buffer
        if self.banner is None:
            buffer += data
            if not self._take_banner():
                return []
            unseen = 0
        else:
            unseen = max(0, len(buffer) - len(_END) + 1)
            buffer += data
        if buffer.find(_END, unseen) < 0:
            self._hold(buffer)
            return []
        *blocks, rest = bytes(buffer).split(_END)
        self._buffer = bytearray(rest)
        self._hold(self._buffer)
        return [Message(block) for block in [block.lstrip(b"\r\n") for block in blocks] if block]

    def _take_banner(self) -> bool:
        head = bytes(self._buffer[: len(BANNER)])
        if not BANNER.startswith(head):
            raise Malformed(f"it begins with {bytes(self._buffer[:60])!r}")
        end = self._buffer.find(b"\n", 0, BANNER_BYTES)
        if end < 0:
            if len(self._buffer) >= BANNER_BYTES:
                raise Malformed(f"its first line is longer than {BANNER_BYTES} bytes")
            return False
        self.banner = self._buffer[:end].decode("utf-8", "surrogateescape").rstrip("\r")
        del self._buffer[: end + 1]
        return True

    @staticmethod
    def _hold(unfinished: bytearray) -> None:
        if len(unfinished) > MESSAGE_BYTES:
            raise TooMuch("message_bytes", MESSAGE_BYTES)


def told(text: str) -> str:
    """A server's own words, as they are shown: in a state, a log, an answer."""
    return visible(text[:DETAIL_MOST])


_NUMBER = re.compile(rf"-?[0-9]{{1,{DIGITS_MOST}}}")


def number(text: str) -> int:
    """The number that Asterisk means by it. Raises ValueError for anything longer, or written in another way."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"not a number: {text[:30]!r}")
    return int(text)


def _parse(text: str) -> dict[str, str]:
    lines = text.split("\r\n")
    lines.reverse()
    try:
        # the usual message, at a fraction of a microsecond a line
        return dict([line.split(": ", 1) for line in lines])
    except ValueError:
        return {name: value.removeprefix(" ") for name, _, value in (line.partition(":") for line in lines)}
