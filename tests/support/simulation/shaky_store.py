"""A MemoryStore that takes its time, and that fails at will before anything is done."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from plantel import errors
from plantel.ports import Lease, Like, Transaction
from plantel.testing.memory_store import MemoryData, MemoryStore
from tests.support.simulation.weather import Weather

T = TypeVar("T")


class ShakyStore:
    """`ports.Store` on `data`, in this weather. `failing`: StoreUnavailable."""

    def __init__(self, data: MemoryData, weather: Weather) -> None:
        self._inner = MemoryStore(data)
        self._weather = weather
        self.failing = False

    async def write(self, work: Callable[[Transaction], T], *, like: Like | None = None) -> T:
        return await self._slowly(lambda: self._inner.write(work, like=like))

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self._slowly(lambda: self._inner.read(work))

    async def look_up(self, work: Callable[[Transaction], T]) -> T:
        return await self.read(work)

    async def read_long(self, work: Callable[[Transaction], T]) -> T:
        return await self.read(work)

    async def _slowly(self, call: Callable[[], Awaitable[T]]) -> T:
        await asyncio.sleep(self._weather.seconds())
        if self.failing:
            raise errors.StoreUnavailable(detail="simulated")
        result = await call()
        await asyncio.sleep(self._weather.seconds())
        return result

    def lease(self, name: str, seconds: float) -> AbstractAsyncContextManager[Lease]:
        return self._inner.lease(name, seconds)

    async def changed_elsewhere(self) -> bool:
        return await self._inner.changed_elsewhere()

    async def wait_elsewhere(self, seconds: float) -> None:
        await self._inner.wait_elsewhere(seconds)

    async def close(self) -> None:
        await self._inner.close()
