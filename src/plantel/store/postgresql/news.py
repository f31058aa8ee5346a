"""What the other nodes on a PostgreSQL database tell of their commits: LISTEN, over a connection of its own.

It only saves waiting. A notice that is missed, as when the connection is lost, is made up for by whoever asks from time
to time.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg

from plantel.store.postgresql.connection import CHANNEL


class PostgresqlNews:
    """For one event loop, and one task at a time."""

    def __init__(self, parameters: Mapping[str, Any], node: str) -> None:
        """`parameters`: of the connection, which is made when it is first needed. `node`: whose notices are ours."""
        self._parameters = parameters
        self._node = node
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def wait(self, seconds: float) -> None:
        """Return after `seconds`, or as soon as another node has told of a commit; later while it has to connect."""
        try:
            connection = await self._connected()
            async for notice in connection.notifies(timeout=seconds):
                if notice.payload != self._node:
                    return
        except psycopg.Error:
            await self.close()
            await asyncio.sleep(seconds)

    async def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None:
            connection = await psycopg.AsyncConnection.connect(**self._parameters, autocommit=True)
            try:
                await connection.execute(f"LISTEN {CHANNEL}")
            except BaseException:
                await connection.close()
                raise
            self._connection = connection
        return self._connection
