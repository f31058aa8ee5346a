"""A loop that is held up says so, and where."""

import asyncio
import time

import pytest
from structlog.testing import capture_logs

from plantel.late_loop import LATE, LateLoop

pytestmark = pytest.mark.anyio


def hold_up(seconds: float) -> None:
    """What nobody may do on the loop."""
    time.sleep(seconds)


async def test_a_call_that_holds_the_loop_up_is_told_with_its_place_and_logged_once() -> None:
    told: list[float] = []
    heard = asyncio.Event()

    def tell(late: float) -> None:
        told.append(late)
        heard.set()

    watch = asyncio.create_task(LateLoop(tell).run())
    with capture_logs() as logs:
        for _ in range(2):
            heard.clear()
            await heard.wait()
            hold_up(LATE * 6)
            heard.clear()
            await heard.wait()
    watch.cancel()
    assert len([late for late in told if late >= LATE * 4]) == 2
    late = [one for one in logs if one["event"] == "late_loop"]
    assert len(late) == 1, "the second time there is nothing new to say"
    assert late[0]["seconds"] >= LATE * 4
    assert late[0]["at"].startswith("test_late_loop.py:")
    assert " hold_up < test_late_loop.py:" in late[0]["at"]


async def test_a_loop_that_is_in_time_is_not_logged() -> None:
    enough = asyncio.Event()
    told: list[float] = []

    def tell(late: float) -> None:
        told.append(late)
        if len(told) == 3:
            enough.set()

    watch = asyncio.create_task(LateLoop(tell).run())
    with capture_logs() as logs:
        await enough.wait()
    watch.cancel()
    assert len([one for one in logs if one["event"] == "late_loop"]) == len([late for late in told if late >= LATE])
