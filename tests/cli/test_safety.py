"""`plantel check` and `plantel serve` warn of what is unsafe. The findings themselves: tests/unit/test_safety.py."""

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from plantel.access import Role, Token
from plantel.roster import Member
from plantel.store import open_store
from tests.support.rosters import a_batch, added
from tests.support.server import PlantelServer, served

UNSAFE = """
[[asterisk]]
name = "pbx1"
host = "127.0.0.2"
port = 1
secret = "short"
[roster]
interfaces = ["SIP/.+"]
"""


def warned(server: PlantelServer, code: int = 0) -> set[str]:
    """The codes; whether the tests are run as root is left aside, as is the limit of this machine."""
    found = json.loads(server.run("check", "--json", code=code))
    assert all(one["good"] for one in found if one["code"])
    return {one["code"] for one in found} - {"", "root", "few_descriptors"}


def test_check_warns_and_does_not_fail_for_it(tmp_path: Path) -> None:
    server = PlantelServer(tmp_path, http={"cors_origins": ["*"]})
    server.declare([])
    assert warned(server) == {"any_origin"}
    shown = server.run("check", lang="es")
    assert 'OJO  safety: http.cors_origins tiene "*"' in shown
    assert "-> ponga las páginas que lo necesitan" in shown
    assert 'WARN safety: http.cors_origins has "*"' in server.run("check")


def test_check_is_silent_where_all_is_safe(tmp_path: Path) -> None:
    server = PlantelServer(tmp_path)
    server.declare(["Ventas->"])
    assert server.token
    assert warned(server) == set()


def test_check_warns_of_what_is_in_the_store(tmp_path: Path) -> None:
    server = PlantelServer(tmp_path)
    server.declare(["Ventas->"])

    async def put() -> None:
        store = open_store(f"sqlite:///{tmp_path}/plantel.db")
        made = datetime.now(UTC) - timedelta(days=400)
        await store.write(lambda one: one.add_token(Token("default", "crm", b"x" * 32, Role.ADMIN, (), made)))
        await store.write(added(Member("Ventas->", "ana", "SIP/34900@trunk"), batch=a_batch(instance="default")))
        await store.close()

    asyncio.run(put())
    assert warned(server) == {"old_tokens", "refused_members"}
    shown = server.run("check")
    assert "tokens without an end are more than a year old: crm" in shown
    assert "such as SIP/34900@trunk" in shown


@pytest.mark.parametrize("unsafe", [True, False])
def test_serve_says_it_once_in_its_log(tmp_path: Path, unsafe: bool) -> None:
    server = PlantelServer(tmp_path, config=UNSAFE if unsafe else "")
    with served(server):
        server.stop()
    said = [line for line in server.log.read_text().splitlines() if "] unsafe " in line and "code=root" not in line]
    assert ["code=weak_secret" in line or "code=dials_out" in line for line in said] == ([True] * 2 if unsafe else [])
    assert "short" not in " ".join(said).replace("is short", "")


def test_serve_says_that_everybody_may_change_its_log(tmp_path: Path) -> None:
    server = PlantelServer(tmp_path)
    server.log.touch()
    server.log.chmod(0o666)
    with served(server):
        server.stop()
    assert os.fspath(server.log) in server.log.read_text()
