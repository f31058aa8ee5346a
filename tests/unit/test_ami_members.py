"""A member of a queue, read from an item in its usual form and by name: the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantel.ami.members import live_member, usual_member
from plantel.ami.wire import Message
from plantel.plan import Membership

USUAL = (
    "Event: QueueMember",
    "Queue: Ventas->",
    "Name: José: Ñandú",
    "Location: SIP/1001",
    "StateInterface: hint:1001@ext-local",
    "Membership: dynamic",
    "Penalty: 3",
    "CallsTaken: 0",
    "LastCall: 0",
    "LastPause: 1795445820",
    "LoginTime: 1795445820",
    "InCall: 0",
    "Status: 4",
    "Paused: 1",
    "PausedReason: lunch",
    "Wrapuptime: 0",
    "ActionID: 77",
)


def block(*lines: str) -> bytes:
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def test_the_usual_form() -> None:
    found = usual_member(block(*USUAL))
    assert found is not None
    queue, member = found
    assert queue == "Ventas->"
    assert (member.membername, member.interface, member.state_interface) == (
        "José: Ñandú",
        "SIP/1001",
        "hint:1001@ext-local",
    )
    assert (member.penalty, member.paused, member.status, member.once_paused) == (3, True, 4, True)
    assert member.paused_reason == "lunch"
    assert member == live_member(Message(block(*USUAL)).headers)


@pytest.mark.parametrize("missing", range(1, 15))
def test_what_lacks_a_line_is_not_of_the_usual_form(missing: int) -> None:
    assert usual_member(block(*(line for number, line in enumerate(USUAL) if number != missing))) is None


texts = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1)


@given(
    *(texts, texts, texts, st.sampled_from(["dynamic", "static", "realtime"])),
    *(st.integers(0, 2**31), st.integers(0, 8), st.integers(0, 1), st.integers(0, 2**33)),
)
def test_both_readings_say_the_same(
    name: str, interface: str, state: str, membership: str, penalty: int, status: int, paused: int, pause: int
) -> None:
    lines = list(USUAL)
    lines[2:7] = (
        f"Name: {name}",
        f"Location: {interface}",
        f"StateInterface: {state}",
        f"Membership: {membership}",
        f"Penalty: {penalty}",
    )
    lines[9], lines[12], lines[13] = f"LastPause: {pause}", f"Status: {status}", f"Paused: {paused}"
    found = usual_member(block(*lines))
    assert found is not None
    assert found[1] == live_member(Message(block(*lines)).headers)
    assert (found[1].membership is Membership.DYNAMIC) == (membership == "dynamic")


def test_a_reason_that_is_not_utf_8_can_be_shown() -> None:
    latin = block(*USUAL).replace(b"lunch", b"almuerzo \xf1")
    found = usual_member(latin)
    assert found is not None
    assert found[1].paused_reason == live_member(Message(latin).headers).paused_reason == "almuerzo \ufffd"
