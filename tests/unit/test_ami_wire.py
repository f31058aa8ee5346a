"""The bytes of AMI: nothing adds a line that was not meant, and no cut in the stream changes what it says."""

import itertools
import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from plantel.ami import actions, wire
from plantel.ami.limits import MESSAGE_BYTES
from plantel.errors import InvalidItem
from plantel.plan import Action, Add, Pause, Penalise, Remove
from plantel.roster import PENALTY_MOST, Member
from plantel.testing.ami_server import read_action

BANNER = b"Asterisk Call Manager/5.0.4\r\n"


def messages(stream: bytes, cuts: list[int]) -> list[wire.Message]:
    decoder = wire.Decoder()
    found: list[wire.Message] = []
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in itertools.pairwise(edges):
        found += decoder.feed(stream[start:end])
    return found


headers = st.lists(
    st.tuples(
        st.sampled_from(["Event", "Queue", "Name", "Location", "PausedReason", "ActionID"]),
        st.one_of(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), st.just("")),
    ),
    min_size=1,
    max_size=8,
)


@given(blocks=st.lists(headers, max_size=6), cuts=st.lists(st.integers(0, 10_000), max_size=12))
def test_no_cut_changes_what_a_stream_says(blocks: list[list[tuple[str, str]]], cuts: list[int]) -> None:
    encoded = ["".join(f"{name}: {value}\r\n" for name, value in block) + "\r\n" for block in blocks]
    found = messages(BANNER + "".join(encoded).encode(), cuts)
    assert len(found) == len(blocks)
    for message, block in zip(found, blocks, strict=True):
        first: dict[str, str] = {}
        for name, value in block:
            first.setdefault(name, value)
        assert message.headers == first


@given(stream=st.binary(max_size=300), cuts=st.lists(st.integers(0, 400), max_size=12))
@example(stream=b"\r\n\r\n\r\n\r\r\n\r\n\n", cuts=[1, 2, 3, 4, 5])
def test_no_cut_changes_what_junk_says(stream: bytes, cuts: list[int]) -> None:
    assert messages(BANNER + stream, cuts) == messages(BANNER + stream, [])


def test_each_byte_may_come_alone() -> None:
    stream = BANNER + b"Response: Success\r\nActionID: 1\r\n\r\nEvent: Reload\r\n\r\n"
    found = messages(stream, list(range(len(stream))))
    assert [message.headers for message in found] == [{"Response": "Success", "ActionID": "1"}, {"Event": "Reload"}]


def test_the_banner_tells_the_version() -> None:
    decoder = wire.Decoder()
    assert decoder.feed(BANNER[:10]) == []
    assert decoder.banner is None
    decoder.feed(BANNER[10:])
    assert decoder.banner == "Asterisk Call Manager/5.0.4"


@pytest.mark.parametrize(
    "stream",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02",
        b"Asterisk Call Manager/" + b"5" * 300,
    ],
)
def test_what_is_not_ami_is_known_by_its_first_bytes(stream: bytes) -> None:
    with pytest.raises(wire.Malformed):
        wire.Decoder().feed(stream)


@pytest.mark.parametrize("piece", [1 << 12, 1 << 17])
def test_a_message_without_end_is_not_held_for_ever(piece: int) -> None:
    decoder = wire.Decoder()
    decoder.feed(BANNER)
    for _ in range(MESSAGE_BYTES // piece):
        assert decoder.feed(b"x" * piece) == []
    with pytest.raises(wire.TooMuch):
        decoder.feed(b"x" * piece)


@given(name=st.binary(min_size=1, max_size=79))
def test_a_name_in_any_charset_comes_back_byte_for_byte(name: bytes) -> None:
    assume(not re.search(rb"[\x00-\x1f\x7f]|\xc2[\x80-\x9f]", name))
    assume(not name.startswith(b" "))
    (message,) = messages(BANNER + b"Event: QueueMember\r\nName: " + name + b"\r\n\r\n", [])
    assert wire.encode([("MemberName", message.headers["Name"])]) == b"MemberName: " + name + b"\r\n\r\n"


def test_a_name_in_utf8_is_plain_text() -> None:
    (message,) = messages(BANNER + "Event: x\r\nName: José Ñandú\r\n\r\n".encode(), [])
    assert message.headers["Name"] == "José Ñandú"


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "\x00", "a\tb", "\x1b[2J", "\x7f", "\x85", "\x9f", "\udcc2\udc85"])
def test_a_control_character_is_not_sent(value: str) -> None:
    with pytest.raises(wire.Unsendable):
        wire.encode([("Action", "QueueAdd"), ("MemberName", value)])


