"""Which connections have to go, decided from what was seen of them; and the kernel's filter that refuses new ones."""

import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantel.http.connections import (
    FIRST_WAIT,
    LAST_WAIT,
    MOST_CROWDS,
    OWED,
    PACE,
    Asked,
    Connection,
    Crowds,
    Deadlines,
    Reason,
    Seen,
    hoarders,
    overdue,
    surplus,
)
from plantel.http.sockets import Sockets, network

DEADLINES = Deadlines(first=15, idle=75, write=30)


def seen(*, network: bytes = b"a", idle: float = 0.0, delivered: int = 0, unsent: int = 0) -> Seen:
    return Seen(1, 1, "192.0.2.1:1", network, delivered, unsent, idle, listening=True)


def connection(now: Seen | None = None, *, asked: Asked | None = None, attended: bool = True) -> Connection:
    return Connection(now or seen(), since=0.0, attended=attended, asked=asked)


# --- one too many -----------------------------------------------------------------------------------------------------

CONNECTIONS = st.lists(
    st.builds(
        lambda network, idle, busy: connection(seen(network=network, idle=idle), asked=Asked(int(busy), 0.0)),
        st.sampled_from([b"a", b"b", b"c", b"d"]),
        st.floats(0, 100),
        st.booleans(),
    ),
    max_size=60,
)


def sizes(connections: Sequence[Connection]) -> Counter[bytes]:
    return Counter(one.seen.network for one in connections)


@given(CONNECTIONS, st.integers(1, 40))
def test_a_surplus_is_taken_from_the_largest_and_from_the_longest_idle(present: list[Connection], most: int) -> None:
    leaving = surplus(present, most)
    gone = {id(one) for one in leaving}
    staying = [one for one in present if id(one) not in gone]
    assert len(staying) == (len(present) if len(present) <= most else most - most // 16)
    for cut in sizes(leaving):
        assert sizes(staying)[cut] >= max(sizes(staying).values()) - 1, "none is cut below the others"
    for left in leaving:
        for stays in staying:
            if stays.seen.network == left.seen.network:
                assert left.busy <= stays.busy
                assert left.busy < stays.busy or left.seen.idle >= stays.seen.idle


def test_one_network_cannot_push_out_another() -> None:
    greedy = [connection(seen(network=b"greedy")) for _ in range(1000)]
    others = [connection(seen(network=b"%d" % number, idle=60.0)) for number in range(50)]
    assert {one.seen.network for one in surplus(greedy + others, 100)} == {b"greedy"}


def test_who_has_too_many_waits_and_longer_each_time() -> None:
    crowds = Crowds()
    now, waits = 0.0, []
    for _ in range(8):
        crowds.refuse([b"a"], now)
        begun = now
        while crowds.refused(now):
            now += FIRST_WAIT / 2
        waits.append(now - begun)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (FIRST_WAIT, LAST_WAIT)
    assert crowds.refused(now + LAST_WAIT) == []
    crowds.refuse([b"a"], now + LAST_WAIT)
    assert crowds.refused(now + LAST_WAIT + FIRST_WAIT) == [], "it has been forgotten in the meantime"


def test_those_that_wait_are_bounded() -> None:
    crowds = Crowds()
    crowds.refuse([b"%d" % number for number in range(10 * MOST_CROWDS)], 0.0)
    assert len(crowds.refused(0.0)) == MOST_CROWDS


# --- deadlines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "now", "reason"),
    [
        (None, 14.9, None),
        (None, 15.1, Reason.SILENT),
        (Asked(1, 1.0), 1000.0, None),
        (Asked(0, 100.0), 174.9, None),
        (Asked(0, 100.0), 175.1, Reason.IDLE),
    ],
)
def test_silence_has_an_end_but_work_has_none(asked: Asked | None, now: float, reason: Reason | None) -> None:
    assert overdue(connection(asked=asked), now, DEADLINES) == reason
    assert overdue(connection(asked=asked, attended=False), now, DEADLINES) is None, "the server library sees to it"


