"""What a process tells of a store that is away, for however long."""

import asyncio

from structlog.testing import capture_logs

from plantel import errors
from plantel.neighbours import Neighbours
from plantel.testing.memory_store import MemoryData, MemoryStore
from tests.support.virtual_time import VirtualTimeLoop


class Store(MemoryStore):
    """`trouble`: what whoever asks for news is told."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: errors.StoreError | None = None

    async def changed_elsewhere(self) -> bool:
        if self.trouble is not None:
            raise self.trouble
        return await super().changed_elsewhere()


def played(*troubles: errors.StoreError | None) -> tuple[list[str], list[str]]:
    """A minute of each; what is logged in the course of it, and what is known of the store at the end of each."""

    async def whole() -> list[str]:
        store = Store()
        neighbours = Neighbours(store, {}, [])
        watching = asyncio.ensure_future(neighbours.watch())
        known = []
        for trouble in troubles:
            store.trouble = trouble
            await asyncio.sleep(60)
            known.append("" if neighbours.trouble is None else neighbours.trouble.code)
        watching.cancel()
        return known

    with capture_logs() as logs, asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        known = runner.run(whole())
    return [one.get("code") or one["state"] for one in logs], known


def test_a_store_that_is_away_is_told_once_and_once_more_when_it_is_back() -> None:
    """However its reason changes: it is refused, it starts up."""
    refused, starting = (errors.StoreUnavailable(detail=text) for text in ("refused", "starting up"))
    told, known = played(None, refused, starting, None, refused)
    assert told == ["store_unavailable", "available", "store_unavailable"]
    assert known == ["", "store_unavailable", "store_unavailable", "", "store_unavailable"]


def test_another_trouble_is_news() -> None:
    told, _ = played(errors.StoreUnavailable(detail="gone"), errors.StoreFull(detail="full"))
    assert told == ["store_unavailable", "store_full"]


def test_much_work_is_no_trouble() -> None:
    assert played(errors.ServerBusy()) == ([], [""])


def test_another_store_in_the_same_place_is_trouble_for_good() -> None:
    """As if somebody dropped the database, and another node made it anew."""

    async def whole() -> list[str]:
        store = MemoryStore()
        neighbours = Neighbours(store, {}, [])
        watching = asyncio.ensure_future(neighbours.watch())
        known = []
        for another in (False, True, False):
            if another:
                store._data = MemoryData()
                await MemoryStore(store._data).write(lambda _: None)
            await asyncio.sleep(60)
            known.append("" if neighbours.trouble is None else neighbours.trouble.code)
        watching.cancel()
        return known

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(whole()) == ["", "store_unavailable", "store_unavailable"]
