"""How many connections a limit of descriptors allows."""

import resource

from hypothesis import given
from hypothesis import strategies as st

from plantel.descriptors import LEAST, OWN, descriptors, needed, share

CONNECTIONS = st.integers(LEAST, 200_000)


@given(CONNECTIONS)
def test_what_is_needed_is_enough_and_hardly_more(connections: int) -> None:
    limit = needed(connections)
    assert share(limit, connections).connections == connections
    if connections > LEAST:
        assert share(limit - 8, connections).connections < connections


@given(st.integers(OWN + 256 + LEAST * 9 // 8 + 1, 2**20), CONNECTIONS)
def test_all_that_can_come_fits_below_the_limit(limit: int, connections: int) -> None:
    part = share(limit, connections)
    assert OWN + part.connections + part.slack + part.reserve <= limit
    assert LEAST <= part.connections <= connections


def test_the_limits_are_those_of_this_process() -> None:
    found = descriptors(100)
    assert (found.soft, found.hard) == resource.getrlimit(resource.RLIMIT_NOFILE)
    assert found.needed == needed(100)
