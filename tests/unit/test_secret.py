"""What must never be seen is seen nowhere: not printed, not formatted, and in no traceback with local variables."""

import io
import json
import logging
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlencode

import argon2
import msgspec
import pytest
import structlog
from rich.pretty import pretty_repr

from plantel.access import Role, Token, User, token_text
from plantel.ami.client import Endpoint
from plantel.config import load
from plantel.http.auth import Authenticator
from plantel.ports import Transaction
from plantel.secret import Secret
from plantel.testing.memory_store import MemoryStore
from tests.support.door import FORM, Door, make_door
from tests.support.rosters import NOON

MARK = "s3cr3t-m4rk"

T = TypeVar("T")


def told(value: object) -> str:
    """All that programs that print make of `value`."""
    ways: list[Callable[[object], str]] = [repr, str, "{}".format, "{!r:>30}".format, ascii, pretty_repr]
    return "\n".join(way(value) for way in ways)


# --- the type --------------------------------------------------------------------------------------------------------


def test_a_secret_is_told_only_if_it_is_asked_for() -> None:
    secret = Secret(MARK)
    assert MARK not in told(secret) + told([secret]) + told({secret: secret}) + told((secret,))
    assert MARK not in pretty_repr(secret, max_string=3)
    assert secret.reveal() == MARK


@pytest.mark.parametrize("encode", [msgspec.json.encode, json.dumps])
def test_a_secret_is_not_written_by_the_way(encode: Callable[[object], object]) -> None:
    with pytest.raises(TypeError) as refusal:
        encode({"secret": Secret(MARK)})
    assert MARK not in str(refusal.value)


def test_secrets_are_compared_and_an_empty_one_is_none() -> None:
    assert Secret(MARK) == Secret(MARK)
    assert Secret(MARK) != Secret("another")
    assert Secret(MARK) != MARK
    assert Secret("\udce4") != Secret("ä")
    assert len({Secret(MARK), Secret(MARK), Secret("another")}) == 2
    assert Secret(MARK)
    assert not Secret("")
    assert pickle.loads(pickle.dumps(Secret(MARK))) == Secret(MARK)  # our own


# --- what holds one --------------------------------------------------------------------------------------------------


def test_settings_tell_no_secret(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text(MARK)
    file = tmp_path / "plantel.toml"
    file.write_text(
        f'[store]\nurl = "postgresql://plantel:{MARK}@db/plantel"\n'
        + "".join(
            f'[[asterisk]]\nname = "pbx{place}"\n{key}\n'
            for place, key in enumerate((f'secret = "{MARK}"', 'secret_env = "PBX"', f'secret_file = "{kept}"'))
        )
    )
    settings = load(file, {"PBX": MARK})
    assert [server.secret.reveal() for server in settings.asterisk] == [MARK] * 3
    for each in (settings, settings.store, *settings.asterisk):
        assert MARK not in told(each)


def test_accounts_and_endpoints_tell_no_secret_and_all_else() -> None:
    user = User("default", "ana", MARK, Role.READER, ("Ventas",), NOON)
    token = Token("default", "ana", MARK.encode(), Role.READER, ("Ventas",), NOON, NOON, "ana")
    for account in (user, token):
        assert MARK not in told(account)
        assert "'ana'" in repr(account)
        assert "('Ventas',)" in repr(account)
    assert MARK not in told(Endpoint("pbx1", "127.0.0.1", 5038, "plantel", Secret(MARK)))


# --- tracebacks ------------------------------------------------------------------------------------------------------


class Broken(MemoryStore):
    """Fails, with a mistake in the program, at the `fails`-th use from now."""

    fails = 0

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await super().read(self._tried(work))

    async def write(self, work: Callable[[Transaction], T], **_: Any) -> T:
        return await super().write(self._tried(work))

    def _tried(self, work: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
        self.fails -= 1
        return work if self.fails else _fail


def _fail(_: object) -> NoReturn:
    raise RuntimeError("a mistake in the program")


@contextmanager
def logged(last: structlog.typing.Processor) -> Iterator[io.StringIO]:
    """All that is logged within the block, with `last` for the renderer."""
    seen = io.StringIO()
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.add_log_level, _traced, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(seen),
        cache_logger_on_first_use=False,
    )
    try:
        yield seen
    finally:
        structlog.configure(**before)


def _traced(logger: Any, name: str, event: Any) -> Any:
    """Tracebacks with local variables: what is never logged so must not be told even then."""
    tell = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=True, locals_max_string=10_000)
    )
    return tell(logger, name, event)


async def broken_door() -> tuple[Door, Broken]:
    door = make_door()
    store = Broken()
    for name, instance in door.instances.items():
        authenticator = Authenticator(store, name, door.clock, 3600, door.passwords)
        door.instances[name] = instance._replace(authenticator=authenticator)
    door.door._default = door.instances["default"]
    hashed = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(MARK)
    await store.write(lambda t: t.put_user(User("default", "ana", hashed, Role.READER, (), NOON)))
    return door, store


CALLS = {
    "log in": ("/Integra/resources/auth/getUserToken", {"user": "ana", "password": MARK}, ""),
    "log out": ("/Integra/resources/auth/EndSession", {"user": "ana", "token": MARK}, ""),
    "log out with a whole token": (
        "/Integra/resources/auth/EndSession",
        {"user": "ana", "token": token_text("ana", MARK)},
        "",
    ),
    "wire call": ("/Integra/resources/queues/addqueuemember", {}, f"Basic {token_text('ana', MARK)}"),
}
PLACES = [("log in", 1), ("log in", 2), ("log in", 3)] + [(call, place) for call in list(CALLS)[1:] for place in (1, 2)]


@pytest.mark.anyio
@pytest.mark.parametrize(("call", "place"), PLACES)
async def test_no_traceback_tells_a_secret_even_with_local_variables(call: str, place: int) -> None:
    door, store = await broken_door()
    path, fields, authorization = CALLS[call]
    store.fails = place
    with logged(structlog.processors.JSONRenderer()) as seen:
        answer = await door.call(
            "POST",
            path,
            headers={"content-type": FORM, "authorization": authorization},
            body=urlencode(fields).encode(),
        )
    door.passwords.close()
    assert answer.status == 500
    log = seen.getvalue()
    assert "a mistake in the program" in log
    assert '"locals"' in log
    for secret in (MARK, token_text("ana", MARK)):
        assert secret not in log
