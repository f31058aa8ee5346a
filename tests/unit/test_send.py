"""`plantel send`: what it stores, what it says, and its exit codes."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plantel.cli.send import CREDENTIALS, REFUSED, UNAVAILABLE, USAGE, send
from plantel.testing.integra_server import IntegraServer, Lose, Status
from tests.support.integra_faces import HARD_NAMES, scripted_server
from tests.support.server import PROGRAM
from tests.support.tls import make_certificate

HEADING = "agente;campaña;interfaz;penalidad;pausado"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[IntegraServer]:
    with scripted_server(tmp_path) as running:
        yield running


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTEL_LANG", "es")
    monkeypatch.delenv("PLANTEL_TOKEN", raising=False)
    monkeypatch.delenv("PLANTEL_PASSWORD", raising=False)


def roster(tmp_path: Path, *rows: str, heading: str = HEADING) -> str:
    file = tmp_path / "plantilla.csv"
    file.write_text("\n".join([heading, *rows, ""]), "cp1252")
    return str(file)


def ventas(count: int) -> list[str]:
    return [f"a{number};Ventas->;SIP/{number};0;0" for number in range(count)]


def run(server: IntegraServer, file: str, **options: Any) -> int:
    if "user" not in options:
        options.setdefault("token", server.token)
    return send(file, url=server.url, **{"ca_file": server.ca, **options})


def test_all_stored_and_nothing_said(server: IntegraServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(server, roster(tmp_path, *(f"{name};{name};SIP/1;2;1" for name in HARD_NAMES))) == 0
    for name in HARD_NAMES:
        assert server.members(name) == [
            {"membername": name, "queueName": name, "interface1": "SIP/1", "penalty": 2, "paused": 1}
        ]
    assert capsys.readouterr() == ("", "")


def test_standard_input_and_the_token_from_the_environment(
    server: IntegraServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [{"membername": "Ana", "queueName": "Ventas->", "interface1": "SIP/1", "penalty": 0, "paused": 0}]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(items).encode())))
    monkeypatch.setenv("PLANTEL_TOKEN", server.token)
    assert run(server, "-", token=None) == 0
    assert server.members("Ventas->") == items


def test_user_and_password(server: IntegraServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTEL_PASSWORD", server.password)
    monkeypatch.setenv("PLANTEL_TOKEN", "not-this-one")
    assert run(server, roster(tmp_path, *ventas(2)), user=server.user) == 0
    assert len(server.members("Ventas->")) == 2
    monkeypatch.setenv("PLANTEL_PASSWORD", "wrong")
    assert run(server, roster(tmp_path, *ventas(3)), user=server.user) == CREDENTIALS
    assert len(server.members("Ventas->")) == 2


@pytest.mark.parametrize("options", [{}, {"user": "x"}, {"user": "x", "token": "y"}])
def test_credentials_are_missing(
    server: IntegraServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, str]
) -> None:
    assert run(server, roster(tmp_path, *ventas(1)), **{"token": None, **options}) == USAGE
    assert "PLANTEL_TOKEN" in capsys.readouterr().err
    assert server.received == []


def test_a_dry_run_checks_and_sends_nothing(server: IntegraServer, tmp_path: Path) -> None:
    assert run(server, roster(tmp_path, *ventas(2)), dry_run=True, token=None) == 0
    assert run(server, roster(tmp_path, "a;b;c;d;e"), dry_run=True) == USAGE
    assert server.received == []


def test_mistakes_are_told_by_line(server: IntegraServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = roster(tmp_path, "Ana;Ventas->;SIP/1;0;0", "", ";Ventas->;SIP/2;0;0", "Eva;Ventas->;SIP/3;-1;0")
    assert run(server, file) == USAGE
    assert capsys.readouterr().err.splitlines() == [
        "plantel: línea 4: membername: no puede estar vacío [empty_value]",
        "plantel: línea 5: penalty: debe ser 0 o más [negative_value]",
        "No se envió nada.",
    ]
    file = roster(tmp_path, "Ana;Ventas->;SIP/1;0;0", "", "Ana;Ventas->;SIP/1;4;0")
    assert run(server, file) == USAGE
    assert capsys.readouterr().err.startswith("plantel: línea 4: membername: contradice a la línea 2 [contradiction]\n")
    assert server.received == []


@pytest.mark.parametrize("file", ["/nowhere/roster.csv", "/"])
def test_no_such_file(server: IntegraServer, capsys: pytest.CaptureFixture[str], file: str) -> None:
    assert run(server, file) == USAGE
    assert "[file_unreadable]" in capsys.readouterr().err


def test_a_refusal_midway_says_what_is_stored_and_what_is_not(
    server: IntegraServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ventas(7)
    rows[3] = "a3;no existe;SIP/3;0;0"
    file = roster(tmp_path, *rows)
    assert run(server, file, batch_size=2) == REFUSED
    assert capsys.readouterr().err.splitlines() == [
        "plantel: el servidor respondió 0 [server_refused]",
        "guardado: líneas 2 a 3",
        "no guardado: líneas 4 a 5",
        "no enviado: líneas 6 a 8",
        "Enviar de nuevo todo el archivo es seguro: lo ya guardado recibe los mismos valores.",
    ]
    assert sorted(each["membername"] for each in server.members("Ventas->")) == ["a0", "a1"]


def test_the_summary_for_programs(server: IntegraServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.reactions += [
        TWO_BATCHES[0],
        Status(
            200,
            {
                "Plantel-Batch": "b2",
                "Plantel-Code": "unknown_campaign",
                "Plantel-Reason": "item 2: queueName: there is no campaign x",
            },
        ),
    ]
    assert run(server, roster(tmp_path, *ventas(5)), batch_size=2, as_json=True) == REFUSED
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == {
        "exit_code": 1,
        "unit": "line",
        "members": 5,
        "stored": 2,
        "tried": 4,
        "batches": [
            {
                "batch": "b1",
                "delivery": "pending",
                "reason": "pbx1: the connection was lost",
                "first": 2,
                "last": 3,
                "warnings": [
                    {"at": 2, "message": "interface1: pbx1: there is no phone SIP/0"},
                    {"at": 3, "message": "interface1: pbx1: there is no phone SIP/ñ"},
                ],
            }
        ],
        "refused_batch": "b2",
        "problems": [
            {
                "code": "server_refused",
                "server_code": "unknown_campaign",
                "key": "",
                "at": 5,
                "message": "the server answered 0: queueName: there is no campaign x",
            }
        ],
    }


TWO_BATCHES = [
    Status(
        200,
        {
            "Plantel-Batch": "b1",
            "Plantel-Delivery": "pending",
            "Plantel-Reason": "pbx1: the connection was lost",
            "Plantel-Warning": "item 1: interface1: pbx1: there is no phone SIP/0; "
            "item 2: interface1: pbx1: there is no phone SIP/\\u00f1",
        },
        b"1",
    ),
    Status(200, {"Plantel-Batch": "b2", "Plantel-Delivery": "live", "Plantel-Warning": "item 1: penalty: high"}, b"1"),
]


def test_warnings_are_told_by_line_though_all_is_stored(
    server: IntegraServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.reactions += TWO_BATCHES
    assert run(server, roster(tmp_path, *ventas(3)), batch_size=2) == 0
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == (
        "",
        [
            "plantel: aviso: línea 2: interface1: pbx1: there is no phone SIP/0",
            "plantel: aviso: línea 3: interface1: pbx1: there is no phone SIP/ñ",
            "plantel: aviso: línea 4: penalty: high",
        ],
    )


def test_a_terminal_is_told_of_each_batch(
    server: IntegraServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    server.reactions += [*TWO_BATCHES, Status(200, {}, b"1")]
    assert run(server, roster(tmp_path, *ventas(5)), batch_size=2) == 0
    assert capsys.readouterr().err.splitlines()[-3:] == [
        "5 guardados; Asterisk seguirá en cuanto pueda",
        "líneas 2 a 3: lote b1, pendiente: pbx1: the connection was lost",
        "líneas 4 a 5: lote b2, en vivo",
    ]


def test_a_lost_answer_at_last_is_unknown(
    server: IntegraServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda _least, _most: 0.0)
    server.reactions += [Lose(done=True)] * 5
    assert run(server, roster(tmp_path, *ventas(2))) == UNAVAILABLE
    assert "guardado o no, se desconoce: líneas 2 a 3" in capsys.readouterr().err
    assert len(server.members("Ventas->")) == 2


def test_an_untrusted_server(server: IntegraServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert run(server, roster(tmp_path, *ventas(2)), ca_file=make_certificate(elsewhere).ca) == UNAVAILABLE
    assert "No se envió nada." in capsys.readouterr().err


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_that_do_not_reach_that_far(server: IntegraServer, tmp_path: Path, status: int) -> None:
    server.reactions.append(Status(status))
    assert run(server, roster(tmp_path, *ventas(2))) == CREDENTIALS


def test_as_a_program(server: IntegraServer, tmp_path: Path) -> None:
    def plantel(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, "send", "--url", server.url, *arguments],
            env={**os.environ, "PLANTEL_TOKEN": server.token, "PLANTEL_LANG": "en"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    file = roster(tmp_path, *ventas(3))
    done = plantel("--ca-file", str(server.ca), "--batch-size", "2", "--json", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["stored"] == 3
    assert len(server.members("Ventas->")) == 3
    untrusted = plantel(file)
    assert (untrusted.returncode, untrusted.stdout) == (UNAVAILABLE, "")
    assert "[server_untrusted]" in untrusted.stderr
