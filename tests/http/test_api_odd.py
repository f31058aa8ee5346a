"""Odd questions and odd bodies, of every kind that came to mind: what is wrong with them is the client's business.

An answer of 500 or above says that something is wrong here.
"""

import asyncio
import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plantel.access import Role
from plantel.http.api import BATCHES
from tests.support.door import Door, item, make_door
from tests.support.rsgi import Answer, Exchange, Scope

TEXTS = st.text(max_size=8) | st.sampled_from(
    [
        *(
            "\0",
            "a\0b",
            "\ud800",
            "é",
            "\uff11\uff12",
            "²",
            "\u2028",
            "%",
            "%zz",
            "..",
            "a/b",
            "",
            " 5 ",
            "+5",
            "1_0",
            "0x10",
        ),
        *("-1", "true", "nan", "inf", "1e400", "0" * 5000, "9" * 5000, "-" + "9" * 5000, "Ventas->", "Cobros", "ana"),
        *("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"),
        *(
            "9999-12-31T23:59:59.999999999Z",
            "9999-12-31T23:59:60Z",
            "2026-02-30T00:00:00Z",
            "2026-01-01T00:00:00+99:99",
        ),
        *("1969-12-31T23:59:59Z", "2026-01-01", "1767225600", "-62135596801", "253402300800", "1" + "0" * 400),
    ]
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)

CHOSEN = st.fixed_dictionaries(
    {"campaign": st.just("Ventas->") | VALUES, "agents": st.lists(TEXTS, max_size=3) | VALUES},
    optional={"paused": st.booleans() | VALUES, "reason": TEXTS | VALUES, "name": TEXTS},
)

ITEMS = st.lists(
    st.fixed_dictionaries(
        {
            "membername": st.just("ana") | VALUES,
            "queueName": st.just("Ventas->") | VALUES,
            "interface1": st.just("SIP/1001") | VALUES,
            "penalty": st.integers() | VALUES,
            "paused": VALUES,
        }
    ),
    max_size=3,
)

BODIES = (
    (VALUES | CHOSEN | ITEMS | st.fixed_dictionaries({"name": VALUES})).map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=30)
    | st.sampled_from(
        [
            *(b"[" * 100_000, b'{"a":' * 50_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000, b"", b"\xef\xbb\xbf[]"),
            *(
                b'{"name": "a", "name": "b"}',
                b'{"name": "\xff"}',
                b'{"\xff": 1}',
                b"[1e999]",
                b"[" + b"9" * 5000 + b"]",
            ),
            b'[{"penalty": ' + b"9" * 5000 + b"}]",
            '[{"penalty": "1"}]'.encode("utf-16"),
        ]
    )
)

KINDS = st.sampled_from(
    [
        *("application/json", "", "text/plain", "application/x-www-form-urlencoded", "application/msgpack"),
        *(
            "multipart/form-data",
            "multipart/form-data; boundary=x",
            "application/json; charset=utf-16",
            ";;;",
            "x" * 300,
        ),
    ]
)

usual = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Asked:
    """A door, two tokens, and an event loop to ask in."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._door = make_door()
        self.tokens = runner.run(self._furnish(self._door))

    async def _furnish(self, door: Door) -> list[str]:
        await door.declare("Ventas->", "Cobros")
        admin = await door.token("admin")
        await door.add(admin, [item("ana"), item("luis", "Cobros", "SIP/1002")])
        return [admin, await door.token("narrow", Role.ADMIN, ("Cobros",))]

    def ask(self, method: str, path: str, query: str, token: str, kind: str = "", body: bytes = b"") -> Answer:
        exchange = Exchange([body])
        fields = [("host", "plantel.example.com"), ("content-length", str(len(body))), ("content-type", kind)]
        scope = Scope(method, path, query, [*fields, ("authorization", f"Basic {token}")])
        self._runner.run(self._door.door.__rsgi__(scope, exchange))
        return exchange.answer


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    with asyncio.Runner() as runner:
        yield Asked(runner)


@usual
@given(
    st.sampled_from(["GET", "GET", "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST"]),
    st.sampled_from(["members", "drift", "journal", "batches", "campaigns", "servers", "why", "schema/openapi.json"]),
    st.lists(st.tuples(st.sampled_from(["campaign", "at", "limit", "agent", "server", "x"]), TEXTS), max_size=4),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=12),
    st.integers(0, 1),
)
def test_no_question_brings_about_a_5xx(
    asked: Asked, method: str, path: str, pairs: list[tuple[str, str]], rest: str, who: int
) -> None:
    query = "&".join(f"{key}={quote(value.encode('utf-8', 'surrogatepass'), safe='')}" for key, value in pairs)
    answer = asked.ask(method, f"/api/v1/{path}", f"{query}&{rest}", asked.tokens[who])
    assert answer.status < 500, answer


@usual
@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=12), st.integers(0, 1))
def test_no_path_brings_about_a_5xx(asked: Asked, path: str, who: int) -> None:
    for prefix in ("/api/v1/", "/api/v1/batches/"):
        assert asked.ask("GET", prefix + path, "", asked.tokens[who]).status < 500


@usual
@given(st.sampled_from([*sorted(BATCHES), "/api/v1/campaigns", "/api/v1/campaigns/remove"]), BODIES, KINDS)
def test_no_body_of_any_kind_brings_about_a_5xx(asked: Asked, path: str, body: bytes, kind: str) -> None:
    answer = asked.ask("POST", path, "", asked.tokens[0], kind, body)
    assert answer.status < 500, answer
    assert answer.status < 400 or answer.json["code"]
