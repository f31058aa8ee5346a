"""One node: a Plantel of its own, and its line to the Asterisk that all share."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from plantel.testing.guard import freeze
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
        freeze(self.process.pid)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


async def strike(nodes: Sequence[Node], number: signal.Signals, changes: int = 1, seconds: float = 30) -> Node:
    """Send this signal to one of them in the midst of its work: to whose line so many more changes come over first.

    Returns which it was. Raises TimeoutError.
    """
    struck: asyncio.Future[Node] = asyncio.get_running_loop().create_future()

    def watching(node: Node) -> Callable[[int], None]:
        left = changes

        def watch(_count: int) -> None:
            nonlocal left
            left -= 1
            if left == 0 and node.process is not None and not struck.done():
                node.process.send_signal(number)
                struck.set_result(node)

        return watch

    for node in nodes:
        node.line.watch = watching(node)
    try:
        async with asyncio.timeout(seconds):
            return await struck
    finally:
        for node in nodes:
            node.line.watch = lambda _count: None