@pytest.mark.parametrize("name", ["", "Queue: x\r\nPenalty", "Queue Name", "Queue:", "ñ"])
def test_a_header_has_the_name_of_a_header(name: str) -> None:
    with pytest.raises(wire.Unsendable):
        wire.encode([(name, "x")])


def test_half_a_surrogate_pair_is_not_sent() -> None:
    with pytest.raises(wire.Unsendable):
        wire.encode([("Queue", "\ud800")])


def test_a_line_has_1024_bytes_at_most() -> None:
    room = 1024 - len("Queue: \r\n")
    assert len(wire.encode([("Queue", "x" * room)])) == 1024 + 2
    with pytest.raises(wire.Unsendable):
        wire.encode([("Queue", "x" * (room + 1))])
    with pytest.raises(wire.Unsendable):
        wire.encode([("Queue", "ñ" * (room // 2 + 1))])


def test_an_action_has_1_to_128_headers() -> None:
    assert wire.encode([("Variable", "x")] * 128).count(b"\r\n") == 129
    for count in (0, 129):
        with pytest.raises(wire.Unsendable):
            wire.encode([("Variable", "x")] * count)


names = st.one_of(
    st.text(
        st.characters(exclude_characters=",;|\u2028\u2029", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=26
    ),
    st.text(min_size=1, max_size=3),
)


@given(
    queue=names,
    membername=names,
    interface=st.from_regex(r"[A-Za-z0-9]{1,20}/[A-Za-z0-9_.@/:+*#~-]{1,58}", fullmatch=True),
    penalty=st.integers(0, PENALTY_MOST),
    paused=st.booleans(),
)
@example("Ventas->", "José Ñandú", "SIP/1001", 0, False)
@example("A+B", "x: y", "Local/1@agents/n", 1, True)
@example("Penalty: 9", "ActionID: 7", "SIP/1", 1, True)
def test_nothing_that_a_member_may_hold_adds_to_an_action(
    queue: str, membername: str, interface: str, penalty: int, paused: bool
) -> None:
    try:
        member = Member(queue, membername, interface, penalty, paused)
    except InvalidItem:
        assume(False)
    add = Add(member.campaign, member.interface, member.membername, member.penalty, member.paused)
    block = actions.encode(add)
    assert block.count(b"\n") == block.count(b"\r") == 7
    assert read_action(block) == {
        "Action": "QueueAdd",
        "Queue": queue,
        "Interface": interface,
        "MemberName": membername,
        "Penalty": str(penalty),
        "Paused": str(int(paused)),
    }


@pytest.mark.parametrize(
    ("action", "read"),
    [
        (Remove("A+B", "SIP/1"), {"Action": "QueueRemove", "Queue": "A+B", "Interface": "SIP/1"}),
        (
            Penalise("A+B", "SIP/1", 7),
            {"Action": "QueuePenalty", "Queue": "A+B", "Interface": "SIP/1", "Penalty": "7"},
        ),
        (
            Pause("A+B", "SIP/1", False),
            {"Action": "QueuePause", "Queue": "A+B", "Interface": "SIP/1", "Paused": "0"},
        ),
    ],
)
def test_each_change_has_its_action(action: Action, read: dict[str, str]) -> None:
    assert read_action(actions.encode(action)) == read
