"""The client without a network: forms, addresses, waits, arguments."""

import json
import pickle
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantel import errors
from plantel.client import Integra, Member, Retry, Stored, Warned
from plantel.client.address import parse_address
from plantel.client.dialogue import Call, Dialogue, Lost, Pause
from plantel.client.retry import read_retry_after
from plantel.client.wire import Answer, Form, forms, read_stored
from plantel.roster import parse_member

names = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters=",;|"), min_size=1, max_size=19
)
members = st.builds(
    Member,
    names,
    names,
    st.from_regex(r"(SIP|PJSIP)/[0-9a-z]{1,20}", fullmatch=True),
    st.integers(0, 2**31 - 1),
    st.booleans(),
)


@given(st.lists(members, max_size=30), st.integers(1, 10), st.integers(1, 2000))
def test_forms_hold_every_member_once_and_in_order(roster: list[Member], most_items: int, most_bytes: int) -> None:
    read: list[Member] = []
    for form in forms(roster, most_items, most_bytes):
        (field,) = parse_qs(form.body.decode("ascii"), strict_parsing=True, errors="strict")["queuemember"]
        items = [parse_member(item) for item in json.loads(field)]
        assert (form.first, form.last) == (len(read), len(read) + len(items))
        assert 1 <= len(items) <= most_items
        assert len(form.body) <= most_bytes or len(items) == 1
        read += items
    assert read == roster


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://integra.example.com", "https://integra.example.com"),
        ("https://integra.example.com:8443/", "https://integra.example.com:8443"),
        ("https://x.example.com/Integra/resources/queues/addqueuemember", "https://x.example.com"),
        ("https://x.example.com/proxied/Integra", "https://x.example.com/proxied"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost:8080", "http://localhost:8080"),
    ],
)
def test_addresses(url: str, base: str) -> None:
    assert parse_address(url).base == base


@pytest.mark.parametrize(
    "url",
    [
        "",
        "integra.example.com",
        "ftp://x",
        "https://",
        "https://u:secret@x",
        "https://x/?a=1",
        "https://x/#a",
        "https://x\n",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(errors.UrlNotUsable) as caught:
        parse_address(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["integra.example.com", "10.0.0.1", "127.0.0.1.example.com", "localhost.example.com"])
def test_plain_http_is_for_loopback(host: str) -> None:
    with pytest.raises(errors.UrlNotSafe):
        parse_address(f"http://{host}:8080")
    assert parse_address(f"http://{host}:8080", insecure_http=True).base == f"http://{host}:8080"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"token": "a", "user": "b", "password": "c"},
        {"user": "b"},
        {"password": "c"},
        {"token": "a", "password": "c"},
    ],
)
def test_credentials_are_a_token_or_a_login(settings: dict[str, str]) -> None:
    with pytest.raises(TypeError):
        Integra("https://integra.example.com", **settings)  # type: ignore[arg-type]  # mypy takes them for any setting


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX-Injected: 1", "ñ"])
def test_a_token_cannot_break_out_of_its_header(token: str) -> None:
    with pytest.raises(errors.TokenNotUsable):
        Integra("https://integra.example.com", token=token)


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(errors.FileUnreadable, match="cannot be read"):
        Integra("https://integra.example.com", token="a", ca_file=tmp_path / "none.pem")


def test_errors_survive_pickling() -> None:
    error = errors.ServerRefused(reason="r", item=3)
    error.stored, error.tried = 2, 4
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.say(), copy.stored, copy.tried) == (error.say(), 2, 4)
    invalid = pickle.loads(pickle.dumps(errors.MembersInvalid([errors.EmptyValue(key="membername", item=1)])))
    assert invalid.say() == "nothing was sent; problems: 1; the first: item 1: membername: must not be empty"


def test_retry_after() -> None:
    assert read_retry_after(None) is None
    assert read_retry_after("7") == 7
    assert read_retry_after("soon") is None
    assert read_retry_after("-5") is None
    assert read_retry_after("9" * 400) is None
    assert read_retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0
    ahead = read_retry_after(formatdate(4_000_000_000, usegmt=True))
    assert ahead is not None
    assert ahead > 10**8


@given(st.integers(1, 100), st.none() | st.floats(0, 3600))
def test_waits_grow_and_are_bounded(tried: int, retry_after: float | None) -> None:
    wait = Retry(first=0.5, longest=8).wait(tried, retry_after)
    least = retry_after or 0.0
    assert least <= wait <= least + min(8, 0.5 * 2 ** (tried - 1))


@pytest.mark.parametrize("settings", [{"tries": 0}, {"timeout": 0}, {"deadline": -1}, {"first": 2, "longest": 1}])
def test_nonsense_is_no_retry(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        Retry(**settings)


def test_the_deadline_holds_for_all_tries_and_waits_together() -> None:
    """Driven by hand on a clock of its own: each try takes its whole timeout and each wait its whole length."""
    now = 0.0
    retry = Retry(tries=100, timeout=10, deadline=60, first=4, longest=4)
    talk = Dialogue(
        token="a", user=None, password=None, batch_items=1, batch_bytes=1, retry=retry, clock=lambda: now
    ).members_of("Ventas->")

    def drive() -> None:
        nonlocal now
        step = next(talk)
        while True:
            now += step.timeout if isinstance(step, Call) else step.seconds
            step = talk.send(Lost("silence") if isinstance(step, Call) else None)

    with pytest.raises(errors.ServerUnavailable):
        drive()
    assert 40 < now <= 60


def test_what_retry_after_asks_is_waited() -> None:
    talk = Dialogue(
        token="a", user=None, password=None, batch_items=1, batch_bytes=1, retry=Retry(first=0, longest=0)
    ).members_of("Ventas->")
    next(talk)
    assert talk.send(Answer(429, {"retry-after": "11"}, b"0")) == Pause(11)


@pytest.mark.parametrize(
    ("header", "warnings"),
    [
        ("", ()),
        (
            "item 2: interface1: no phone; item 3: name: odd",
            (Warned(12, "interface1: no phone"), Warned(13, "name: odd")),
        ),
        ("the disk is nearly full; do something", (Warned(None, "the disk is nearly full; do something"),)),
        ("item 4: of another batch", (Warned(None, "of another batch"),)),
        ("item 1: cut in the middle; item", (Warned(11, "cut in the middle; item"),)),
    ],
)
def test_warnings_are_about_what_was_given(header: str, warnings: tuple[Warned, ...]) -> None:
    """The batch has three of the members given; its first is the eleventh."""
    answer = Answer(200, {"plantel-warning": header, "plantel-delivery": "live"}, b"1")
    assert read_stored(answer, Form(10, 13, b"")) == Stored(10, 13, "", "live", "", warnings)
