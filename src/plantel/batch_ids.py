"""The ids of batches."""

import os
from datetime import datetime


class BatchIds:
    """Those that one process gives; one at a time, as within the transactions of one store."""

    def __init__(self) -> None:
        self._process = f"{os.getpid() & 0xFFFF:04x}{os.urandom(4).hex()}"
        self._last = 0

    def new(self, now: datetime) -> str:
        """48 bits of milliseconds, 48 that are this process's own, 16 that count; greater than all that it gave before.

        Also where the clock was set back: the same milliseconds come again, as would a number that only counts.
        It names, it opens nothing: that takes a token. So it need not be hard to guess, nor ask the kernel.
        """
        self._last = last = max(self._last + 1, int(now.timestamp() * 1000) << 16)
        return f"{last >> 16:012x}{self._process}{last & 0xFFFF:04x}"
