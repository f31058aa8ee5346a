"""The brake on wrong credentials, with a clock that the test sets."""

import tracemalloc
from collections.abc import Callable

import pytest

from plantel import errors
from plantel.http.brake import (
    ADDRESS_TRIES,
    FREE_TRIES,
    KEPT,
    KNOWN_FOR,
    LONGEST_WAIT,
    USER_TRIES,
    Brake,
    Try,
    network_of,
)

USER, ADDRESS = "ana", "192.0.2.1"


class Watch:
    """Seconds, as a test sets them."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def brake(watch: Watch) -> Brake:
    return Brake(watch)


def take(brake: Brake, user: str = USER, address: str = ADDRESS, instance: str = "default") -> Try:
    return brake.take(instance, user, address)


def refused(work: Callable[[], object]) -> int:
    """The seconds that the brake asks for, 0 if it lets pass."""
    try:
        work()
    except errors.TooManyAttempts as refusal:
        seconds: int = refusal.params["seconds"]
        return seconds
    return 0


def taken(brake: Brake, tries: int, user: str = USER, address: str = ADDRESS) -> int:
    """How many of `tries` it lets pass."""
    return sum(refused(lambda: take(brake, user, address)) == 0 for _ in range(tries))


def one_of_many(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


# --- by pair ---------------------------------------------------------------------------------------------------------


def test_of_tries_at_the_same_time_only_the_free_ones_pass(brake: Brake) -> None:
    assert taken(brake, 60) == FREE_TRIES
    assert refused(lambda: take(brake)) == 1


def test_each_further_try_doubles_the_wait_up_to_the_longest(brake: Brake, watch: Watch) -> None:
    taken(brake, FREE_TRIES)
    waits = []
    for _ in range(9):
        wait = refused(lambda: take(brake))
        waits.append(wait)
        watch.seconds += wait
        take(brake)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert waits[-1] == LONGEST_WAIT


def test_a_refused_try_costs_no_more_waiting(brake: Brake, watch: Watch) -> None:
    taken(brake, FREE_TRIES + 1000)
    watch.seconds += 1
    assert refused(lambda: take(brake)) == 0


def test_tries_that_come_slowly_are_braked_too(brake: Brake, watch: Watch) -> None:
    for _ in range(FREE_TRIES):
        take(brake)
        watch.seconds += 0.1
    assert refused(lambda: take(brake)) == 1


def test_a_success_forgets_what_the_pair_did_wrong(brake: Brake) -> None:
    taken(brake, FREE_TRIES - 1)
    take(brake).passed()
    assert taken(brake, 60) == FREE_TRIES


def test_what_nobody_looked_at_does_not_count(brake: Brake) -> None:
    for _ in range(USER_TRIES + 1):
        take(brake).undone()
    assert taken(brake, 60) == FREE_TRIES


def test_tries_are_forgotten_in_time(brake: Brake, watch: Watch) -> None:
    taken(brake, 60)
    watch.seconds += FREE_TRIES * 600
    assert taken(brake, 60) == FREE_TRIES


def test_the_same_user_of_another_instance_is_another_user(brake: Brake) -> None:
    taken(brake, FREE_TRIES)
    assert refused(lambda: take(brake)) > 0
    assert refused(lambda: take(brake, instance="other")) == 0


# --- by address ------------------------------------------------------------------------------------------------------


def test_one_password_for_many_users_is_braked_by_address(brake: Brake) -> None:
    passed = sum(taken(brake, 1, user=f"user {number}") for number in range(40))
    assert passed == ADDRESS_TRIES
    assert taken(brake, 1, user="user 0", address="192.0.2.2") == 1


def test_somebody_who_goes_on_and_on_gets_one_try_in_half_a_minute(brake: Brake, watch: Watch) -> None:
    passed = 0
    for second in range(3600):
        passed += taken(brake, 1, user=f"user {second}")
        watch.seconds += 1
    assert passed <= ADDRESS_TRIES + 6 + 3600 / 30


def test_a_client_with_an_old_password_does_not_brake_its_neighbours(brake: Brake, watch: Watch) -> None:
    for _ in range(3600):
        refused(lambda: take(brake))
        watch.seconds += 1
    assert taken(brake, 1, user="eva") == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8::1", "2001:db8::2:3:4:5"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("192.0.2.1:40000", "192.0.2.1:40001"),
        ("[2001:db8::1]:40000", "2001:db8::"),
    ],
)
def test_these_are_one_address(one: str, other: str) -> None:
    assert network_of(one) == network_of(other)


def test_these_are_not() -> None:
    different = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1", "::1", "unknown", "", "a:b"]
    assert len({network_of(one) for one in different}) == len(different)


def test_what_cannot_be_right_counts_for_the_address_alone(brake: Brake) -> None:
    assert sum(refused(lambda: brake.take_impossible(ADDRESS)) == 0 for _ in range(60)) == ADDRESS_TRIES
    assert refused(lambda: take(brake)) > 0
    assert refused(lambda: take(brake, address="192.0.2.2")) == 0


def test_an_address_is_slowed_only_after_many_wrong_tries(brake: Brake) -> None:
    taken(brake, ADDRESS_TRIES - 1, user="x")
    assert not brake.slows(ADDRESS)
    for number in range(ADDRESS_TRIES):
        taken(brake, 1, user=str(number))
    assert brake.slows(ADDRESS)
    assert not brake.slows("192.0.2.2")


# --- by user ---------------------------------------------------------------------------------------------------------


def test_one_user_guessed_at_from_many_addresses_is_braked(brake: Brake) -> None:
    assert sum(taken(brake, 1, address=one_of_many(number)) for number in range(500)) == USER_TRIES


def test_who_logged_in_lately_is_kept_out_by_no_stranger(brake: Brake, watch: Watch) -> None:
    take(brake).passed()
    for number in range(1000):
        taken(brake, 1, address=one_of_many(number))
        taken(brake, 1, user=str(number))
    assert refused(lambda: take(brake, address="192.0.2.2")) > 0
    assert refused(lambda: take(brake, user="eva")) > 0
    assert taken(brake, 60) == FREE_TRIES, "its own brake holds"
    watch.seconds += KNOWN_FOR
    for number in range(1000):
        taken(brake, 1, address=one_of_many(number))
    assert refused(lambda: take(brake)) > 0


def test_a_success_with_ones_own_account_frees_nothing_else(brake: Brake) -> None:
    for number in range(ADDRESS_TRIES - 1):
        take(brake, user=str(number))
    for _ in range(10):
        take(brake, user="own").passed()
    assert sum(taken(brake, 1, user=f"more {number}") for number in range(10)) == 1


def test_the_known_and_those_who_were_wrong_less_often_are_first(brake: Brake) -> None:
    take(brake).passed()
    ranks = [take(brake, user=str(number), address="192.0.2.2").rank for number in range(5)]
    assert take(brake).rank < ranks[0]
    assert ranks == sorted(set(ranks))
    assert take(brake, user="eva", address="192.0.2.3").rank == ranks[0]


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_no_number_of_made_up_names_pushes_out_who_has_to_wait(brake: Brake) -> None:
    taken(brake, FREE_TRIES)
    for number in range(10_100):
        take(brake, user=f"made up {number}", address=one_of_many(number))
    assert refused(lambda: take(brake)) == 1
    assert refused(lambda: take(brake, user="eva")) == 0


def test_what_is_kept_is_bounded_in_bytes(brake: Brake, monkeypatch: pytest.MonkeyPatch) -> None:
    few = KEPT // 32  # all of them take a thirty-second part of the memory, and of the time
    monkeypatch.setattr("plantel.http.brake.KEPT", few)
    tracemalloc.start()
    for number in range(2 * few):
        name = f"{number}{'x' * 1000}"
        taken(brake, FREE_TRIES, user=name, address=one_of_many(number))
        take(brake, user=f"few {name}", address=f"2001:db8:{number:x}::1")
        take(brake, user=f"known {name}", address=one_of_many(number)).passed()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 10 * 2**20 / 32
