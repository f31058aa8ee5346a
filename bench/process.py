"""A server as a process of its own, and what the kernel knows of it."""

import contextlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.measure import BenchFailed
from plantel.testing.asterisk import free_port

ROOT = Path(__file__).resolve().parents[1]
START, STOP = 20.0, 30.0
"""Seconds within which a server must accept connections, and end."""

_TICKS = os.sysconf("SC_CLK_TCK")


class ServerProcess:
    """`command`, which listens on `port` of the loopback, from the beginning of the `with` block to its end."""

    def __init__(
        self, command: Sequence[str], port: int, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """`environment` is added to our own."""
        self.port = port
        self._environment = dict(environment or {})
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PLANTEL_")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=clean | self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._wait_until_accepting()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def processor_seconds(self) -> float:
        """Processor time used so far, in user and kernel mode, by all threads; the kernel counts it in hundredths."""
        fields = self._read("stat").rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def processor_seconds_by_thread(self) -> dict[str, float]:
        """The same of each thread by its number, in nanoseconds exactly; that of the first is `""`."""
        assert self._process is not None
        number = str(self._process.pid)
        seconds = {}
        for task in Path(f"/proc/{number}/task").iterdir():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                spent = int((task / "schedstat").read_text().split()[0])
                seconds["" if task.name == number else task.name] = spent / 1e9
        return seconds

    def resident(self) -> int:
        """Bytes of memory in use."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """The most bytes of memory that were ever in use, or since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Have `peak` count from now on."""
        assert self._process is not None
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        found = re.search(rf"^{name}:\s*([0-9]+) kB$", self._read("status"), re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def _read(self, name: str) -> str:
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/{name}").read_text()

    def _wait_until_accepting(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)  # nothing announces that the socket listens
            else:
                return
        raise BenchFailed(f"a server did not start\n{self._log.read_text(errors='replace')}")

    def _stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_tcp_port() -> int:
    """A loopback port on which nothing listens now."""
    return free_port(socket.SOCK_STREAM)
