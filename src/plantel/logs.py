"""The log: lines on standard error, for people or as JSON.

1. A log call never raises and never waits: it makes the line, and the outlet's thread writes it (`outlet`).
2. One line is one entry, of a bounded length, whatever the values hold: what is not printable is escaped, what is too
   long is cut. In text the lines of a traceback follow, indented, so that none of them looks like an entry.
3. Tracebacks never show local variables: there are passwords among them.
4. What floods the log is dropped, and counted with what the outlet drops: after BURST entries of one event, RATE a
   second.
5. What libraries say by `logging` and `warnings` goes the same way; so does, in a service (`take_over`), all that is
   printed, and each exception that nobody caught.
"""

import asyncio
import atexit
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from io import TextIOBase
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, ExcInfo, WrappedLogger

from plantel.outlet import Outlet

VALUE_MOST = 2_000
"""Characters of one value."""

ITEMS_MOST, DEPTH_MOST = 50, 6
"""Of what a value holds."""

TRACE_MOST = 16_000
"""Characters of a traceback in text; its end is kept."""

LINE_MOST = 65_536
"""Characters of an entry."""

BURST, RATE = 1_000, 20
"""Entries of one event: so many at once, and so many a second in the long run. Strangers bring some of them about."""

LAST_SECONDS = 2.0
"""How long, at the end of the program, what waits may take to be written."""

Level = Literal["debug", "info", "warning", "error", "critical"]
Form = Literal["text", "json"]

log = structlog.get_logger()


class _Entries:
    """Turns what is logged into an entry: the last of structlog's processors."""

    def __init__(self, form: Form, *, colors: bool) -> None:
        self.form = form
        self._console = structlog.dev.ConsoleRenderer(colors=colors)
        self._transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)

    def __call__(self, _logger: WrappedLogger, level: str, event: EventDict) -> str:
        """The entry. Never raises, whatever the values do."""
        try:
            entry = self._json(level, event) if self.form == "json" else self._text(level, event)
            if len(entry) <= LINE_MOST:
                return entry
            return self.short(level, str(event.get("event")), f"cut: {len(entry)} characters")
        except Exception as error:  # noqa: BLE001 - a value that cannot be shown must not harm who logs it
            return self.short(level, str(event.get("event")), f"not shown: {type(error).__name__}")

    def short(self, level: str, event: str, note: str) -> str:
        """An entry that always can be made."""
        values = {"note": note, "event": _cut(event), "level": level, "timestamp": _now()}
        return json.dumps(values) if self.form == "json" else self._line(values)

    def _json(self, level: str, event: EventDict) -> str:
        found = _exc_info(event.pop("exc_info", None))
        values: dict[str, Any] = {key: _plain(value) for key, value in event.items() if key != "event"}
        if found:
            values["exception"] = _plain(self._transform(found), -DEPTH_MOST)
        return json.dumps(values | {"event": _plain(event.get("event")), "level": level, "timestamp": _now()})

    def _text(self, level: str, event: EventDict) -> str:
        found = _exc_info(event.pop("exc_info", None))
        line = self._line({**event, "level": level, "timestamp": _now()})
        if not found:
            return line
        text = "".join(traceback.format_exception(*found, limit=-30)).rstrip("\n")[-TRACE_MOST:]
        return "\n".join([line, *(f"    {_printable(one)}" for one in text.splitlines())])

    def _line(self, values: Mapping[str, Any]) -> str:
        shown: dict[str, Any] = {_printable(str(key)): _Shown(value) for key, value in values.items() if key != "event"}
        shown |= {key: str(values[key]) for key in ("level", "timestamp")}
        return str(self._console(None, "", shown | {"event": _printable(_cut(str(values.get("event"))))}))


class _Floods:
    """Drops entries of an event that come too often: an earlier one of structlog's processors."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._left: dict[str, tuple[float, float]] = {}
        """By event, and library, whose names are those of programs: how many may come, as of when."""

    def __call__(self, _logger: WrappedLogger, _level: str, event: EventDict) -> EventDict:
        name, now = f"{event.get('event')} {event.get('library', '')}", time.monotonic()
        left, since = self._left.get(name, (BURST, now))
        left = min(BURST, left + (now - since) * RATE)
        if left < 1:
            self._left[name] = left, now
            self._outlet.drop()
            raise structlog.DropEvent
        self._left[name] = left - 1, now
        return event


class _ToOutlet:
    """What structlog hands the entries to."""

    def __init__(self, outlet: Outlet) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = outlet.put


class _FromLibraries(logging.Handler):
    """What is logged by `logging`, in our form."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            said = record.getMessage()
        except Exception as error:  # noqa: BLE001 - as `_Entries`
            said = f"not shown: {type(error).__name__}"
        level = record.levelname.lower() if record.levelname.lower() in _LEVELS else "warning"
        getattr(log, level)("library", library=record.name, said=said, exc_info=record.exc_info)


