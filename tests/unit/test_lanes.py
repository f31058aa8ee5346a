"""Lanes for many callers: each has one at a time, and none fills the places of others."""

import asyncio
from collections import Counter

import pytest

from plantel import errors
from plantel.workers import Lanes

pytestmark = pytest.mark.anyio


class Crowd:
    """Callers that hold their turns until they are let go; `inside` are those that have one."""

    def __init__(self, most: int, waiting: int) -> None:
        self.lanes = Lanes(most, waiting)
        self.inside: Counter[str] = Counter()
        self.go = asyncio.Event()

    async def ask(self, whose: str) -> None:
        async with self.lanes.take(whose):
            self.inside[whose] += 1
            await self.go.wait()
            self.inside[whose] -= 1

    async def asking(self, *names: str) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.ask(name)) for name in names]
        for _ in range(5):
            await asyncio.sleep(0)
        return tasks


async def test_a_caller_has_one_turn_at_a_time_and_others_theirs() -> None:
    crowd = Crowd(most=9, waiting=9)
    tasks = await crowd.asking("ana", "ana", "ana", "eva", "luis")
    assert crowd.inside == {"ana": 1, "eva": 1, "luis": 1}
    crowd.go.set()
    await asyncio.gather(*tasks)
    assert crowd.inside.total() == 0


async def test_so_many_have_a_turn_at_one_time() -> None:
    crowd = Crowd(most=2, waiting=9)
    tasks = await crowd.asking("ana", "eva", "luis", "zoe")
    assert crowd.inside == {"ana": 1, "eva": 1}
    crowd.go.set()
    await asyncio.gather(*tasks)


async def test_who_waits_too_often_is_refused_and_nobody_else_is() -> None:
    crowd = Crowd(most=1, waiting=2)
    tasks = await crowd.asking("ana", "ana", "ana")
    with pytest.raises(errors.ServerBusy):
        await crowd.ask("ana")
    tasks += await crowd.asking("eva")
    crowd.go.set()
    await asyncio.gather(*tasks)
    await crowd.ask("ana")


async def test_who_leaves_gives_the_place_back_whether_waiting_or_inside() -> None:
    crowd = Crowd(most=1, waiting=1)
    for _ in range(5):
        inside, waiting = await crowd.asking("ana", "ana")
        waiting.cancel()
        inside.cancel()
        await asyncio.wait([inside, waiting])
    crowd.go.set()
    await asyncio.wait_for(crowd.ask("ana"), 30)
    assert crowd.lanes._lanes == {}, "callers that are gone are remembered"
