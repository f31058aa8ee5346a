"""A private MariaDB: a real one, with every file below one temporary directory and its port on loopback.

For tests and benchmarks. Needs Debian's `mariadb-server-core` and `mariadb-client-core` (`scripts/debian-packages`
installs them; neither brings a service), no root, and nothing of what may be configured on the machine. An answer is as
durable as on a server of its own: the log is flushed at every commit. Ready in two seconds.
"""

import os
import secrets
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymysql
from pymysql.cursors import Cursor

from plantel.testing.private_server import ServerFailed, free_port
from plantel.testing.temporary_server import TemporaryServer

_PROGRAM_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))

_IN_HASTE = ("--skip-sync-frm", "--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0")
"""For the making of the system tables only: nothing is lost that could not be made again."""


class PrivateMariadb(TemporaryServer):
    """A MariaDB of one's own, with a user `plantel` who may do everything in the databases made by `make_database`."""

    name = "MariaDB"
    _logs = ("console", "log")
    _users = ("mysql", "nobody")

    def __init__(self, options: Sequence[str] = (), *, within: Path | None = None) -> None:
        """`options`: more arguments of `mariadbd`. `within`: as `TemporaryServer`. Raises ServerFailed."""
        self._server = _program("mariadbd")
        self._installer = _program("mariadb-install-db")
        super().__init__(within=within)
        self.port = free_port(socket.SOCK_STREAM)
        self.username = "plantel"
        self.password = secrets.token_hex(16)
        self._options = tuple(options)
        self._databases = 0

    def make(self) -> None:
        """Make the system tables."""
        self._run(
            self._installer,
            *self._places,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            *_IN_HASTE,
        )

    def make_database(self) -> str:
        """An empty database of a name of its own; its URL, with user and password."""
        self._databases += 1
        name = f"plantel_{self._databases}"
        self.sql(f"CREATE DATABASE {name}", f"GRANT ALL ON {name}.* TO {self.username}@'127.0.0.1'")
        return self.url(name)

    def url(self, database: str) -> str:
        """For `store.url`."""
        return f"mariadb://{self.username}:{self.password}@{self.host}:{self.port}/{database}"

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run the statements as the administrator; the rows of the last."""
        with self._administrator() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    @property
    def _socket(self) -> Path:
        return self.directory / "socket"

    @property
    def _places(self) -> Sequence[str]:
        return "--no-defaults", f"--datadir={self.directory / 'data'}", f"--tmpdir={self.directory}"

    def _command(self) -> Sequence[str]:
        return (
            self._server,
            *self._places,
            f"--socket={self._socket}",
            f"--pid-file={self.directory / 'pid'}",
            f"--log-error={self.directory / 'log'}",
            f"--bind-address={self.host}",
            f"--port={self.port}",
            "--skip-name-resolve",
            "--innodb-flush-log-at-trx-commit=1",
            *self._options,
        )

    def _answers(self) -> bool:
        try:
            self._administrator().close()
        except (OSError, pymysql.Error):
            return False
        self.sql(f"CREATE USER IF NOT EXISTS {self.username}@'127.0.0.1' IDENTIFIED BY '{self.password}'")
        return True

    def _administrator(self) -> "pymysql.Connection[Cursor]":
        connection = pymysql.Connection(user="root", autocommit=True, read_timeout=30, defer_connect=True)
        way = socket.socket(socket.AF_UNIX)  # PyMySQL would leave its own open where nobody listens
        try:
            way.settimeout(5)
            way.connect(str(self._socket))
        except OSError:
            way.close()
            raise
        connection.connect(way)
        return connection


def _program(name: str) -> str:
    program = shutil.which(name, path=_PROGRAM_PATH)
    if program is None:
        raise ServerFailed(f"there is no {name} on this machine: scripts/debian-packages test installs it")
    return program