class _Printed(TextIOBase):
    """What is printed, line by line."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, rest = (self._rest + text).split("\n")
        self._rest = rest[:LINE_MOST]
        for line in lines:
            self._outlet.put(line[:LINE_MOST])
        return len(text)


_LEVELS = ("debug", "info", "warning", "error", "critical")
_entries = _Entries("text", colors=False)
_stderr = Outlet(2, lambda lines: _entries.short("warning", "log_lines_dropped", str(lines)))
_stdout = Outlet(1, lambda lines: f"({lines})")


def configure(level: Level, form: Form) -> None:
    """Log from `level` up. Called once, before anything is logged."""
    global _entries  # noqa: PLW0603 - one program has one log
    _entries = _Entries(form, colors=os.isatty(2))
    structlog.configure(
        processors=[_Floods(_stderr), _entries],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _ToOutlet(_stderr),
        cache_logger_on_first_use=True,
    )
    logging.raiseExceptions = False
    logging.basicConfig(handlers=[_FromLibraries()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    atexit.register(close)
    # what libraries say of a lost connection is raised as well, and then logged here in our own words
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)


def dropped() -> int:
    """How many entries were not written since the start."""
    return _stderr.dropped


def close() -> None:
    """Have what waits written, as far as somebody takes it within LAST_SECONDS."""
    until = time.monotonic() + LAST_SECONDS
    for outlet in (_stderr, _stdout):
        outlet.flush(until - time.monotonic())


def take_over() -> None:
    """Let nothing write to the terminal but by the outlets' threads: for a service, which nobody may hold up by not
    reading. What nobody catches is logged."""
    sys.stdout, sys.stderr = _Printed(_stdout), _Printed(_stderr)
    sys.excepthook = lambda _kind, error, _trace: _uncaught(error, "main")
    sys.unraisablehook = lambda found: _uncaught(found.exc_value, "unraisable")
    threading.excepthook = lambda found: _uncaught(found.exc_value, "thread")


def adopt(library: str, level: int) -> None:
    """Have a library that has handlers of its own log from `level` up as the others do."""
    logger = logging.getLogger(library)
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(level)


def of_loop(_loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """What a loop says that nobody waits for. Its own words would show the arguments of a call."""
    error = context.get("exception")
    said = None if error is not None else context.get("message")
    _uncaught(error, "loop", said=said)


def _uncaught(error: BaseException | None, by: str, **more: object) -> None:
    log.error("uncaught", by=by, exc_info=error, **more)


def _exc_info(found: Any) -> ExcInfo | None:
    """Whatever may be given as `exc_info`."""
    if isinstance(found, BaseException):
        return type(found), found, found.__traceback__
    if found is True:
        found = sys.exc_info()
    return found if isinstance(found, tuple) and found[1] is not None else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _cut(text: str) -> str:
    return text if len(text) <= VALUE_MOST else f"{text[:VALUE_MOST]}... ({len(text)} characters)"


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]


class _Shown:
    """A value in text, which structlog shows as it is: in quotes if it might be taken for something else."""

    def __init__(self, value: object) -> None:
        self._text = _cut(value if isinstance(value, str) else repr(_plain(value)))
        plain = self._text.isprintable() and not any(character in " ='\"" for character in self._text)
        if isinstance(value, str) and not (plain and self._text):
            self._text = repr(self._text)

    def __repr__(self) -> str:
        return self._text


def _plain(value: object, depth: int = 0) -> Any:
    """A value for JSON, no larger than it may be."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _cut(value)
    if depth < DEPTH_MOST:
        if isinstance(value, Mapping):
            pairs = list(value.items())[:ITEMS_MOST]
            return {_cut(str(key)): _plain(one, depth + 1) for key, one in pairs}
        if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
            return [_plain(one, depth + 1) for one in value[:ITEMS_MOST]]
    return _cut(repr(value))
