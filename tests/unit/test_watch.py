"""Deadlines looked after by one timer: who is late is cancelled once, and nobody else."""

import asyncio

import pytest

from plantel.watch import Watch

pytestmark = pytest.mark.anyio


async def wait(watch: Watch, seconds: float, event: asyncio.Event) -> str:
    """How a watched wait for `event` ends; the task then waits once more, unwatched."""
    waiting = watch.begin(seconds)
    try:
        await event.wait()
    except asyncio.CancelledError:
        assert watch.end(waiting)
        await asyncio.sleep(0)  # the cancellation has been taken back
        return "late"
    assert not watch.end(waiting)
    return "in time"


async def test_who_waits_too_long_is_late_and_the_others_go_on() -> None:
    watch, never, event = Watch(), asyncio.Event(), asyncio.Event()
    patient = asyncio.create_task(wait(watch, 60, event))
    late = [asyncio.create_task(wait(watch, 0, never)) for _ in range(3)]
    assert await asyncio.gather(*late) == ["late"] * 3
    assert [task.cancelling() for task in late] == [0, 0, 0]
    event.set()
    assert await patient == "in time"


async def test_a_watch_that_had_nothing_to_do_watches_again() -> None:
    watch, event = Watch(), asyncio.Event()
    event.set()
    for _ in range(2):
        assert await wait(watch, 60, event) == "in time"
        assert await wait(watch, 0, asyncio.Event()) == "late"
        while watch._loop is not None:  # noqa: ASYNC110  # the timer's own end is announced by nothing
            await asyncio.sleep(0.01)


async def test_a_task_that_another_cancels_is_not_late() -> None:
    watch = Watch()

    async def cancelled() -> None:
        waiting = watch.begin(60)
        try:
            await asyncio.Event().wait()
        finally:
            assert not watch.end(waiting)

    task = asyncio.create_task(cancelled())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_watch_outlives_its_loop() -> None:
    watch, event = Watch(), asyncio.Event()
    event.set()
    for _ in range(2):
        assert asyncio.run(wait(watch, 60, event)) == "in time"
        assert asyncio.run(wait(watch, 0, asyncio.Event())) == "late"


async def test_who_waits_in_one_loop_is_not_late_because_another_loop_waits() -> None:
    watch, event = Watch(), asyncio.Event()
    waiting = asyncio.create_task(wait(watch, 60, event))
    await asyncio.sleep(0)
    assert await asyncio.to_thread(lambda: asyncio.run(wait(watch, 0, asyncio.Event()))) == "late"
    event.set()
    assert await waiting == "in time"
