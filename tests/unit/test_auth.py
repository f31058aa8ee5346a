"""Who is asking: tokens, and logins with a password, on a store in memory."""

import asyncio
import base64
import tracemalloc
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import TypeVar

import argon2
import pytest

from plantel import errors
from plantel.access import PASSWORD_BYTES, Role, Token, User, digest, read_token_text, token_text
from plantel.http.auth import STAYS, TOKEN_TRIES, Authenticator
from plantel.http.brake import ADDRESS_TRIES, FREE_TRIES, Brake
from plantel.http.limits import AUTHORIZATION, SESSIONS, TOKENS
from plantel.http.passwords import Passwords
from plantel.ports import Transaction
from plantel.secret import Secret
from plantel.testing.memory_store import MemoryStore
from tests.support.door import SetClock
from tests.support.rosters import NOON

pytestmark = pytest.mark.anyio

HERE = "192.0.2.1"
RIGHT = "the right password"
WEEK = 7 * 86400.0

T = TypeVar("T")


class Store(MemoryStore):
    """One that counts, and whose answers can be held back."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = self.writes = 0
        self.held = asyncio.Event()
        self.held.set()

    async def read(self, work: Callable[[Transaction], T]) -> T:
        self.reads += 1
        answer = await super().read(work)
        await self.held.wait()
        return answer

    async def write(self, work: Callable[[Transaction], T], **options: object) -> T:
        self.writes += 1
        return await super().write(work)


class Site:
    """An instance, its store and its clock."""

    def __init__(self) -> None:
        self.store = Store()
        self.clock = SetClock()
        self.clock.moment = NOON
        self.passwords = Passwords()
        self.passwords.brake = Brake(lambda: 0.0)
        self.authenticator = Authenticator(self.store, "default", self.clock, WEEK, self.passwords)

    async def add_user(self, name: str, password: str = RIGHT, role: Role = Role.INTEGRATOR) -> None:
        hashed = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)
        user = User("default", name, hashed, role, (), NOON)
        await self.store.write(lambda transaction: transaction.put_user(user))

    async def add_token(self, name: str, secret: str, expires: datetime | None = None) -> str:
        key = await self.store.read(lambda transaction: transaction.token_key())
        token = Token("default", name, digest(key, secret), Role.READER, (), NOON, expires)
        await self.store.write(lambda transaction: transaction.add_token(token))
        return f"Basic {token_text(name, secret)}"

    async def log_in(self, name: str, password: str = RIGHT, address: str = HERE) -> str:
        return await self.authenticator.log_in(name, Secret(password), address)

    async def sees(self, header: str, address: str = HERE) -> str:
        """The name that it finds behind the header, or the code of the error."""
        try:
            return (await self.authenticator.actor(header, address)).name
        except errors.PlantelError as error:
            return error.code

    async def sessions(self) -> list[Token]:
        return await self.store.read(lambda transaction: transaction.tokens("default"))


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    yield made
    made.passwords.close()


async def outcomes(*logins: object) -> list[str]:
    """ "in", or the code of the error."""
    done = await asyncio.gather(*logins, return_exceptions=True)  # type: ignore[call-overload]
    return [one.code if isinstance(one, errors.PlantelError) else "in" for one in done]


# --- passwords -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [FREE_TRIES, 30, 59])
async def test_of_passwords_sent_at_the_same_time_only_the_free_tries_are_verified(site: Site, place: int) -> None:
    await site.add_user("ana")
    guesses = [RIGHT if number == place else f"guess {number}" for number in range(60)]
    seen = await outcomes(*(site.log_in("ana", guess) for guess in guesses))
    assert seen == ["not_authenticated"] * FREE_TRIES + ["too_many_attempts"] * (60 - FREE_TRIES)
    assert await site.sessions() == []


async def test_a_right_password_among_the_free_tries_gets_in(site: Site) -> None:
    await site.add_user("ana")
    assert await outcomes(site.log_in("ana", "wrong"), site.log_in("ana")) == ["not_authenticated", "in"]


async def test_right_log_ins_are_not_slowed_by_their_number(site: Site) -> None:
    await site.add_user("ana")
    for _ in range(3 * ADDRESS_TRIES):
        assert await outcomes(site.log_in("ana")) == ["in"]


async def test_one_password_for_many_users(site: Site) -> None:
    for number in range(40):
        await site.add_user(f"user {number}", RIGHT if number == 30 else "another")
    seen = await outcomes(*(site.log_in(f"user {number}") for number in range(40)))
    assert "in" not in seen
    # those beyond what may wait were not looked at either
    assert seen.count("not_authenticated") <= ADDRESS_TRIES


async def test_made_up_users_and_real_ones_are_answered_alike(site: Site) -> None:
    await site.add_user("ana")
    for name in ("ana", "made up"):
        seen = [(await outcomes(site.log_in(name, "wrong")))[0] for _ in range(FREE_TRIES + 1)]
        assert seen == ["not_authenticated"] * FREE_TRIES + ["too_many_attempts"]
    assert site.store.writes == 1, "a stranger writes nothing"


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("x" * 256, RIGHT),
        ("ñ" * 128, RIGHT),
        ("a:b", RIGHT),
        ("a\0b", RIGHT),
        ("\udce4", RIGHT),
        ("", RIGHT),
        ("ana", "x" * (PASSWORD_BYTES + 1)),
    ],
)
async def test_what_cannot_be_is_wrong_at_once(site: Site, name: str, password: str) -> None:
    seen = [(await outcomes(site.log_in(name, password)))[0] for _ in range(ADDRESS_TRIES + 1)]
    assert seen == ["not_authenticated"] * ADDRESS_TRIES + ["too_many_attempts"]
    assert site.store.reads == 0


async def test_names_of_any_size_leave_nothing_behind(site: Site) -> None:
    tracemalloc.start()
    for number in range(100):
        await outcomes(site.log_in(str(number) * 50_000, address=f"192.0.2.{number}"))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2**20


async def test_a_try_that_nobody_looked_at_does_not_count(site: Site) -> None:
    await site.add_user("ana")
    await site.store.close()
    for _ in range(3 * FREE_TRIES):
        assert await outcomes(site.log_in("ana")) == ["store_unavailable"]


@pytest.mark.parametrize("change", ["password", "removed", "role"])
async def test_who_is_changed_while_the_password_is_verified_is_not_let_in_with_old_rights(
    site: Site, change: str
) -> None:
    await site.add_user("ana")
    site.store.held.clear()
    waiting = asyncio.create_task(site.log_in("ana"))
    await asyncio.sleep(0)
    if change == "removed":
        await site.store.write(lambda transaction: transaction.remove_user("default", "ana"))
    else:
        await site.add_user("ana", RIGHT if change == "role" else "new", Role.READER)
    site.store.held.set()
    assert await outcomes(waiting) == ["not_authenticated"]
    assert await site.sessions() == []


# --- sessions --------------------------------------------------------------------------------------------------------


async def test_a_users_sessions_are_bounded_and_the_oldest_make_room(site: Site) -> None:
    await site.add_user("ana")
    texts = [await site.log_in("ana") for _ in range(SESSIONS + 1)]
    assert len(await site.sessions()) == SESSIONS
    assert await site.sees(f"Basic {texts[0]}") == "not_authenticated"
    assert await site.sees(f"Basic {texts[1]}") == "ana"


async def test_sessions_that_ended_long_ago_are_deleted_by_log_ins_of_others(site: Site) -> None:
    for name in ("ana", "eva"):
        await site.add_user(name)
    await site.log_in("ana")
    site.clock.moment += timedelta(seconds=WEEK) + STAYS
    site.authenticator._swept = -WEEK  # as if it had been a while
    await site.log_in("eva")
    assert [session.user for session in await site.sessions()] == ["eva"]


async def test_a_new_password_ends_sessions_that_are_remembered_here(site: Site) -> None:
    await site.add_user("ana")
    header = f"Basic {await site.log_in('ana')}"
    assert await site.sees(header) == "ana"
    await site.add_user("ana", "new")
    site.authenticator.forget()  # as the watch over other processes has it
    assert await site.sees(header) == "not_authenticated"


async def test_a_session_is_ended_once_and_guesses_at_it_are_braked(site: Site) -> None:
    await site.add_user("ana")
    text = await site.log_in("ana")
    pair = read_token_text(text)
    assert pair is not None
    end = site.authenticator.log_out
    assert await end("ana", Secret(pair[1]), HERE), "by its bare secret"
    writes = site.store.writes
    site.authenticator._brake = Brake(lambda: 0.0)
    for _ in range(FREE_TRIES):
        assert not await end("ana", Secret(text), HERE)
    with pytest.raises(errors.TooManyAttempts):
        await end("ana", Secret(text), HERE)
    assert not await end("x" * 10_000, Secret(text), HERE)
    assert not await end("ana", Secret("x" * 10_000), HERE)
    assert site.store.writes == writes, "a stranger writes nothing"


async def test_guesses_at_a_session_sent_at_the_same_time(site: Site) -> None:
    site.authenticator._brake = Brake(lambda: 0.0)
    ends = [site.authenticator.log_out("ana", Secret(f"{number}"), HERE) for number in range(60)]
    done = await asyncio.gather(*ends, return_exceptions=True)
    assert done.count(False) == FREE_TRIES
    assert sum(isinstance(one, errors.TooManyAttempts) for one in done) == 60 - FREE_TRIES


async def test_wrong_tokens_do_not_slow_a_log_in(site: Site) -> None:
    await site.add_user("ana")
    for number in range(3 * TOKEN_TRIES):
        await site.sees(f"Basic {token_text('ana', str(number))}")
    assert await outcomes(site.log_in("ana")) == ["in"]


# --- tokens ----------------------------------------------------------------------------------------------------------


async def test_a_wrong_token_is_braked_and_a_right_one_never_waits(site: Site) -> None:
    right = await site.add_token("ana", "secret")
    site.authenticator._brake = Brake(lambda: 0.0, TOKEN_TRIES)
    wrong = f"Basic {token_text('ana', 'wrong')}"
    seen = [await site.sees(wrong) for _ in range(FREE_TRIES + 1)]
    assert seen == ["not_authenticated"] * FREE_TRIES + ["too_many_attempts"]
    seen = await asyncio.gather(*(site.sees(f"Basic {token_text(f'user {one}', 'wrong')}") for one in range(200)))
    assert seen.count("not_authenticated") == TOKEN_TRIES - FREE_TRIES
    site.authenticator.forget()
    assert await site.sees(right) == "ana"


async def test_a_token_that_has_ended_is_no_guess(site: Site) -> None:
    ended = await site.add_token("ana", "secret", NOON)
    for _ in range(3 * FREE_TRIES):
        assert await site.sees(ended) == "not_authenticated"


async def test_no_credentials_are_no_guess(site: Site) -> None:
    for _ in range(2 * TOKEN_TRIES):
        assert await site.sees("") == "not_authenticated"


def basic(text: str, blanks: int = 0) -> str:
    return "Basic" + " " * (1 + blanks) + base64.b64encode(text.encode()).decode()


async def test_each_spelling_of_a_token_is_good_and_costs_no_more_memory(site: Site) -> None:
    await site.add_token("ana", "secret")
    spellings = [
        f"{scheme} {' ' * blanks}{token_text('ana', 'secret')}"
        for scheme in ("Basic", "bAsIc")
        for blanks in range(500)
    ]
    tracemalloc.start()
    for spelling in spellings:
        assert await site.sees(spelling + " ") == "ana"
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 64 * 2**10
    reads = site.store.reads
    for spelling in spellings[::100]:
        assert await site.sees(spelling) == "ana"
    assert site.store.reads == reads, "found without the store"


async def test_a_known_secret_is_no_key_for_another_name(site: Site) -> None:
    await site.add_token("ana", "secret")
    assert await site.sees(basic("ana:secret")) == "ana"
    for _ in range(2):
        assert await site.sees(basic("eva:secret")) == "not_authenticated"
    assert await site.sees(basic("ana:secret")) == "ana"


async def test_a_header_of_any_size_is_refused_without_asking_the_store(site: Site) -> None:
    await site.add_token("ana", "secret")
    assert await site.sees(basic("ana:secret", AUTHORIZATION // 2)) == "ana"
    reads = site.store.reads
    assert await site.sees(basic("ana:secret", AUTHORIZATION)) == "not_authenticated"
    assert await site.sees(basic("ana" * 100 + ":secret")) == "not_authenticated"
    assert site.store.reads == reads


async def test_as_many_tokens_as_there_may_be_are_remembered(site: Site) -> None:
    key = await site.store.read(lambda transaction: transaction.token_key())

    def work(transaction: Transaction) -> None:
        for number in range(TOKENS + 10):
            name = f"ana {number}"
            transaction.state.tokens.append(  # type: ignore[attr-defined] # one by one it would be quadratic
                Token("default", name, digest(key, "secret"), Role.READER, (), NOON)
            )

    await site.store.write(work)
    for number in range(TOKENS + 10):
        assert await site.sees(basic(f"ana {number}:secret")) == f"ana {number}"
    known = site.authenticator._known
    assert len(known.by_header) <= TOKENS


async def test_what_is_forgotten_while_the_store_is_asked_is_not_remembered(site: Site) -> None:
    header = await site.add_token("ana", "secret")
    await site.sees(header)
    site.authenticator.forget()
    site.store.held.clear()
    asked = asyncio.create_task(site.sees(header))
    await asyncio.sleep(0)
    await site.store.write(lambda transaction: transaction.remove_tokens("default", "ana"))
    site.authenticator.forget()
    site.store.held.set()
    assert await asked == "ana", "it was good when the store was asked"
    assert await site.sees(header) == "not_authenticated"


async def test_somebody_who_guesses_and_guesses_asks_the_store_one_thing_at_a_time(site: Site) -> None:
    site.authenticator._brake = Brake(lambda: 0.0, TOKEN_TRIES)
    await asyncio.gather(*(site.sees(basic(f"{number}:x")) for number in range(TOKEN_TRIES)))
    right = await site.add_token("ana", "secret")
    site.store.held.clear()
    reads = site.store.reads
    flood = [asyncio.create_task(site.sees(basic(f"{number}:y"))) for number in range(100)]
    elsewhere = asyncio.create_task(site.sees(right, "192.0.2.2"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert site.store.reads == reads + 2, "one for all of these, and one for the other address"
    site.store.held.set()
    assert await elsewhere == "ana"
    assert await site.sees(right) == "ana", "a right token from the address of the flood, too"
    await asyncio.gather(*flood)
