"""Lines for a descriptor that takes nothing, or blocks."""

import contextlib
import os
import select
import time
from collections.abc import Iterator

import pytest

from plantel import outlet
from plantel.outlet import ROOM, Outlet

PATIENCE = 30.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """To read from, and to write to."""
    reader, writer = os.pipe()
    yield reader, writer
    for one in (reader, writer):
        with contextlib.suppress(OSError):  # the test may have done so
            os.close(one)


def said(dropped: int) -> str:
    return f"{dropped} dropped"


def read_until(reader: int, end: bytes) -> list[str]:
    """The lines that can be read, up to one that ends so."""
    read = b""
    while not read.endswith(end):
        assert select.select([reader], [], [], PATIENCE)[0], read[-200:]
        read += os.read(reader, 65536)
    return read.decode().splitlines()


def test_lines_are_written_in_their_order(pipe: tuple[int, int]) -> None:
    made = Outlet(pipe[1], said)
    for number in range(1000):
        made.put(f"line {number}")
    assert read_until(pipe[0], b"line 999\n") == [f"line {number}" for number in range(1000)]
    assert made.dropped == 0


def test_surrogates_are_written_escaped(pipe: tuple[int, int]) -> None:
    Outlet(pipe[1], said).put("a\ud800b ñ")
    assert read_until(pipe[0], b"\n") == ["a\\ud800b ñ"]


def test_who_does_not_read_holds_nobody_up_and_is_told_what_was_dropped(pipe: tuple[int, int]) -> None:
    made = Outlet(pipe[1], said)
    line = "x" * 999
    put = 10 * ROOM // 1000
    for _ in range(put):
        made.put(line)
    assert put / 2 < made.dropped < put
    made.flush(0.1)  # ends, though nobody reads
    dropped = made.dropped
    lines: list[str] = []
    while len(lines) < put - dropped + 1:
        lines += read_until(pipe[0], b"\n")
    lines.remove(f"{dropped} dropped")
    assert lines == [line] * (put - dropped)


def test_a_pipe_that_must_not_be_waited_for_is_waited_for_by_the_thread_alone(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    made = Outlet(pipe[1], said)
    for number in range(500):
        made.put(f"{number} {'x' * 1000}")
    assert len(read_until(pipe[0], b"499 " + b"x" * 1000 + b"\n")) == 500
    assert made.dropped == 0


def test_a_closed_pipe_takes_nothing_and_everything_is_counted(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    made = Outlet(pipe[1], said)
    for number in range(100):
        made.put(f"line {number}")
    made.flush(PATIENCE)
    assert made.dropped == 100


def test_a_full_disk_drops_and_says_so_once_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "AGAIN", 0.1)
    full = os.open("/dev/full", os.O_WRONLY)
    made = Outlet(full, said)
    for _ in range(3):
        made.put("lost")
    made.flush(PATIENCE)
    assert made.dropped == 3
    reader, writer = os.pipe()
    os.dup2(writer, full)
    os.close(writer)
    assert read_until(reader, b"\n") == ["3 dropped"], "by itself: nothing else is said"
    made.put("kept")
    assert read_until(reader, b"\n") == ["kept"]
    os.close(full)
    os.close(reader)


def test_a_line_put_amid_another_one_is_written_too(pipe: tuple[int, int]) -> None:
    """As by the collector of garbage, which may run at any step of `put`."""
    made = Outlet(pipe[1], said)

    class Line(str):
        __slots__ = ()

        def encode(self, *_: object) -> bytes:
            made.put("inner")
            return super().encode()

    with made._lock:
        made.put(Line("outer"))
    assert sorted(read_until(pipe[0], b"outer\n")) == ["inner", "outer"]


def test_flush_returns_when_all_is_written(pipe: tuple[int, int]) -> None:
    made = Outlet(pipe[1], said)
    made.put("last")
    begun = time.monotonic()
    made.flush(PATIENCE)
    assert time.monotonic() - begun < PATIENCE
    assert read_until(pipe[0], b"\n") == ["last"]
