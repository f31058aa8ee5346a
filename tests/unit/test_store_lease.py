"""Leases that are locks of a session, on each database that has such, when the session is ended."""

import asyncio
import select
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import pytest

from plantel import errors
from plantel.store import open_store, session_lease
from plantel.store.mariadb.lease import lock_name
from plantel.store.postgresql.database import PostgresqlDatabase
from plantel.store.postgresql.lease import PostgresqlLeaseSession
from plantel.store.store import SqlStore
from plantel.testing.mariadb import PrivateMariadb
from plantel.testing.postgresql import PrivatePostgresql

pytestmark = pytest.mark.anyio

NAME = "pbx1"


class Two(NamedTuple):
    """Two nodes, and how an administrator ends the session that has the lease NAME, and no other."""

    one: SqlStore
    other: SqlStore
    end: Callable[[], object]


def _ended_postgresql(server: PrivatePostgresql, database: str) -> None:
    # nobody writes, so these are the only locks of the kind
    ((ended,),) = server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database AS d ON d.oid = database"
        " WHERE locktype = 'advisory' AND datname = %s",
        database,
    )
    assert ended


def _ended_mariadb(server: PrivateMariadb, database: str) -> None:
    name = lock_name(database, NAME)
    ((holder,),) = server.sql(f"SELECT IS_USED_LOCK('{name}')")
    server.sql(f"KILL {holder}")


@pytest.fixture(params=["postgresql", "mariadb"])
async def two(request: pytest.FixtureRequest) -> AsyncIterator[Two]:
    url: str = request.getfixturevalue(f"{request.param}_url")
    server = request.getfixturevalue(request.param)
    end = _ended_postgresql if isinstance(server, PrivatePostgresql) else _ended_mariadb
    nodes = Two(open_store(url), open_store(url), lambda: end(server, url.rpartition("/")[2]))
    yield nodes
    await nodes.one.close()
    await nodes.other.close()


async def test_a_lease_is_not_trusted_for_a_moment_once_its_session_was_ended(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With signs of life so rare, and trusted in for so long, that nothing but the connection itself can tell."""
    monkeypatch.setattr(session_lease, "BEAT_SECONDS", 600.0)
    monkeypatch.setattr(session_lease, "VALID_SECONDS", 600.0)
    for _ in range(5):
        async with two.one.lease(NAME, 5) as lease:
            lease.check()
            await asyncio.to_thread(two.end)
            async with two.other.lease(NAME, 5) as taken:
                with pytest.raises(errors.LeaseLost):
                    lease.check()
                taken.check()
        with pytest.raises(errors.LeaseLost):
            lease.check()
    async with two.one.lease(NAME, 5) as again:
        again.check()


async def test_an_answer_that_waits_to_be_read_is_not_taken_for_the_end(postgresql_url: str) -> None:
    store = open_store(postgresql_url)
    database = store._database
    assert isinstance(database, PostgresqlDatabase)
    async with store.lease(NAME, 5) as lease:
        session = database._leases._session
        assert isinstance(session, PostgresqlLeaseSession)
        asking = asyncio.ensure_future(session.ask("SELECT 1"))
        answered = select.poll()
        answered.register(session._descriptor, select.POLLIN)
        for _ in range(100):
            await asyncio.sleep(0)
            if answered.poll(50):  # while this loop, which would read it, stands still
                break
        assert not asking.done()
        lease.check()
        assert await asking == (1,)
        lease.check()
    await store.close()
