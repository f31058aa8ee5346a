"""A private PostgreSQL: a real one, in a temporary folder and on a free port of loopback.

For tests and benchmarks. Needs Debian's `postgresql` (`scripts/debian-packages`) and nothing of what may be configured
on the machine. Starts in about two seconds. What it commits is on the disk (`fsync`), as the store demands.
"""

import contextlib
import os
import secrets
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from plantel.testing.guard import children, freeze
from plantel.testing.private_server import ServerFailed, free_port
from plantel.testing.temporary_server import TemporaryServer

OLDEST = 15
"""The release that the store needs."""

_PROGRAMS = Path("/usr/lib/postgresql")


def programs() -> Path:
    """The folder with the programs of the newest release. Raises ServerFailed."""
    found = [folder for folder in _PROGRAMS.glob("*/bin") if (folder / "initdb").exists()]
    release, folder = max(((int(folder.parent.name), folder) for folder in found), default=(0, _PROGRAMS))
    if release < OLDEST:
        raise ServerFailed(f"no PostgreSQL {OLDEST} or later below {_PROGRAMS}: run scripts/debian-packages test")
    return folder


class PrivatePostgresql(TemporaryServer):
    """A PostgreSQL of one's own.

    Databases belong to the role `plantel`, which has no other right. Text is ordered as people do it by default, so
    that whoever needs another order has to say so.
    """

    name = "PostgreSQL"
    _logs = ("log",)
    _users = ("postgres", "nobody")
    _stop_signal = signal.SIGINT  # which ends connections, too

    def __init__(self, settings: Mapping[str, str] | None = None, *, within: Path | None = None) -> None:
        """`settings`: of postgresql.conf. `within`: as `TemporaryServer`."""
        super().__init__(within=within)
        self.port = free_port(socket.SOCK_STREAM)
        self.data = self.directory / "data"
        self.password = secrets.token_hex(16)
        self._settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            **(settings or {}),
        }

    def url(self, database: str, user: str = "plantel") -> str:
        """For `open_store`. `user`: `plantel`, or `postgres`, who may do everything."""
        return f"postgresql://{user}:{self.password}@{self.host}:{self.port}/{database}"

    def make(self) -> None:
        """Make its files and its role."""
        secret = self.directory / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)  # nobody else can enter the directory
        self.run(
            "initdb",
            f"--pgdata={self.data}",
            "--username=postgres",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--locale-provider=icu",
            "--icu-locale=es",
            "--no-sync",
        )
        secret.unlink()
        # where it is not started, nobody has to log in
        statement = sql.SQL("CREATE ROLE plantel LOGIN PASSWORD {}").format(sql.Literal(self.password))
        self._run(
            programs() / "postgres", "--single", "-D", self.data, "postgres", given=statement.as_string().encode()
        )

    def run(self, program: str, *arguments: str, seconds: float = 60.0) -> str:
        """What a program of the package prints, run as the server's user. Raises ServerFailed."""
        return self._run(programs() / program, *arguments, seconds=seconds)

    def kill(self) -> None:
        """End all its processes at once (SIGKILL)."""
        if self.pid is not None:
            freeze(self.pid)  # so that none is started meanwhile
        super().kill()

    def freeze(self) -> None:
        super().freeze()
        assert self.pid is not None
        for pid in children(self.pid):
            with contextlib.suppress(ProcessLookupError):
                freeze(pid)

    def execute(self, statement: str, *values: object, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement as `postgres`; its rows, if it has any."""
        with psycopg.connect(self.url(database, "postgres"), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(sql.SQL(statement), values or None)
            return cursor.fetchall() if cursor.description is not None else []

    def database(self, name: str) -> str:
        """Make an empty database; its URL for the role `plantel`."""
        self.execute(f"CREATE DATABASE {name} OWNER plantel")
        return self.url(name)

    @property
    def _environment(self) -> Mapping[str, str]:
        return {"PGPASSWORD": self.password}

    def _command(self) -> Sequence[str | Path]:
        settings = (f"--{name}={value}" for name, value in self._settings.items())
        return programs() / "postgres", "-D", self.data, *settings

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            for pid in (self.pid, *children(self.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def _answers(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().split()
        except FileNotFoundError:
            return False
        # while it is written it may be short; after a crash it is still that of the process before
        return lines[:1] == [str(self.pid)] and lines[-1] == "ready"
