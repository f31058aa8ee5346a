"""Closes connections that have to go, since the server library has no deadline for them and no bound that holds.

1. A thread looks at this process's own sockets once a second (`Sockets`), more often if there are too many of them.
2. `connections` says which have to go: past a deadline, or the longest idle ones of the networks that have most.
3. The kernel ignores new ones from those networks for some time (`Crowds`); beyond the slack, from everybody.
4. If there is no descriptor left all the same, the reserve is opened: the server library, which would try for ever to
   accept, comes round to closing what was ended.

Requests wait for none of this. Why it is so: `docs/decisions/connections.md`.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence

import structlog

from plantel.descriptors import Share, take
from plantel.http import ops
from plantel.http.attendance import Attendance
from plantel.http.connections import (
    Asked,
    Connection,
    Crowds,
    Deadlines,
    Reason,
    hoarders,
    large_answers,
    overdue,
    surplus,
)
from plantel.http.sockets import Sockets

PROBE, PROBE_TIGHT = 0.1, 0.02
"""Seconds between two questions whether there are too many descriptors, if there are plenty, and if there are not."""

PLENTY = 8192
"""Descriptors beyond the connections that are admitted: nobody takes that many between two questions."""

LOOK = 1.0
"""Seconds between two looks, at most. A look costs some five microseconds for each connection."""

SAY = 60.0
"""Seconds between two lines in the log that say so."""

AT_ONCE = frozenset({Reason.NOT_READING, Reason.FULL})
"""What waits to be read by these is given up."""

log = structlog.get_logger()


class Reaper:
    """Watches the connections to one port. `attendance`: None over plain HTTP."""

    def __init__(self, port: int, share: Share, deadlines: Deadlines, attendance: Attendance | None) -> None:
        self._sockets = Sockets(port, unread=2 * deadlines.write)
        self._share = share
        self._ceiling = take(share.reserve)
        self._pause = PROBE if self._ceiling - share.connections > PLENTY else PROBE_TIGHT
        self._deadlines = deadlines
        self._attendance = attendance
        self._connections: dict[int, Connection] = {}
        self._emergency = False
        self._full = False
        self._crowds = Crowds()
        self._filtered: Sequence[bytes] | None = []
        self._next = 0.0
        self._say = 0.0
        self._probe = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plantel-reaper", daemon=True)

    @property
    def started(self) -> bool:
        return self._thread.ident is not None

    def start(self) -> None:
        """Begin, if there is somebody listening by now: who cannot refuse must not open the reserve."""
        self._sockets.look()
        if self._sockets.listening:
            self._thread.start()

    def stop(self) -> None:
        """Let the connections be; returns once the thread has ended."""
        self._stop.set()
        if self.started:
            self._thread.join()
        os.close(self._probe)

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            try:
                if self._crowded() or time.monotonic() >= self._next:
                    self._look()
            except Exception as error:  # noqa: BLE001  # whatever it is, the next look may be better
                # without a traceback: files would be opened to make it
                log.error("connections_unwatched", reason=repr(error))  # noqa: TRY400
                self._stop.wait(LOOK)

    def _crowded(self) -> bool:
        """Whether there may be too many connections: the lowest descriptor that is free is as high as that."""
        try:
            free = os.dup(self._probe)
        except OSError:
            self._open_reserve()
            return True
        os.close(free)
        return free > self._sockets.others + self._share.connections

    def _open_reserve(self) -> None:
        self._emergency = True
        self._filter(None)
        take(0)

    def _close_reserve(self, live: Iterable[Connection]) -> None:
        """Have the reserve as a reserve again, once no connection has a descriptor of it."""
        if any(one.seen.descriptor >= self._ceiling for one in self._connections.values()):
            self._close([one for one in live if one.seen.descriptor >= self._ceiling and not one.closed], Reason.FULL)
        else:
            take(self._share.reserve)
            self._emergency = False

    def _look(self) -> None:
        now = time.monotonic()
        self._take_in(now)
        live = [one for one in self._connections.values() if not one.closed]
        for one in live:
            if reason := overdue(one, now, self._deadlines):
                self._close([one], reason)
        live = [one for one in live if not one.closed]
        self._close(hoarders(live), Reason.NOT_READING)
        self._bound(live, now)
        ops.connections(sum(not one.closed for one in self._connections.values()))
        pause = LOOK
        if self._full or self._emergency:
            pause = min(max(0.1, 9 * (time.monotonic() - now)), LOOK)
        self._next = now + min(pause, *(deadline / 4 for deadline in self._deadlines))

    def _take_in(self, now: float) -> None:
        answered: Counter[str] = Counter()
        while large_answers:
            client, size = large_answers.popleft()
            answered[client] += size
        asked = self._attendance.asked() if self._attendance else {}
        before, self._connections = self._connections, {}
        for seen in self._sockets.look():
            one = before.get(seen.inode)
            if one is None:
                one = Connection(seen._replace(delivered=0), now, attended=self._attendance is not None)
            record = asked.pop(seen.client, None)
            one.look(seen, _of(one, record), answered[seen.client], now, self._deadlines)
            self._connections[seen.inode] = one
        if self._attendance:
            # a second, since a connection may be newer than this look
            self._attendance.forget([client for client, record in asked.items() if now - record.last > 1.0])

    def _bound(self, live: list[Connection], now: float) -> None:
        """Have no more connections than there is room for."""
        # what was ended keeps its descriptor until the server library has noticed
        there = len(self._connections)
        self._full = there > self._share.connections
        if self._full:
            leaving = surplus(live, self._share.connections)
            self._close(leaving, Reason.FULL)
            self._crowds.refuse({one.seen.network for one in leaving}, now)
            self._tell(there, len(leaving), now)
        elif self._emergency:
            self._close_reserve(live)
        overfull = self._emergency or there > self._share.connections + self._share.slack
        self._filter(None if overfull else self._crowds.refused(now))

    def _filter(self, networks: Sequence[bytes] | None) -> None:
        """Have these networks wait, or everybody if None."""
        if networks != self._filtered:
            if networks == []:
                self._sockets.admit()
            else:
                self._sockets.refuse(networks)
            self._filtered = networks

    def _close(self, leaving: Iterable[Connection], reason: Reason) -> None:
        for one in leaving:
            if self._sockets.close(one.seen, at_once=reason in AT_ONCE):
                one.closed = True
                ops.closed(reason)

    def _tell(self, there: int, leaving: int, now: float) -> None:
        if now >= self._say:
            self._say = now + SAY
            log.warning("connections_full", most=self._share.connections, open=there, closed=leaving)


def _of(connection: Connection, record: Asked | None) -> Asked | None:
    """`record`, unless it is of an earlier connection from the same port."""
    if record is None or (record.last < connection.since - LOOK and not record.under_way):
        return None
    return record
