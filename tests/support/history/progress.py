"""How many operations have come to an end, for whoever has to wait for some."""

import threading


class Progress:
    def __init__(self) -> None:
        self._count = 0
        self._more = threading.Condition()

    def made(self) -> None:
        """One more."""
        with self._more:
            self._count += 1
            self._more.notify_all()

    def wait(self, operations: int, seconds: float) -> None:
        """Until so many more have ended, or so much time has passed."""
        with self._more:
            wanted = self._count + operations
            self._more.wait_for(lambda: self._count >= wanted, seconds)
