"""Whoever watches the queues of a real Asterisk: what became of each member, in Asterisk's own order."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Self

from plantel.ami import wire
from plantel.ami.client import Connection, Deadlines, Endpoint, connect
from plantel.secret import Secret
from plantel.testing.asterisk import AmiUser, PrivateAsterisk

_PING = wire.encode([("Action", "Ping")])

_TOLD = {"QueueMemberAdded": "added", "QueueMemberPenalty": "penalty", "QueueMemberRemoved": "removed"}


class Witness:
    """Takes down every event about a member, over a line of its own."""

    def __init__(self) -> None:
        self._stories: dict[str, list[str]] = {}
        self._connection: Connection | None = None

    @classmethod
    @asynccontextmanager
    async def of(cls, asterisk: PrivateAsterisk, user: AmiUser) -> AsyncIterator[Self]:
        """Watching within the block."""
        made = cls()
        endpoint = Endpoint("witness", asterisk.host, asterisk.ami_port, user.name, Secret(user.secret))
        made._connection = await connect(endpoint, Deadlines(), made._hear, lambda: None)
        try:
            yield made
        finally:
            await made._connection.close()

    async def stories(self) -> Mapping[str, Sequence[str]]:
        """Of each membername what has happened by now, such as `added 1`, `penalty 2`, `removed 2`.

        Raises SwitchError where not all of it was heard.
        """
        assert self._connection is not None
        for _ in range(2):
            await self._connection.request(_PING)  # between two actions Asterisk sends what events there are
        return self._stories

    def _hear(self, event: wire.Message) -> None:
        headers = event.headers
        told = _TOLD.get(headers.get("Event", ""))
        if told is not None:
            self._stories.setdefault(headers["MemberName"], []).append(f"{told} {headers['Penalty']}")
