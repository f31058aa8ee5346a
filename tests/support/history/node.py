"""One node: a Plantel that is killed, frozen and started again."""

import signal
import threading
from pathlib import Path

from plantel.testing.guard import freeze
from tests.support.server import PlantelServer


class Node(PlantelServer):
    """`up` while it accepts connections, also while it is frozen: the kernel does that for it."""

    def __init__(self, folder: Path, store: str) -> None:
        folder.mkdir()
        super().__init__(folder, store=store)
        self.name = folder.name
        self.up = threading.Event()

    def start(self, *arguments: str, redirect: str = "") -> None:
        super().start(*arguments, redirect=redirect)
        self.up.set()

    def stop(self) -> int:
        self.up.clear()
        return super().stop()

    def kill(self) -> None:
        self.up.clear()
        super().kill()

    def freeze(self) -> None:
        """SIGSTOP: every thread stands still, whatever it holds."""
        assert self.process is not None
        freeze(self.process.pid)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
