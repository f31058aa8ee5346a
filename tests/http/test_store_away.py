"""The store's files deleted, replaced or written over, and its disk full, while the service runs on them."""

import json
import os
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.door import item
from tests.support.integrator import within
from tests.support.server import PlantelServer, served
from tests.support.wire import PATIENCE, Answer, Wire, add, head
from tests.support.wire import names as wire_names

VENTAS = "Ventas->"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PlantelServer]:
    folder = tmp_path / "store"
    folder.mkdir()
    made = PlantelServer(folder)
    made.declare([VENTAS])
    assert made.token
    made.config = made.config.rename(tmp_path / "plantel.toml")
    made.log = tmp_path / "plantel.log"
    with served(made):
        assert adds(made, "before").body == b"1"
        yield made


def adds(server: PlantelServer, name: str) -> Answer:
    with Wire(server.port) as wire:
        return wire.send(add(server.token, [item(name, phone=f"SIP/{name}")])).answer()


def health(server: PlantelServer) -> tuple[int, str]:
    with Wire(server.port) as wire:
        answer = wire.send(head(server.token, None, path="/health", method="GET")).answer()
    return answer.status, json.loads(answer.body)["status"]


def told(server: PlantelServer) -> list[str]:
    """The store's states, as the log tells them."""
    return [line for line in server.log.read_text().splitlines() if "] store " in line]


WELL, AWAY = (200, "ok"), (503, "store_unavailable")


def file(server: PlantelServer, more: str = "") -> Path:
    return server.folder / f"plantel.db{more}"


# --- the files --------------------------------------------------------------------------------------------------------


def delete(server: PlantelServer) -> None:
    for more in ("", "-wal", "-shm", "-lease"):
        file(server, more).unlink(missing_ok=True)


def delete_file(server: PlantelServer) -> None:
    file(server).unlink()


def delete_log(server: PlantelServer) -> None:
    file(server, "-wal").unlink()


def delete_index(server: PlantelServer) -> None:
    file(server, "-shm").unlink()


def replace(server: PlantelServer) -> None:
    """By a copy of itself, as a backup is put back."""
    shutil.copy2(file(server), file(server, ".backup"))
    file(server, ".backup").replace(file(server))


def move_folder(server: PlantelServer) -> None:
    server.folder.rename(server.folder.with_name("elsewhere"))


def write_over(server: PlantelServer) -> None:
    """By another store, with the same name and number."""
    other = server.folder.parent / "other"
    other.mkdir()
    made = PlantelServer(other)
    made.declare([VENTAS])
    with closing(sqlite3.connect(other / "plantel.db")) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with file(server).open("r+b") as out:
        out.write((other / "plantel.db").read_bytes())


@pytest.mark.parametrize(
    "harm",
    [delete, delete_file, delete_log, delete_index, replace, move_folder, write_over],
    ids=lambda one: one.__name__,
)
def test_nothing_is_confirmed_once_the_files_are_not_those_that_were_opened(
    server: PlantelServer, harm: Callable[[PlantelServer], None]
) -> None:
    again = [item("before", phone="SIP/before")]
    with Wire(server.port) as wire:
        assert wire.send(add(server.token, again)).answer().body == b"1"
        harm(server)
        assert within(PATIENCE, lambda: health(server) == AWAY)
        answer = wire.send(add(server.token, again)).answer()
        assert (answer.status, answer.body, answer.code) == (503, b"0", "store_unavailable"), "also what was stored"
    answer = adds(server, "after")
    assert (answer.status, answer.body, answer.code) == (503, b"0", "store_unavailable")
    assert health(server) == AWAY
    (line,) = told(server)
    assert "store_unavailable" in line
    assert "plantel.db" in line
    assert server.stop() == 0


def test_it_goes_on_once_they_are_moved_back(server: PlantelServer) -> None:
    elsewhere = server.folder.with_name("elsewhere")
    server.folder.rename(elsewhere)
    assert within(PATIENCE, lambda: health(server) == AWAY)
    assert adds(server, "meanwhile").body == b"0"
    elsewhere.rename(server.folder)
    assert within(PATIENCE, lambda: health(server) == WELL)
    assert adds(server, "after").body == b"1"
    assert len(told(server)) == 2
    server.kill()
    assert [one["membername"] for one in server.members(VENTAS)] == ["after", "before"]


def test_what_is_found_at_a_restart_is_used(server: PlantelServer) -> None:
    """A backup that was put in place is neither changed by the end of the service, nor loses its log to it."""
    replace(server)
    before = file(server).read_bytes()
    assert within(PATIENCE, lambda: health(server) == AWAY)
    assert server.stop() == 0
    assert file(server).read_bytes() == before
    server.start()
    assert within(PATIENCE, lambda: health(server) == WELL)
    assert adds(server, "after").body == b"1"


def test_other_programs_may_copy_the_log_into_the_file(server: PlantelServer) -> None:
    """`plantel` itself does, as any that uses SQLite: it changes the file, and not what is in it."""
    with closing(sqlite3.connect(file(server))) as other:
        for number in range(5):
            assert adds(server, f"agent-{number}").body == b"1"
            before = file(server).stat().st_mtime_ns
            other.execute("PRAGMA wal_checkpoint(PASSIVE)")
            assert file(server).stat().st_mtime_ns != before
            assert not within(0.7, lambda: health(server) != WELL)
    assert told(server) == []


# --- the disk ---------------------------------------------------------------------------------------------------------


@contextmanager
def no_room(server: PlantelServer) -> Iterator[None]:
    """Within the block no file of the server's can grow beyond the store's largest: its disk is as good as full."""
    assert server.process is not None
    largest = max(one.stat().st_size for one in server.folder.glob("plantel.db*"))
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_health_says_so_while_nothing_can_be_stored_and_recovers_without_traffic(server: PlantelServer) -> None:
    with no_room(server):
        stored = 1
        while (answer := adds(server, f"agent-{stored}")).body == b"1":
            stored += 1
        assert answer.status == 503
        assert answer.code in {"store_full", "store_unavailable"}, "a limit is no full disk, quite"
        assert within(PATIENCE, lambda: health(server) == (503, answer.code))
        assert not within(1.5, lambda: health(server) == WELL), "it lasts as long as the disk is full"
    assert within(PATIENCE, lambda: health(server) == WELL)
    assert len(told(server)) == 2
    assert adds(server, "after").body == b"1"
    with Wire(server.port) as wire:
        assert len(wire_names(wire, server.token, VENTAS)) == stored + 1


# --- who may read it --------------------------------------------------------------------------------------------------


def test_all_that_is_made_is_for_its_owner_only(tmp_path: Path) -> None:
    server = PlantelServer(tmp_path)
    before = os.umask(0)
    try:
        with served(server):
            server.declare([VENTAS])
            assert adds(server, "one").body == b"1"
            made = sorted(tmp_path.glob("plantel.db*"))
            assert [one.name for one in made] == ["plantel.db", "plantel.db-shm", "plantel.db-wal"]
            assert {one.stat().st_mode & 0o777 for one in made} == {0o600}
    finally:
        os.umask(before)