def read(pace: float, seconds: int, size: int) -> Reason | None:
    """What becomes of a connection whose peer reads so many bytes a second of a large answer, looked at each second."""
    one = connection(asked=Asked(0, 0.0))
    for second in range(seconds):
        delivered = min(int(pace * second), size)
        one.look(seen(delivered=delivered), Asked(0, 0.0), size if second == 0 else 0, float(second), DEADLINES)
        if one.waiting and (reason := overdue(one, float(second), DEADLINES)):
            return reason
    return None


@given(st.integers(PACE, 10_000_000), st.integers(1, 50_000_000))
def test_who_reads_at_the_pace_is_never_cut_off(pace: int, size: int) -> None:
    assert read(pace * 1.1, 200, size) is None


@pytest.mark.parametrize("pace", [0, 1, PACE / 2])
def test_who_reads_slower_is_cut_off(pace: float) -> None:
    assert read(pace, 62, 50_000_000) == Reason.NOT_READING


def test_all_that_waits_is_bounded_and_who_reads_stays() -> None:
    reading, stalled, small = (connection() for _ in range(3))
    for one, owed, delivered in ((reading, OWED, 1), (stalled, OWED // 2, 0), (small, OWED // 4, 0)):
        one.look(seen(delivered=delivered), None, owed, 1.0, DEADLINES)
    assert hoarders([reading, stalled, small]) == [stalled, small]
    assert hoarders([stalled, small]) == []


# --- the kernel's filter ----------------------------------------------------------------------------------------------


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with socket.create_server(
        (request.param, 0), family=socket.AF_INET6 if ":" in request.param else socket.AF_INET
    ) as made:
        yield made


def connects(listener: socket.socket, source: str) -> bool:
    """Whether somebody from there is let in, in less time than the kernel takes for a second try."""
    with socket.socket(listener.family) as client:
        client.settimeout(0.5)
        client.bind((source, 0))
        with suppress(TimeoutError):
            client.connect(listener.getsockname())
            return True
    return False


def test_networks_are_refused_and_admitted_again(listener: socket.socket) -> None:
    address = listener.getsockname()[0]
    sockets = Sockets(listener.getsockname()[1], unread=60)
    sockets.look()
    assert sockets.listening
    others = [bytes([10, 0, 0, number]) for number in range(50)] + [
        bytes([32, 1, 13, 184, 0, 0, 0, number]) for number in range(50)
    ]
    sockets.refuse([*others, network(address)])
    assert not connects(listener, address)
    sockets.refuse(others)
    assert connects(listener, address)
    sockets.refuse(None)
    assert not connects(listener, address)
    sockets.admit()
    assert connects(listener, address)


def test_connections_are_seen_and_closed(listener: socket.socket) -> None:
    sockets = Sockets(listener.getsockname()[1], unread=60)
    assert sockets.look() == []
    with socket.create_connection(listener.getsockname()[:2]) as client, listener.accept()[0] as server:
        (one,) = sockets.look()
        host, port = client.getsockname()[:2]
        assert one.client == (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        assert (one.descriptor, one.unsent) == (server.fileno(), 0)
        server.sendall(b"x" * 100)
        assert client.recv(100, socket.MSG_WAITALL) == b"x" * 100
        assert sockets.look()[0].delivered >= 100
        other = one._replace(inode=one.inode + 1)
        assert sockets.close(other, at_once=True), "there is nothing to close any more"
        server.sendall(b"y")
        assert sockets.close(one, at_once=False)
        assert client.recv(10) == b"y"
        assert client.recv(10) == b""


@pytest.mark.parametrize(
    ("address", "is_of"),
    [
        ("192.0.2.7", bytes([192, 0, 2, 7])),
        ("::ffff:192.0.2.7", bytes([192, 0, 2, 7])),
        ("2001:db8:1:2:3:4:5:6", bytes.fromhex("20010db800010002")),
        ("fe80::1%lo", bytes.fromhex("fe80000000000000")),
    ],
)
def test_a_network_is_what_one_subscriber_has(address: str, is_of: bytes) -> None:
    assert network(address) == is_of
