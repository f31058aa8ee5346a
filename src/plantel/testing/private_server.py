"""What the private servers of this package have in common: a process on loopback, awaited until it answers."""

import contextlib
import os
import pwd
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from plantel.testing.guard import Guard, freeze

# Below the ports that the kernel gives to outgoing connections, so that none of those takes one during a restart.
_PORTS = range(16000, 32000)


class ServerFailed(Exception):
    """A server is not installed, or did not do what was needed in time; the message holds the end of its log."""


def free_port(kind: socket.SocketKind) -> int:
    """A port of 127.0.0.1 on which nothing listens now. Another program may take it meanwhile."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerFailed("no free port on 127.0.0.1")


class PrivateServer(ABC):
    """A server of one's own, with its files below `directory`.

    As a context manager it is started and stopped. Methods block; from a coroutine, call them in a thread. However this
    program ends, the server ends with it.
    """

    name: ClassVar[str]
    host = "127.0.0.1"

    _logs: ClassVar[Sequence[str]]
    """Where they are below `directory`. Into the first goes what the server prints."""

    _stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    _temporary: Path | None = None
    """What of its files to remove where this program ends before it."""

    def __init__(self, directory: Path, *, user: pwd.struct_passwd | None = None) -> None:
        """`user`: whom to run it as; None for whoever we are."""
        self.directory = directory
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process, or the first of them, while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self, seconds: float = 60.0) -> None:
        """Start, and return once it answers. Raises ServerFailed after `seconds`, or when it exits."""
        assert self.pid is None, "it is running"
        self._ended()
        with (self.directory / self._logs[0]).open("ab") as log:
            self._process = self._popen(self._command(), subprocess.DEVNULL, log.fileno(), log.fileno())
        try:
            self._guard = Guard(self._process.pid, files=self._temporary)
            self._wait_until_it_answers(self._process, seconds)
        except BaseException:
            self.kill()
            raise

    def stop(self, seconds: float = 20.0) -> None:
        """Shut down, by force after `seconds`. Does nothing where it is not running."""
        process = self._process
        if process is None:
            return
        process.send_signal(self._stop_signal)
        self.thaw()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self._ended()

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash does."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._ended()

    def restart(self) -> None:
        """Stop, then start on the same ports with the same files."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it hang (SIGSTOP): from now on connections stay open and nothing answers."""
        assert self.pid is not None, "it is not running"
        freeze(self.pid)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self._signal(signal.SIGCONT)

    def log_end(self) -> str:
        """The last lines of its logs."""
        lines: list[str] = []
        for name in self._logs:
            with contextlib.suppress(FileNotFoundError):
                lines += (self.directory / name).read_text(errors="replace").splitlines()[-20:]
        return "\n".join(lines)

    @abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """The program and its arguments."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it is ready; told within a few seconds. Raises ServerFailed where it never will be."""

    @property
    def _environment(self) -> Mapping[str, str]:
        """What its programs need besides ours."""
        return {}

    def _run(self, *command: str | Path, given: bytes = b"", seconds: float = 60.0) -> str:
        """What a program prints that works on its files, as the same user. Raises ServerFailed."""
        with self._popen(command, subprocess.PIPE, subprocess.PIPE, subprocess.PIPE) as process:
            try:
                printed, complaints = process.communicate(given, seconds)
            except subprocess.TimeoutExpired as error:
                raise ServerFailed(f"{command[0]} has not ended within {seconds} s") from error
            finally:
                process.kill()  # which does nothing to one that has ended
        if process.returncode:
            said = (complaints or printed).decode(errors="replace").strip()
            raise ServerFailed(f"{command[0]} ended with {process.returncode}\n{said}")
        return printed.decode(errors="surrogateescape")

    def _popen(self, command: Sequence[str | Path], stdin: int, stdout: int, stderr: int) -> "subprocess.Popen[bytes]":
        user = self._user
        return subprocess.Popen(  # noqa: S603 - a program that was looked for, on files of our own; there is no shell
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=self.directory,
            env={**os.environ, **self._environment},
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else (),
            start_new_session=True,  # a Ctrl-C at the terminal is for whoever started us, who then stops it
        )

    def _wait_until_it_answers(self, process: "subprocess.Popen[bytes]", seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._answers():
            if process.poll() is not None:
                raise ServerFailed(f"{self.name} exited with {process.returncode}\n{self.log_end()}")
            if time.monotonic() >= deadline:
                raise ServerFailed(f"{self.name} has not started within {seconds} s\n{self.log_end()}")
            time.sleep(0.02)  # nothing tells; only asking again does

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _ended(self) -> None:
        self._process = None
        if self._guard is not None:
            self._guard.close()
            self._guard = None
