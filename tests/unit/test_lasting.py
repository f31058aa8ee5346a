"""What is told of what changes: what lasts, and nothing that is over before anybody could have read it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from plantel.lasting import LASTING_SECONDS, Lasting
from tests.support.virtual_time import VirtualTimeLoop


class Teller:
    """A state, and when it was told (in seconds)."""

    def __init__(self) -> None:
        self.state = "agreed"
        self.told: list[tuple[float, str]] = []
        self._lasting = Lasting(self.state, self._tell)

    def become(self, state: str, *, at_once: bool = False) -> None:
        self.state = state
        self._lasting.see(state, at_once=at_once)

    def _tell(self) -> None:
        self.told.append((asyncio.get_running_loop().time(), self.state))


def played(play: Callable[[Teller], Coroutine[Any, Any, None]]) -> list[tuple[float, str]]:
    """What is told in the course of it, and afterwards."""

    async def whole() -> list[tuple[float, str]]:
        teller = Teller()
        await play(teller)
        await asyncio.sleep(10 * LASTING_SECONDS)
        return teller.told

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(whole())


def test_what_changes_to_and_fro_is_not_told() -> None:
    async def play(teller: Teller) -> None:
        for _ in range(100):
            teller.become("lagging")
            await asyncio.sleep(LASTING_SECONDS / 2)
            teller.become("agreed")
            await asyncio.sleep(LASTING_SECONDS / 2)

    assert played(play) == []


def test_what_lasts_is_told_once_and_so_is_its_end() -> None:
    async def play(teller: Teller) -> None:
        for state in ("lagging", "lagging", "agreed", "agreed"):
            teller.become(state)
            await asyncio.sleep(LASTING_SECONDS)

    assert played(play) == [(LASTING_SECONDS, "lagging"), (3 * LASTING_SECONDS, "agreed")]


def test_what_never_is_again_as_it_was_told_is_told_however_it_changes() -> None:
    async def play(teller: Teller) -> None:
        for number in range(4):
            teller.become(f"lagging {number}")
            await asyncio.sleep(LASTING_SECONDS / 2.5)

    assert played(play) == [(LASTING_SECONDS, "lagging 2"), (2.2 * LASTING_SECONDS, "lagging 3")]


def test_what_cannot_wait_is_told_at_once_and_once() -> None:
    async def play(teller: Teller) -> None:
        teller.become("lagging")
        teller.become("away", at_once=True)
        teller.become("away", at_once=True)
        teller.become("agreed", at_once=True)

    assert played(play) == [(0, "away"), (0, "agreed")]
