"""Passwords are verified one at a time, and the turns are fair."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Literal

import argon2
import pytest

from plantel import errors
from plantel.http.brake import Brake
from plantel.http.limits import LOGINS_WAITING
from plantel.http.passwords import NOBODY, Passwords, Turns
from plantel.secret import Secret

pytestmark = pytest.mark.anyio

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    made = Passwords()
    yield made
    made.close()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Queue:
    """Turns, and who has had one, in order."""

    def __init__(self, most: int) -> None:
        self.turns = Turns(most)
        self.served: list[str] = []

    def come(self, name: str, rank: float) -> asyncio.Task[None]:
        return asyncio.create_task(self._come(name, rank))

    async def _come(self, name: str, rank: float) -> None:
        await self.turns.begin(rank)
        self.served.append(name)

    async def serve_all(self) -> None:
        await settle()
        before = -1
        while len(self.served) > before:
            before = len(self.served)
            self.turns.end()
            await settle()


async def test_the_lowest_rank_is_next_and_of_equals_the_first() -> None:
    queue = Queue(10)
    for name, rank in (("first", 9.0), ("stranger", 3.0), ("eva", 1.0), ("ana", 1.0), ("known", 0.0)):
        queue.come(name, rank)
        await settle()
    await queue.serve_all()
    assert queue.served == ["first", "known", "eva", "ana", "stranger"]


async def test_if_too_many_wait_the_highest_rank_is_refused() -> None:
    queue = Queue(2)
    waiting = [queue.come(name, rank) for name, rank in (("first", 9.0), ("worst", 5.0), ("bad", 4.0), ("good", 1.0))]
    await settle()
    with pytest.raises(errors.LoginsBusy):
        await waiting[1]
    with pytest.raises(errors.LoginsBusy):
        await queue.come("worse", 4.0)
    await queue.serve_all()
    assert queue.served == ["first", "good", "bad"]


@pytest.mark.parametrize("at_the_same_moment", [False, True])
async def test_who_goes_away_takes_no_turn(at_the_same_moment: bool) -> None:
    queue = Queue(2)
    queue.come("first", 1.0)
    gone, stays = queue.come("gone", 1.0), queue.come("stays", 1.0)
    await settle()
    if at_the_same_moment:
        queue.turns.end()
    gone.cancel()
    await settle()
    await queue.serve_all()
    assert queue.served == ["first", "stays"]
    assert gone.cancelled()
    assert stays.done()
    await queue.turns.begin(1.0)  # nobody holds it


@pytest.mark.parametrize("hashed", [None, "", "no hash", CHEAP.hash("another")])
async def test_what_is_wrong(passwords: Passwords, hashed: str | None) -> None:
    assert not await passwords.verify(hashed, Secret("right"), Brake().take("default", "ana", "192.0.2.1"))


@pytest.mark.parametrize("password", ["right", "ñandú", "\0", "\udce4", "x" * 4096])
async def test_what_is_right(passwords: Passwords, password: str) -> None:
    hashed = CHEAP.hash(password.encode("utf-8", "surrogatepass"))
    assert await passwords.verify(hashed, Secret(password), Brake().take("default", "ana", "192.0.2.1"))


def test_for_nobody_it_takes_what_it_takes_for_a_new_user() -> None:
    assert not argon2.PasswordHasher().check_needs_rehash(NOBODY)


class Slow(argon2.PasswordHasher):
    """Takes as long as the test wants."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.may_end = threading.Semaphore(0)
        self.verified: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002  # its name there
        self.may_end.acquire()
        assert isinstance(password, bytes)
        self.verified.append(password.decode())
        return super().verify(hash, password)


async def test_a_stranger_with_hundreds_of_addresses_is_not_before_others(passwords: Passwords) -> None:
    slow = passwords._hasher = Slow()
    brake = passwords.brake
    hashed = CHEAP.hash("right")

    def log_in(password: str, user: str, address: str) -> asyncio.Task[bool]:
        attempt = brake.take("default", user, address)
        return asyncio.ensure_future(passwords.verify(hashed, Secret(password), attempt))

    flood = [log_in(f"{turn}", f"made up {turn}", f"10.0.0.{host}") for turn in range(3) for host in range(100)]
    await settle()
    brake.take("default", "eva", "192.0.2.1").passed()
    known = log_in("right", "eva", "192.0.2.1")
    await settle()
    refused = [one for one in flood if one.done()]
    assert len(refused) == 300 - 1 - LOGINS_WAITING + 1
    assert all(isinstance(one.exception(), errors.LoginsBusy) for one in refused)
    slow.may_end.release(2)
    async with asyncio.timeout(30):
        assert await known
    assert slow.verified[1] == "right"
    slow.may_end.release(300)
    await asyncio.gather(*flood, return_exceptions=True)


async def test_work_for_who_has_hung_up_is_dropped_and_what_has_begun_keeps_its_turn(passwords: Passwords) -> None:
    slow = passwords._hasher = Slow()
    hashed = CHEAP.hash("right")

    def log_in(password: str) -> asyncio.Task[bool]:
        attempt = Brake().take("default", "ana", "192.0.2.1")
        return asyncio.ensure_future(passwords.verify(hashed, Secret(password), attempt))

    begun, waiting, last = log_in("begun"), log_in("waiting"), log_in("right")
    await settle()
    begun.cancel()
    waiting.cancel()
    await settle()
    assert begun.cancelled()
    assert waiting.cancelled()
    slow.may_end.release(2)
    async with asyncio.timeout(30):
        assert await last
    assert slow.verified == ["begun", "right"]
