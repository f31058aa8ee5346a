"""An event loop in which waiting takes no time: when nothing is left to do, its clock jumps to the next timer."""

import asyncio
import selectors


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at 0 s. The same program on it does the same things in the same order every time.

    Made for what waits for timers only: sockets and threads would be outrun. Raises RuntimeError where everything waits
    and no timer is left, which on a real clock would last for ever.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing is due")
        if timeout > 0:
            self._loop.jump(timeout)
        return super().select(0)
