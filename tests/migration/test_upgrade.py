"""Nodes of two releases on one database, of which the newer one changes the schema."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text

from plantel import errors
from plantel.roster import Member
from plantel.store import open_store, schema
from plantel.store.mariadb.database import MariadbDatabase
from plantel.store.postgresql.database import PostgresqlDatabase
from plantel.store.sqlite.connection import engine
from plantel.store.store import SqlStore
from tests.support import newer_release
from tests.support.rosters import added, declared, roster
from tests.support.server import PlantelServer

pytestmark = pytest.mark.anyio

SECONDS = 60
VENTAS = "Ventas->"


class Newer:
    """A node of the next release that is starting."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: list[str] = []

    async def says(self, line: str) -> None:
        """Wait for it. Fails where the process ends without."""
        assert self._process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while line not in self.said:
                found = await self._process.stdout.readline()
                assert found, f"{line!r} is not in {self.said}"
                self.said.append(found.decode().strip())

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    async def opened(self) -> None:
        """Let it go on, and wait for its end."""
        self.go_on()
        await self.says("open")
        await self.ended()

    async def killed(self) -> None:
        self._process.kill()
        await self.ended()

    async def ended(self) -> None:
        async with asyncio.timeout(SECONDS):
            await self._process.wait()


@asynccontextmanager
async def newer(url: str) -> AsyncIterator[Newer]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(newer_release.__file__)),
        url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Newer(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def old(url: str) -> AsyncIterator[SqlStore]:
    """A node of this release."""
    store = await asyncio.to_thread(open_store, url)
    try:
        yield store
    finally:
        await store.close()


def member(number: int) -> Member:
    return Member(VENTAS, f"agent {number:04}", f"SIP/{number}")


def database_of(url: str) -> Engine:
    if url.startswith("sqlite"):
        return engine(url.removeprefix("sqlite:///"))
    return (PostgresqlDatabase(url) if url.startswith("postgresql") else MariadbDatabase(url)).engine


def migrated(url: str) -> list[tuple[str, str | None]]:
    """The campaigns with their new column. Fails where the migration is not whole."""
    with database_of(url).connect() as connection:
        version = connection.execute(select(schema.alembic_version.c.version_num)).scalar_one()
        assert version == newer_release.VERSION
        assert connection.execute(text("SELECT count(*) FROM notes")).scalar_one() == 0
        assert schema.MIGRATING not in connection.execute(select(schema.keys.c.name)).scalars().all()
        return [(row.name, row.note) for row in connection.execute(text("SELECT name, note FROM campaigns"))]


def stored(url: str) -> list[str]:
    """The agents."""
    with database_of(url).connect() as connection:
        return list(connection.execute(select(schema.members.c.membername)).scalars())


async def test_a_node_at_work_stores_nothing_more_once_a_newer_one_migrates(store_url: str) -> None:
    answered: list[str] = []

    async def work(store: SqlStore, first: int) -> None:
        for number in range(first, first + 1_000_000):
            try:
                await store.write(added(member(number)))
            except errors.SchemaTooNew:
                return
            answered.append(member(number).membername)
        pytest.fail("it goes on")

    async with old(store_url) as store, old(store_url) as another, newer(store_url) as upgraded:
        await store.write(declared(VENTAS))
        tasks = [asyncio.create_task(work(one, first)) for one, first in ((store, 0), (another, 10_000_000))]
        await upgraded.says("half")
        await upgraded.opened()
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*tasks)
        for one in (store, another):
            with pytest.raises(errors.SchemaTooNew):
                await one.changed_elsewhere()
            with pytest.raises(errors.SchemaTooNew):
                await roster(one)
    assert answered
    assert sorted(stored(store_url)) == sorted(answered)
    assert migrated(store_url) == [(VENTAS, VENTAS)]


async def test_a_migration_that_is_killed_half_way_is_done_by_the_next_start(store_url: str) -> None:
    async with old(store_url) as store:
        await store.write(declared(VENTAS))
        async with newer(store_url) as first:
            await first.says("half")
            await first.killed()
        if store_url.startswith("mariadb"):  # what was done stays done there
            with pytest.raises(errors.SchemaTooNew, match=newer_release.VERSION):
                await store.write(added(member(1)))
            with pytest.raises(errors.SchemaTooNew, match=newer_release.VERSION):
                open_store(store_url)
        else:
            await store.write(added(member(1)))
            async with old(store_url) as another:
                assert await roster(another) == [member(1)]
        before = stored(store_url)
        async with newer(store_url) as second:
            await second.opened()
    assert migrated(store_url) == [(VENTAS, VENTAS)]
    assert stored(store_url) == before


async def test_of_two_newer_nodes_one_migrates_and_the_other_waits(store_url: str) -> None:
    async with old(store_url) as store:
        await store.write(declared(VENTAS))
    async with newer(store_url) as first, newer(store_url) as second:
        whole = [asyncio.create_task(one.opened()) for one in (first, second)]
        await asyncio.gather(*whole)
        assert sorted([*first.said, *second.said]) == ["half", "migrating", "open", "open"]
    assert migrated(store_url) == [(VENTAS, VENTAS)]


async def test_two_nodes_that_start_on_an_empty_database_are_both_at_work(store_url: str) -> None:
    async with newer(store_url) as first, newer(store_url) as second:
        await asyncio.gather(first.opened(), second.opened())
        assert [first.said, second.said] == [["open"], ["open"]]


async def test_what_is_in_the_way_of_a_migration_is_named(store_url: str) -> None:
    async with old(store_url) as store:
        await store.write(declared(VENTAS))
        await store.write(declared(VENTAS, instance="globex"))  # the new index is for names that are there once
        async with newer(store_url) as failing:
            failing.go_on()
            await failing.says("migration_failed")
            await failing.ended()
        with database_of(store_url).connect() as connection:
            connection.execute(text("DELETE FROM campaigns WHERE instance = 'globex'"))
        async with newer(store_url) as again:
            await again.opened()
    assert migrated(store_url) == [(VENTAS, VENTAS)]


@pytest.mark.parametrize("command", [["serve"], ["check"], ["member", "list", VENTAS], ["store", "copy"]])
async def test_every_command_of_an_older_release_says_that_the_store_is_newer(
    tmp_path: Path, command: list[str], sqlite_url: str
) -> None:
    async with old(sqlite_url) as store:
        await store.write(declared(VENTAS))
    async with newer(sqlite_url) as upgraded:
        await upgraded.opened()
    server = PlantelServer(tmp_path, store=sqlite_url)
    if command == ["store", "copy"]:
        command = [*command, sqlite_url, f"sqlite:///{tmp_path}/copy.db"]
    for lang, said in (
        ("en", "was written by a newer Plantel (schema 0002)"),
        ("es", "lo escribió un Plantel más nuevo"),
    ):
        done = await asyncio.to_thread(server.outcome, *command, lang=lang)
        told = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == 1
        assert said in told
        assert "Traceback" not in told
    assert migrated(sqlite_url) == [(VENTAS, VENTAS)]
