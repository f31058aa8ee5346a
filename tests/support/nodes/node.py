"""One node: a Plantel of its own, and its line to the Asterisk that all share."""

import asyncio
import signal
from pathlib import Path

from tests.support.ami_proxy import AmiProxy
from tests.support.server import PlantelServer


class Node(PlantelServer):
    def __init__(self, folder: Path, store: str, line: AmiProxy, config: str) -> None:
        folder.mkdir()
        super().__init__(folder, store=store, config=config)
        self.name = folder.name
        self.line = line

    async def up(self) -> None:
        await asyncio.to_thread(self.start)

    async def down(self) -> None:
        """SIGKILL."""
        await asyncio.to_thread(self.kill)

    def freeze(self) -> None:
        """SIGSTOP: every thread stands still, whatever it holds."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    async def at_its_next_change(self, number: signal.Signals, changes: int = 1, seconds: float = 30) -> None:
        """Send this signal in the midst of its work: as soon as so many more changes have come over its line."""
        struck = asyncio.Event()
        left = changes

        def watch(_count: int) -> None:
            nonlocal left
            left -= 1
            if left == 0 and self.process is not None:
                self.process.send_signal(number)
                struck.set()

        self.line.watch = watch
        try:
            async with asyncio.timeout(seconds):
                await struck.wait()
        finally:
            self.line.watch = lambda _count: None
