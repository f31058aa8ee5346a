"""Which connections have requests under way.

Only needed over TLS: there may be HTTP/2, for whose silence the server library has no deadline.
"""

import time

from plantel.http.connections import Asked
from plantel.http.rsgi import Application, Exchange, Scope


class Attendance:
    """An RSGI application around another: it notes when each connection's requests begin and end.

    `asked` and `forget` may be called in another thread.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self._asked: dict[str, Asked] = {}

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """One HTTP request."""
        client = scope.client
        self._note(client, 1)
        try:
            await self._app.__rsgi__(scope, exchange)
        finally:
            self._note(client, -1)

    def _note(self, client: str, change: int) -> None:
        before = self._asked.get(client)
        self._asked[client] = Asked(max(before.under_way + change, 0) if before else max(change, 0), time.monotonic())

    def asked(self) -> dict[str, Asked]:
        """By client, e.g. "127.0.0.1:40100"."""
        return self._asked.copy()

    def forget(self, clients: list[str]) -> None:
        """These are gone."""
        for client in clients:
            self._asked.pop(client, None)
