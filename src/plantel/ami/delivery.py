"""One run of changes on its way to Asterisk, and what becomes of each."""

from collections.abc import Iterator, Sequence

from plantel.ami import actions, wire
from plantel.ami.client import EVENTS
from plantel.errors import ActionRefused
from plantel.plan import Action
from plantel.ports import Outcome

ECHOED_MOST = 200
"""The longest run whose own events are let through. Asterisk would send an event, 400 bytes, for each action."""

_EVENTS_OFF = wire.encode([("Action", "Events"), ("EventMask", "off")])
_EVENTS_ON = wire.encode([("Action", "Events"), ("EventMask", EVENTS)])


class Delivery:
    """Feeds `Connection.pipeline`. `outcomes` has one place for each action, filled as the answers come.

    `quiet`: the run is long, and the connection's events are off from its first action to its last.
    """

    def __init__(self, server: str, changes: Sequence[Action]) -> None:
        self.outcomes: list[Outcome] = [None] * len(changes)
        self.quiet = len(changes) > ECHOED_MOST
        self._server = server
        self._changes = changes
        self._places: list[int | None] = []

    def blocks(self) -> Iterator[bytes]:
        """The actions as bytes. One that cannot be put on the wire is refused here and left out."""
        if self.quiet:
            self._places.append(None)
            yield _EVENTS_OFF
        for place, change in enumerate(self._changes):
            try:
                block = actions.encode(change)
            except wire.Unsendable as error:
                self.outcomes[place] = ActionRefused(
                    server=self._server, action=actions.name(change), detail=str(error)
                )
                continue
            self._places.append(place)
            yield block
        if self.quiet:
            self._places.append(None)
            yield _EVENTS_ON

    def answered(self, number: int, answer: wire.Message) -> None:
        """Take the answer to block `number`."""
        place = self._places[number]
        if place is not None:
            self.outcomes[place] = actions.outcome(self._server, self._changes[place], answer)
