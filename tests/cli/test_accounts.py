"""`plantel token` and `plantel user` beside a running server."""

import json
import os
import shlex
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from plantel.access import read_token_text
from tests.support.integrator import Integrator, within
from tests.support.server import PROGRAM, PlantelServer

SOON = 5.0
"""Seconds within which a running server must notice what the command line did (it looks every 0.5 s)."""


def make_token(server: PlantelServer, *arguments: str) -> str:
    return server.run("token", "create", *arguments).splitlines()[-1]


def test_a_token_is_the_last_line_works_at_once_and_stops_when_revoked(
    server: PlantelServer, integrator: Integrator
) -> None:
    made = server.outcome("token", "create", "José Ñandú", lang="es")
    token = made.stdout.splitlines()[-1]
    assert made.stdout == token + "\n"
    assert "Solo se muestra ahora" in made.stderr
    pair = read_token_text(token)
    assert pair is not None
    assert pair[0] == "José Ñandú"
    assert integrator.add(token, "Ventas->") == (200, "1", "")
    listed = server.run("token", "list")
    assert "José Ñandú" in listed
    assert pair[1] not in listed

    taken = server.outcome("token", "create", "José Ñandú", lang="es")
    assert (taken.returncode, taken.stdout) == (1, "")
    assert "plantel: José Ñandú ya existe [name_taken]" in taken.stderr

    server.run("token", "revoke", "José Ñandú")
    assert within(SOON, lambda: integrator.add(token, "Ventas->") == (401, "0", "not_authenticated"))
    assert "José Ñandú" not in server.run("token", "list")
    again = server.outcome("token", "revoke", "José Ñandú")
    assert again.returncode == 1
    assert "[no_such_thing]" in again.stderr


def test_a_token_reaches_its_campaigns_and_does_what_its_role_may(
    server: PlantelServer, integrator: Integrator
) -> None:
    sales = make_token(server, "sales", "--campaign", "ventas*", "--campaign", "Cobros", "--expires", "12h")
    assert integrator.add(sales, "Ventas->").body == "1"
    assert integrator.add(sales, "POWER<-") == (403, "0", "campaign_forbidden")
    assert integrator.add(sales, "Cobros") == (200, "0", "unknown_campaign")
    reader = make_token(server, "reader", "--role", "reader", "--expires", "2999-12-31")
    assert [one["membername"] for one in json.loads(integrator.agents(reader, "Ventas->").body)] == ["ana"]
    assert integrator.add(reader, "Ventas->") == (403, "0", "action_forbidden")
    listed = server.run("token", "list")
    assert "ventas*, Cobros" in listed
    assert "2999-12-3" in listed


@pytest.mark.parametrize("when", ["0d", "tomorrow", "1999-01-01", "0001-01-01", "99999999999d"])
def test_an_end_that_is_none(server: PlantelServer, when: str) -> None:
    refused = server.outcome("token", "create", "never", f"--expires={when}", lang="es")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "plantel: --expires: " in refused.stderr
    assert "[invalid_setting]" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_user_logs_in_with_a_new_password_and_is_gone_when_removed(
    server: PlantelServer, integrator: Integrator
) -> None:
    def log_in(password: str) -> str:
        return integrator.call("auth/getUserToken", {"user": "eva", "password": password}).body

    server.run("user", "add", "eva", "--campaign", "Ventas->", stdin="contraseña 1\n")
    token = json.loads(log_in("contraseña 1"))[-1]
    assert integrator.add(token, "Ventas->").body == "1"
    assert integrator.add(token, "POWER<-").code == "campaign_forbidden"

    environ = server._environ("en") | {"PLANTEL_PASSWORD": "another one"}
    changed = subprocess.run(
        [PROGRAM, "--config", server.config, "user", "add", "eva"], env=environ, capture_output=True, check=True
    )
    assert b"another one" not in changed.stdout + changed.stderr
    assert within(SOON, lambda: integrator.add(token, "Ventas->").status == 401), "the session of before has ended"
    assert log_in("contraseña 1") == "0"
    second = json.loads(log_in("another one"))[-1]
    assert "eva" in server.run("user", "list")

    server.run("user", "remove", "eva")
    assert log_in("another one") == "0"
    assert within(SOON, lambda: integrator.add(second, "Ventas->").status == 401)
    empty = server.outcome("user", "add", "eva", stdin="\n", lang="es")
    assert empty.returncode == 1
    assert "password: no puede estar vacío" in empty.stderr


