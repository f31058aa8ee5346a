"""SIPp as an agent's phone and as a caller, so that a call into a queue of a `PrivateAsterisk` can be proved to ring.

The scenarios log what happens into a pipe, read as it comes. Needs the program (Debian: `sip-tester`), no root.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from plantel.testing.asterisk import PrivateAsterisk
from plantel.testing.guard import Guard

_SCENARIOS = Path(__file__).with_name("sipp_scenarios")


class SippMissing(Exception):
    """The program is not on this machine."""


class SippFailed(Exception):
    """SIPp ended when it should not have; the message is its own."""


class _Scenario:
    """One SIPp process running a scenario of this package, and the words that the scenario logs."""

    def __init__(self, name: str, *arguments: str) -> None:
        self._name = name
        self._arguments = arguments
        self._log = asyncio.StreamReader()
        self._pipe: asyncio.ReadTransport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._guard: Guard | None = None

    async def start(self) -> None:
        """Start the process. Raises SippMissing."""
        program = shutil.which("sipp")
        if program is None:
            raise SippMissing("there is no sipp on this machine: scripts/debian-packages demo installs it")
        reading, writing = os.pipe()
        try:
            self._pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(self._log), os.fdopen(reading, "rb", buffering=0)
            )
            self._process = await asyncio.create_subprocess_exec(
                program,
                *("-sf", str(_SCENARIOS / f"{self._name}.xml"), "-i", "127.0.0.1", "-nostdin"),
                *("-trace_logs", "-log_file", f"/dev/fd/{writing}"),
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=[writing],
                start_new_session=True,
                env={**os.environ, "TERM": "dumb"},
            )
            with contextlib.suppress(ProcessLookupError):
                self._guard = Guard(self._process.pid)
        except BaseException:
            await self.stop()
            raise
        finally:
            os.close(writing)

    async def listen(self, port: int, seconds: float = 10.0) -> None:
        """Return once it listens on `port`. Raises SippFailed, TimeoutError."""
        async with asyncio.timeout(seconds):
            # SIPp does not tell, and to try the port would be to take it.
            while not _bound(port):
                if self._log.at_eof():
                    raise SippFailed((await self._read_errors()).strip())
                await asyncio.sleep(0.005)

    async def word(self) -> str:
        """The next word that the scenario logs; empty once SIPp has ended."""
        return (await self._log.readline()).decode().strip()

    async def stop(self) -> None:
        """End the process, if it still runs."""
        if self._process is not None:
            if self._process.returncode is None:
                # Not Process.kill, which reaps one that has just ended behind the back of asyncio's own watcher.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._process.pid, signal.SIGKILL)
            await self._read_errors()
            await self._process.wait()
        if self._guard is not None:
            await asyncio.to_thread(self._guard.close)
        if self._pipe is not None:
            self._pipe.close()

    async def _read_errors(self) -> str:
        assert self._process is not None
        assert self._process.stderr is not None
        return (await self._process.stderr.read()).decode(errors="replace")


def _bound(port: int) -> bool:
    return f"0100007F:{port:04X} " in Path("/proc/net/udp").read_text()


class Phone:
    """The phone `name` of a PrivateAsterisk: rings for a tenth of a second, answers, and waits to be hung up on.

    `rings` counts the calls that came in since it was started, `answers` those picked up.
    """

    def __init__(self, asterisk: PrivateAsterisk, name: str) -> None:
        self.name = name
        self.rings = 0
        self.answers = 0
        self._port = asterisk.phones[name]
        self._scenario = _Scenario("phone", "-p", str(self._port))
        self._news = asyncio.Condition()
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen on the phone's port."""
        await self._scenario.start()
        self._listener = asyncio.create_task(self._listen())
        try:
            await self._scenario.listen(self._port)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Go off, in the middle of a call too."""
        await self._scenario.stop()
        if self._listener is not None:
            await self._listener

    async def rung(self, times: int = 1, seconds: float = 5.0) -> None:
        """Return once it has rung so many times in all. Raises TimeoutError."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: self.rings >= times)

    async def answered(self, times: int = 1, seconds: float = 5.0) -> None:
        """Return once it has answered so many times in all. Raises TimeoutError."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: self.answers >= times)

    async def _listen(self) -> None:
        while word := await self._scenario.word():
            async with self._news:
                self.rings += word == "rung"
                self.answers += word == "answered"
                self._news.notify_all()


class Call(msgspec.Struct, frozen=True):
    """How a call into a queue went. `seconds`: until somebody answered, or until it was given up."""

    answered: bool
    seconds: float


async def call(asterisk: PrivateAsterisk, queue: str, seconds: float = 15.0) -> Call:
    """Call into `queue` and, if an agent answers, hang up a quarter of a second later.

    Returns when the call is over. Raises TimeoutError where it is not within `seconds`, SippFailed, SippMissing.
    """
    caller = _Scenario("caller", *("-s", asterisk.extensions[queue], "-m", "1"), f"{asterisk.host}:{asterisk.sip_port}")
    loop = asyncio.get_running_loop()
    await caller.start()
    started = loop.time()
    try:
        async with asyncio.timeout(seconds):
            word = await caller.word()
            ended = loop.time()
            while await caller.word():
                pass
    finally:
        await caller.stop()
    if word not in {"answered", "refused"}:
        raise SippFailed(f"the call to {queue} ended unforeseen")
    return Call(word == "answered", ended - started)
