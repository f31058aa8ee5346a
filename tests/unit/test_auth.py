"""The brake on wrong credentials, with a clock that the test sets."""

import pytest

from plantel import errors
from plantel.http.auth import FREE_TRIES, LONGEST_WAIT, Brake

USER, ADDRESS = "ana", "192.0.2.1"


class Watch:
    """Seconds, as a test sets them."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def wait_asked(brake: Brake, user: str = USER, address: str = ADDRESS) -> int:
    """The seconds that the brake asks for, 0 where it lets pass."""
    try:
        brake.check(user, address)
    except errors.TooManyAttempts as refusal:
        seconds: int = refusal.params["seconds"]
        return seconds
    return 0


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def brake(watch: Watch) -> Brake:
    return Brake(watch)


def fail(brake: Brake, times: int, user: str = USER, address: str = ADDRESS) -> None:
    for _ in range(times):
        brake.failed(user, address)


def test_the_first_tries_are_free(brake: Brake) -> None:
    fail(brake, FREE_TRIES - 1)
    assert wait_asked(brake) == 0
    fail(brake, 1)
    assert wait_asked(brake) == 1


def test_each_further_failure_doubles_the_wait_up_to_the_longest(brake: Brake) -> None:
    fail(brake, FREE_TRIES)
    waits = []
    for _ in range(9):
        waits.append(wait_asked(brake))
        fail(brake, 1)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_longest_wait_holds_however_many_failures_there_were(brake: Brake) -> None:
    fail(brake, 2000)
    assert wait_asked(brake) == LONGEST_WAIT


def test_the_wait_passes_and_the_count_stays(brake: Brake, watch: Watch) -> None:
    fail(brake, FREE_TRIES + 2)
    assert wait_asked(brake) == 4
    watch.seconds += 3.5
    assert wait_asked(brake) == 1
    watch.seconds += 0.5
    assert wait_asked(brake) == 0
    fail(brake, 1)
    assert wait_asked(brake) == 8


def test_a_success_forgets(brake: Brake) -> None:
    fail(brake, FREE_TRIES + 5)
    brake.passed(USER, ADDRESS)
    assert wait_asked(brake) == 0
    fail(brake, FREE_TRIES - 1)
    assert wait_asked(brake) == 0


def test_nobody_else_waits(brake: Brake) -> None:
    fail(brake, FREE_TRIES + 5)
    assert wait_asked(brake, address="192.0.2.2") == 0
    assert wait_asked(brake, user="eva") == 0


def test_ten_thousand_pairs_are_kept_and_the_least_recent_go_first(brake: Brake) -> None:
    fail(brake, FREE_TRIES, user="old")
    fail(brake, FREE_TRIES)
    for number in range(9_998):
        brake.failed(str(number), ADDRESS)
    assert wait_asked(brake, user="old") == 1
    brake.failed("one more", ADDRESS)
    assert wait_asked(brake, user="old") == 0
    assert wait_asked(brake) == 1