@pytest.mark.parametrize(
    ("password", "code"),
    [
        (b"1234567\n", "password_unfit"),
        (b"x" * 2049 + b"\n", "password_unfit"),
        (b"x" * 5_000_000, "password_unfit"),
        (b"contrase\xf1a 1\n", "invalid_setting"),
        (b"", "empty_value"),
    ],
)
def test_a_new_password_that_will_not_do(server: PlantelServer, password: bytes, code: str) -> None:
    done = cli(server, "user", "add", "ada", stdin=password)
    assert done.returncode != 0
    assert f"[{code}]".encode() in done.stderr
    assert b"Traceback" not in done.stderr
    assert "ada" not in server.run("user", "list")


@pytest.mark.parametrize("password", [b"12345678", "ñ".encode() * 1024, b"x" * 2048 + b"\r"])
def test_a_new_password_that_will(server: PlantelServer, integrator: Integrator, password: bytes) -> None:
    server.run("user", "remove", "ada", code=0 if "ada" in server.run("user", "list") else 1)
    assert cli(server, "user", "add", "ada", stdin=password + b"\n").returncode == 0
    typed = password.rstrip(b"\r").decode()
    assert json.loads(integrator.call("auth/getUserToken", {"user": "ada", "password": typed}).body)[0] == "ada"
    server.run("user", "remove", "ada")


def test_a_password_is_asked_for_where_there_is_nothing_to_read(server: PlantelServer) -> None:
    done = cli(server, "user", "add", "ada", before="exec <&-;")
    assert (done.returncode, b"[empty_value]" in done.stderr, b"Traceback" in done.stderr) == (1, True, False)


NOWHERE = {"full disk": ">/dev/full", "closed": ">&-", "nobody reads": "| :"}


@pytest.mark.parametrize("way", NOWHERE)
def test_a_token_that_nobody_could_see_is_gone_again(server: PlantelServer, way: str) -> None:
    done = cli(server, "token", "create", "unseen", after=NOWHERE[way], before="set -o pipefail;")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"could not be shown, and was removed again" in done.stderr
    assert b"[not_shown]" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert "unseen" not in server.run("token", "list")


@pytest.mark.parametrize("way", NOWHERE)
def test_the_token_of_a_demo_that_nobody_could_see_is_gone_again_and_the_service_goes_on(
    tmp_path: Path, way: str
) -> None:
    alone = PlantelServer(tmp_path)
    call = shlex.join([str(PROGRAM), "--config", str(alone.config), "serve", "--demo"])
    shell = subprocess.Popen(
        ["bash", "-c", f"{call} 2>{alone.log} {NOWHERE[way]}"], env=alone._environ("en"), start_new_session=True
    )
    try:
        assert within(30, lambda: alone.log.exists() and "not_shown" in alone.log.read_text())
        assert within(SOON, lambda: "demo" not in alone.run("token", "list"))
        with socket.create_connection(("127.0.0.1", alone.port), timeout=10):
            pass
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        shell.wait(30)
    assert "Traceback" not in alone.log.read_text()


def cli(
    server: PlantelServer, *arguments: str, before: str = "", after: str = "", stdin: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """The command line within one of a shell."""
    called = shlex.join([str(PROGRAM), "--config", str(server.config), *arguments])
    return subprocess.run(
        ["bash", "-c", f"{before} {called} {after}"],
        input=stdin,
        capture_output=True,
        env=server._environ("en"),
        timeout=60,
        check=False,
    )
