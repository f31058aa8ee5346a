"""A private MariaDB: a real one, with every file below one temporary directory and its port on loopback.

For tests and benchmarks. Needs Debian's `mariadb-server-core` and `mariadb-client-core` (`scripts/debian-packages`
installs them; neither brings a service), no root, and nothing of what may be configured on the machine. An answer is as
durable as on a server of its own: the log is flushed at every commit. Ready in two seconds.
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
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymysql  # type: ignore[import-untyped]  # it comes without types

from plantel.testing.asterisk import free_port

_PROGRAM_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))

_IN_HASTE = ("--skip-sync-frm", "--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0")
"""For the making of the system tables only: nothing is lost that could not be made again."""


class MariadbMissing(Exception):
    """A program of MariaDB is not on this machine; the message tells which."""


class MariadbFailed(Exception):
    """MariaDB did not do what was needed in time; the message holds the end of its log."""


class PrivateMariadb:
    """A MariaDB of one's own, with a user `plantel` who may do everything in the databases made by `make_database`.

    Run by root, it runs as `mysql` or else as `nobody`, since MariaDB refuses root. As a context manager it is started,
    stopped and taken away. Methods block; from a coroutine, call them in a thread.
    """

    def __init__(self, options: Sequence[str] = (), *, within: Path | None = None) -> None:
        """`options`: more arguments of `mariadbd`. `within`: where to make the temporary directory, such as on another
        disk. Raises MariadbMissing."""
        self.host = "127.0.0.1"
        self.port = free_port(socket.SOCK_STREAM)
        self.username = "plantel"
        self.password = secrets.token_hex(16)
        self._server = _program("mariadbd")
        self._installer = _program("mariadb-install-db")
        self._options = tuple(options)
        self._databases = 0
        self._process: subprocess.Popen[bytes] | None = None
        # not below a directory of the caller's, which may be closed to the user that the server runs as
        self.directory = Path(tempfile.mkdtemp(prefix="plantel-mariadb-", dir=within))
        self._user = _unprivileged_user()
        if self._user is not None:
            os.chown(self.directory, self._user.pw_uid, self._user.pw_gid)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self, seconds: float = 60.0) -> None:
        """Start, and return once it answers. Raises MariadbFailed after `seconds`, or when it exits."""
        assert self.pid is None, "it is running"
        if not (self.directory / "data").exists():
            self._install(seconds)
        self._process = self._popen(
            self._server,
            "--no-defaults",
            f"--datadir={self.directory / 'data'}",
            f"--socket={self._socket}",
            f"--pid-file={self.directory / 'pid'}",
            f"--log-error={self._log}",
            f"--tmpdir={self.directory}",
            f"--bind-address={self.host}",
            f"--port={self.port}",
            "--skip-name-resolve",
            "--innodb-flush-log-at-trx-commit=1",
            *self._options,
        )
        try:
            self._wait_until_it_answers(seconds)
        except BaseException:
            self.kill()
            raise

    def stop(self, seconds: float = 20.0) -> None:
        """Shut down, by force after `seconds`. Does nothing where it is not running."""
        process = self._process
        if process is None:
            return
        process.terminate()
        self.thaw()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop, then start on the same port with the same data."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it hang (SIGSTOP): connections stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """End it at once, and take away all that it has stored."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

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
    def _log(self) -> Path:
        return self.directory / "log"

    def _administrator(self) -> Any:
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

    def _install(self, seconds: float) -> None:
        """Make the system tables."""
        process = self._popen(
            self._installer,
            "--no-defaults",
            f"--datadir={self.directory / 'data'}",
            f"--tmpdir={self.directory}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            *_IN_HASTE,
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.returncode:
            raise MariadbFailed(f"mariadb-install-db ended with {process.returncode}\n{self._log_end()}")

    def _popen(self, *arguments: str) -> "subprocess.Popen[bytes]":
        user = self._user
        with (self.directory / "console").open("ab") as console:
            return subprocess.Popen(  # noqa: S603 - a program found on the path, on files of our own
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                cwd=self.directory,
                user=None if user is None else user.pw_uid,
                group=None if user is None else user.pw_gid,
                extra_groups=None if user is None else (),
                start_new_session=True,  # a Ctrl-C at the terminal is for whoever started us, who then stops it
            )

    def _wait_until_it_answers(self, seconds: float) -> None:
        assert self._process is not None
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._administrator().close()
            except (OSError, pymysql.Error) as error:
                if self._process.poll() is not None:
                    raise MariadbFailed(f"it exited with {self._process.returncode}\n{self._log_end()}") from error
                if time.monotonic() >= deadline:
                    raise MariadbFailed(f"no answer within {seconds} s\n{self._log_end()}") from error
                time.sleep(0.02)  # until its socket is there; only asking again tells
            else:
                break
        self.sql(f"CREATE USER IF NOT EXISTS {self.username}@'127.0.0.1' IDENTIFIED BY '{self.password}'")

    def _log_end(self) -> str:
        lines: list[str] = []
        for path in (self.directory / "console", self._log):
            with contextlib.suppress(OSError):
                lines += path.read_text(errors="replace").splitlines()[-20:]
        return "\n".join(lines)


def _program(name: str) -> str:
    program = shutil.which(name, path=_PROGRAM_PATH)
    if program is None:
        raise MariadbMissing(f"there is no {name} on this machine: scripts/debian-packages test installs it")
    return program


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Whom to run the server as; None for whoever we are."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("mysql")
    except KeyError:
        return pwd.getpwnam("nobody")
