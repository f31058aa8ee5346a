"""A private PostgreSQL: a real one, in a temporary folder and on a free port of loopback.

For tests and benchmarks. Needs Debian's `postgresql` (`scripts/debian-packages`) and nothing of what may be configured
on the machine. Starts in about two seconds. What it commits is on the disk (`fsync`), as the store demands.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from plantel.testing.asterisk import free_port

OLDEST = 15
"""The release that the store needs."""

_USERS = ("postgres", "nobody")
"""Whom to run it as where we are root, which PostgreSQL refuses."""

_PROGRAMS = Path("/usr/lib/postgresql")


class PostgresqlFailed(Exception):
    """PostgreSQL is not installed, or did not do what was needed in time; the message holds the end of its log."""


def programs() -> Path:
    """The folder with the programs of the newest release. Raises PostgresqlFailed."""
    found = [folder for folder in _PROGRAMS.glob("*/bin") if (folder / "initdb").exists()]
    release, folder = max(((int(folder.parent.name), folder) for folder in found), default=(0, _PROGRAMS))
    if release < OLDEST:
        raise PostgresqlFailed(f"no PostgreSQL {OLDEST} or later below {_PROGRAMS}: run scripts/debian-packages test")
    return folder


class PrivatePostgresql:
    """A PostgreSQL of one's own.

    As a context manager it is started, and at the end removed. Methods block; from a coroutine, call them
    in a thread. Databases belong to the role `plantel`, which has no other right. Text is ordered as people do it by
    default, so that whoever needs another order has to say so.
    """

    def __init__(self, settings: Mapping[str, str] | None = None, *, within: Path | None = None) -> None:
        """`settings`: of postgresql.conf. `within`: where to make the temporary folder, such as on another disk."""
        self.host = "127.0.0.1"
        self.port = free_port(socket.SOCK_STREAM)
        self.folder = Path(tempfile.mkdtemp(prefix="plantel-postgresql-", dir=within))
        self.data = self.folder / "data"
        self.password = secrets.token_hex(16)
        self._settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._user = next(filter(_is_there, _USERS)) if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self.folder, self._user)

    def __enter__(self) -> Self:
        try:
            self.make()
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()  # to stop it would write down what nobody reads any more

    def url(self, database: str, user: str = "plantel") -> str:
        """For `open_store`. `user`: `plantel`, or `postgres`, who may do everything."""
        return f"postgresql://{user}:{self.password}@{self.host}:{self.port}/{database}"

    def make(self) -> None:
        """Make its files and its role."""
        secret = self.folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)  # nobody else can enter the folder
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
        self._once("CREATE ROLE plantel LOGIN PASSWORD {}")

    def _once(self, statement: str) -> None:
        """Run it on the files of a server that is not started, where nobody has to log in."""
        done = subprocess.run(  # noqa: S603 - a program of the package, on files of our own
            [programs() / "postgres", "--single", "-D", self.data, "postgres"],
            input=sql.SQL(statement).format(sql.Literal(self.password)).as_string().encode(),
            capture_output=True,
            user=self._user,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise PostgresqlFailed(done.stderr.decode(errors="replace"))

    def run(self, program: str, *arguments: str, seconds: float = 60.0) -> str:
        """What a program of the package prints, run as the server's user. Raises PostgresqlFailed."""
        done = subprocess.run(  # noqa: S603 - as above
            [programs() / program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=self.folder,
            user=self._user,
            env={**os.environ, "PGPASSWORD": self.password},
            timeout=seconds,
            check=False,
        )
        if done.returncode:
            raise PostgresqlFailed(f"{program}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode(errors="replace")

    @property
    def pid(self) -> int | None:
        """The first of its processes, while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self, seconds: float = 60.0) -> None:
        """Start, and return once it takes connections. Raises PostgresqlFailed after `seconds`, or when it exits."""
        assert self.pid is None, "it is running"
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - as above
                [programs() / "postgres", "-D", self.data, *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                user=self._user,
                start_new_session=True,  # a Ctrl-C at the terminal is for whoever started us, who then stops it
            )
        deadline = time.monotonic() + seconds
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() >= deadline:
                self.crash()
                raise PostgresqlFailed(f"PostgreSQL has not started within {seconds} s\n{self.log_end()}")
            time.sleep(0.01)  # only its file tells

    def stop(self, seconds: float = 20.0) -> None:
        """Shut down, ending connections; by force after `seconds`. Does nothing where it is not running."""
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        self.thaw()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.crash()
        self._process = None

    def crash(self) -> None:
        """End all its processes at once (SIGKILL)."""
        process = self._process
        if process is None:
            return
        self._signal(signal.SIGSTOP)  # so that none is started meanwhile
        self._signal(signal.SIGKILL)
        process.wait()
        self._process = None

    def restart(self) -> None:
        """Stop, then start on the same port."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let all its processes hang (SIGSTOP): connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            for pid in (self.pid, *_children(self.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def execute(self, statement: str, *values: object, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement as `postgres`; its rows, if it has any."""
        with psycopg.connect(self.url(database, "postgres"), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(sql.SQL(statement), values or None)
            return cursor.fetchall() if cursor.description is not None else []

    def database(self, name: str) -> str:
        """Make an empty database; its URL for the role `plantel`."""
        self.execute(f"CREATE DATABASE {name} OWNER plantel")
        return self.url(name)

    def log_end(self) -> str:
        """The last lines of its log."""
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-20:])

    def remove(self) -> None:
        """Remove its files."""
        self.crash()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().split()
        except FileNotFoundError:
            return False
        # while it is written it may be short; after a crash it is still that of the process before
        return lines[:1] == [str(self.pid)] and lines[-1] == "ready"


def _is_there(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _children(parent: int) -> list[int]:
    """The processes that `parent` has started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(status.parent.name))
    return found
