"""Threads of one kind of work: in bounds, and free of what nobody waits for any more."""

import asyncio
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from plantel import errors
from plantel.workers import Workers

pytestmark = pytest.mark.anyio


class Held:
    """Work that goes on until it is let go."""

    def __init__(self) -> None:
        self._begun = threading.Semaphore(0)
        self._go = threading.Event()
        self.done: list[int] = []

    def work(self, number: int = 0) -> int:
        self._begun.release()
        assert self._go.wait(30)
        self.done.append(number)
        return number

    async def begun(self) -> None:
        await asyncio.to_thread(self._begun.acquire)

    def let_go(self) -> None:
        self._go.set()


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers("test", 1, 2)
    yield made
    made.close()


async def test_more_than_may_wait_are_refused_and_a_place_is_free_afterwards(workers: Workers) -> None:
    held = Held()
    taken = [asyncio.create_task(workers.run(partial(held.work, number))) for number in range(3)]
    await held.begun()
    with pytest.raises(errors.ServerBusy):
        await workers.run(lambda: None)
    held.let_go()
    assert await asyncio.gather(*taken) == [0, 1, 2]
    assert await workers.run(lambda: "free") == "free"


async def test_work_that_nobody_waits_for_any_more_is_never_begun(workers: Workers) -> None:
    held = Held()
    first = asyncio.create_task(workers.run(held.work))
    await held.begun()
    dropped = asyncio.create_task(workers.run(lambda: held.work(1)))
    await asyncio.sleep(0)
    dropped.cancel()
    await asyncio.wait([dropped])
    held.let_go()
    assert await first == 0
    assert await workers.run(lambda: "next") == "next"
    assert held.done == [0]
    assert dropped.cancelled()


async def test_what_work_raises_is_raised(workers: Workers) -> None:
    with pytest.raises(ZeroDivisionError):
        await workers.run(lambda: 1 // 0)
