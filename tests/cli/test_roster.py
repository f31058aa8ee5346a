"""`plantel campaign` and `plantel member`, with a server on the same store and without one."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.integrator import Integrator
from tests.support.server import PlantelServer

HARD = "José Ñandú [a:phone:b] & %41+"


def campaigns(server: PlantelServer) -> set[str]:
    return {one["name"] for one in json.loads(server.run("campaign", "list", "--json"))}


def members(server: PlantelServer, *campaign: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(server.run("member", "list", "--json", *campaign))
    return found


def test_what_the_command_line_does_is_what_a_running_server_shows(
    server: PlantelServer, integrator: Integrator
) -> None:
    token = server.token
    server.run("campaign", "add", HARD)
    added = server.run("member", "add", HARD, "José Ñandú", "PJSIP/7001", "--penalty", "3", "--paused")
    assert added == "added: José Ñandú PJSIP/7001 penalty=3 paused=1\n"
    shown = {"membername": "José Ñandú", "queueName": HARD, "interface1": "PJSIP/7001", "penalty": 3, "paused": 1}
    assert json.loads(integrator.agents(token, HARD).body) == [shown]
    assert integrator.add(token, HARD, "Ana", "SIP/7002").body == "1"
    assert [one["membername"] for one in members(server, HARD)] == ["Ana", "José Ñandú"]

    assert "updated: José Ñandú" in server.run("member", "pause", HARD, "José Ñandú", "--off")
    report = json.loads(server.run("member", "pause", HARD, "sip/7002", "PJSIP/7001", "--json"))
    assert {one["after"]["membername"] for one in report["changes"]} == {"Ana", "José Ñandú"}
    assert [one["paused"] for one in members(server, HARD)] == [True, True]
    server.run("member", "pause", HARD, "Ana", "--reason", "almuerzo")
    assert [one.get("reason") for one in members(server, HARD)] == ["almuerzo", None]
    assert "almuerzo" in server.run("member", "list", HARD)
    again = server.outcome("member", "pause", HARD, "Ana", lang="es")
    assert (again.returncode, again.stdout) == (0, "")
    assert "ya estaba así" in again.stderr

    assert "removed: Ana" in server.run("member", "remove", HARD, "Ana")
    assert [one["membername"] for one in json.loads(integrator.agents(token, HARD).body)] == ["José Ñandú"]
    assert HARD in server.run("campaign", "list")
    removed = server.outcome("campaign", "remove", HARD)
    assert "removed, with 1 members" in removed.stderr
    assert HARD not in campaigns(server)
    assert integrator.agents(token, HARD).code == "unknown_campaign"


def test_what_became_of_members_is_told_in_spanish_and_to_programs_as_ever(tmp_path: Path) -> None:
    alone = PlantelServer(tmp_path)
    alone.run("campaign", "add", "Cobros")
    assert alone.run("campaign", "list", lang="es_ES.UTF-8").split() == ["nombre", "origen", "Cobros", "declarada"]

    def said(*arguments: str) -> list[str]:
        return [line.split(" SIP/")[0] for line in alone.run("member", *arguments, lang="es_ES.UTF-8").splitlines()]

    assert said("add", "Cobros", "ana", "SIP/1") == ["agregado: ana"]
    assert said("pause", "Cobros", "ana") == ["actualizado: ana"]
    assert said("add", "Cobros", "ana", "SIP/2") == ["cambiado de teléfono: ana"]
    assert sorted(said("add", "Cobros", "eva", "SIP/2")) == ["agregado: eva", "reemplazado: ana"]
    report = json.loads(alone.run("member", "pause", "Cobros", "eva", "--json", lang="es_ES.UTF-8"))
    assert [one["kind"] for one in report["changes"]] == ["updated"]
    assert said("remove", "Cobros", "eva") == ["quitado: eva"]


def test_it_works_without_a_server_and_with_names_that_look_like_options(tmp_path: Path) -> None:
    alone = PlantelServer(tmp_path)
    alone.run("campaign", "add", "--", "-x")
    alone.run("campaign", "add", "POWER<-")
    assert campaigns(alone) == {"-x", "POWER<-"}
    alone.run("member", "add", "--penalty", "2", "--", "-x", "--json", "SIP/1")
    assert members(alone, "--", "-x") == [
        {"campaign": "-x", "membername": "--json", "interface": "SIP/1", "penalty": 2, "paused": False}
    ]
    table = alone.run("member", "list", "--", "-x").splitlines()
    assert [row.split() for row in table] == [
        ["membername", "interface", "penalty", "paused", "reason"],
        ["--json", "SIP/1", "2", "0"],
    ]
    alone.run("member", "remove", "--", "-x", "--json")
    assert members(alone, "--", "-x") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("campaign", "add", "ventas->"), "ventas-> ya existe [name_taken]"),
        (("campaign", "remove", "none"), "no existe none [no_such_thing]"),
        (
            ("member", "add", "Ventas->", "ana", "SIP/1@trunk", "--penalty=-1"),
            "elemento 1: penalty: debe ser 0 o más [negative_value]",
        ),
        (
            ("member", "remove", "Ventas->", "a", "b"),
            "elemento 2: b no está en la campaña Ventas-> [unknown_member]",
        ),
        (("member", "pause", "Ventas->"), "la lista está vacía: no nombra a nadie [empty_batch]"),
        (("member", "list", "Cobros"), "no existe la campaña Cobros [unknown_campaign]"),
    ],
)
def test_refusals_say_why_and_exit_with_one(server: PlantelServer, arguments: tuple[str, ...], said: str) -> None:
    refused = server.outcome(*arguments, lang="es")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"plantel: {said}" in refused.stderr.splitlines()
