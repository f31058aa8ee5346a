"""A type for what must never be seen: passwords, and the secrets of tokens and servers."""

import hmac

HIDDEN = "Secret(...)"


class Secret:
    """A text that is not shown where it was not asked for.

    Neither `repr`, `str` nor a format tells it, so that no log line, traceback or debugger does. It is no `str`, since
    what prints a `str` cuts it, or encodes it, and so gets at the text. `reveal` gives it, e.g. to what compares it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def to_bytes(self) -> bytes:
        """The text in UTF-8. Never fails."""
        return self._text.encode("utf-8", "surrogatepass")

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self.to_bytes(), other.to_bytes())

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return HIDDEN
