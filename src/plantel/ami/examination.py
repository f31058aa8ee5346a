"""A close look at one queue, as AMI actions and what their answers tell.

QueueStatus and Ping (which gives the server's clock) need no class. Getvar needs `call` or `reporting`; it tells what
QueueStatus does not, through dialplan functions: DEVICE_STATE (func_devstate), QUEUE_MEMBER (app_queue) and AST_CONFIG
(func_config), which reads `queues.conf`. Where the class or the function is missing, the answer is an error or empty.
All seen on 16.28.
"""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime

from plantel.ami import wire
from plantel.ami.limits import MEMBERS_MOST
from plantel.ami.members import Headers, moment, seat
from plantel.device import DeviceState
from plantel.roster import fold
from plantel.why.closeup import Closeup, QueueRules, Seat


def device_query(interface: str) -> bytes:
    """The action that asks for the state of a phone. Raises wire.Unsendable."""
    return _getvar(f"DEVICE_STATE({interface})")


def device_state(answer: wire.Message) -> DeviceState | None:
    """What the answer to `device_query` tells; None where it tells nothing."""
    return DeviceState.__members__.get(answer.headers.get("Value", ""))


def reread(queue: str) -> bytes:
    """The action that has Asterisk read the realtime members of a queue anew, and counts them. Raises wire.Unsendable.

    So do QueueAdd, QueuePenalty and `queue show`; QueueStatus does not (seen on 16.28 and 22.10).
    """
    return _getvar(f"QUEUE_MEMBER({queue},count)")


class Examination:
    """One close look: `look` is sent, its answers go to `item` and `looked`; then `ask`, its answers to `told`."""

    def __init__(self, queue: str, interface: str) -> None:
        self._queue = queue
        self._interface = interface
        self._params: Headers | None = None
        self._shown = ""
        """The queue's name in the server's spelling."""
        self._callers = 0
        self._seats: list[Seat] = []
        self._now = datetime.fromtimestamp(0, UTC)
        self._told: dict[int, str] = {}
        self.refusal = ""
        """Why Asterisk does not show its queues; "" where it does."""

    def look(self) -> Iterator[bytes]:
        """The queue, and the time."""
        yield wire.encode([("Action", "QueueStatus"), ("Queue", self._queue)])
        yield wire.encode([("Action", "Ping")])

    def item(self, message: wire.Message) -> None:
        """Take an item of the queue. Raises wire.Malformed, wire.TooMuch."""
        headers = message.headers
        try:
            if headers["Event"] == "QueueParams":
                self._shown, self._params = headers["Queue"], headers
                self._callers = wire.number(headers.get("Calls", "0"))
            elif headers["Event"] == "QueueMember":
                self._seats.append(seat(headers))
                if len(self._seats) > MEMBERS_MOST:
                    raise wire.TooMuch("members", MEMBERS_MOST)
        except (KeyError, ValueError) as error:
            raise wire.Malformed(f"{headers.get('Event')}: {error}") from None

    def looked(self, _number: int, answer: wire.Message) -> None:
        """Take an answer to `look`. Raises wire.Malformed."""
        if not answer.succeeded:
            self.refusal = answer.text
        elif "Timestamp" in answer.headers:
            try:
                self._now = moment(float(answer.headers["Timestamp"]))
            except ValueError as error:
                raise wire.Malformed(f"Ping: {error}") from None

    def ask(self) -> Iterator[bytes]:
        """What QueueStatus did not tell; nothing where the queue does not exist."""
        if self._params is None:
            return
        with contextlib.suppress(wire.Unsendable):  # a name that cannot be sent cannot be asked about
            yield from self._questions(self._shown)

    def _questions(self, queue: str) -> Iterator[bytes]:
        yield _getvar(f"AST_CONFIG(queues.conf,{queue},strategy)")
        yield _getvar(f"AST_CONFIG(queues.conf,{queue},wrapuptime)")
        yield _getvar(f"AST_CONFIG(queues.conf,{queue},joinempty)")
        wanted = fold(self._interface)
        for one in self._seats:
            if fold(one.member.interface) == wanted:
                yield _getvar(f"QUEUE_MEMBER({queue},ringinuse,{one.member.interface})")

    def told(self, number: int, answer: wire.Message) -> None:
        """Take an answer to `ask`."""
        self._told[number] = answer.headers.get("Value", "")

    def closeup(self) -> Closeup | None:
        """What was seen; None where there is no such queue."""
        if self._params is None:
            return None
        strategy, wrapup, join_empty, ring_in_use = (self._told.get(number, "") for number in range(4))
        return Closeup(
            queue=self._shown,
            strategy=self._params.get("Strategy", ""),
            callers=self._callers,
            seats=tuple(self._seats),
            now=self._now,
            ring_in_use={"0": False, "1": True}.get(ring_in_use),
            # a queue of queues.conf has one of these at least; if none can be read, neither can what is missing
            rules=_rules(wrapup, join_empty) if strategy or wrapup or join_empty else None,
        )


def _rules(wrapup: str, join_empty: str) -> QueueRules:
    try:
        return QueueRules(wire.number(wrapup), join_empty)
    except ValueError:  # as it is where nothing is set
        return QueueRules(0, join_empty)


def _getvar(expression: str) -> bytes:
    return wire.encode([("Action", "Getvar"), ("Variable", expression)])
