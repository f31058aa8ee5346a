"""Help, wrong usage and wrong configuration: exit codes and both languages."""

from pathlib import Path

import pytest

from tests.support.server import PlantelServer
from tests.support.tls import Certificate


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> PlantelServer:
    return PlantelServer(tmp_path_factory.mktemp("usage"))


def test_help_names_every_command_in_both_languages(alone: PlantelServer) -> None:
    english, spanish = alone.run("--help"), alone.run("--help", lang="es")
    for command in ("serve", "token", "user", "campaign", "member", "send", "check", "why", "plan", "sync"):
        assert f" {command} " in english
        assert f" {command} " in spanish
    assert "Campaigns: the queues of Asterisk." in english
    assert "Campañas: las colas de Asterisk." in spanish
    assert "Revocar los tokens de un nombre." in alone.run("token", "--help", lang="es")
    assert "When it ends: 30d, 12h, or" in alone.run("token", "create", "--help")


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (("nosuch",), "plantel"),
        (("member", "add", "Ventas->"), "plantel member add"),
        (("member", "add", "c", "m", "SIP/1", "--penalty", "x"), "plantel member add"),
        (("member", "list", "-x"), "plantel member list"),
        (("token", "create", "a", "--role", "boss"), "plantel token create"),
    ],
)
def test_wrong_usage_exits_with_two_and_a_hint(alone: PlantelServer, arguments: tuple[str, ...], command: str) -> None:
    refused = alone.outcome(*arguments, lang="es")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("plantel: ")
    assert f"{command} --help dice más; un nombre que empieza con - va después de --" in refused.stderr


def test_wrong_configuration_exits_with_two_and_names_every_mistake(tmp_path: Path) -> None:
    wrong = PlantelServer(tmp_path, http={"bnid": "x", "body_limit": "much"}, config='[log]\nlevel = "loud"\n')
    for lang, lines in (
        (
            "en",
            {
                "plantel: http.bnid is not a setting; the nearest is http.bind [unknown_setting]",
                'plantel: http.body_limit: must be a size such as "64KiB" or "16MiB" [invalid_setting]',
                'plantel: log.level: must be one of "debug", "info", "warning", "error" [invalid_setting]',
            },
        ),
        (
            "es",
            {
                "plantel: http.bnid no existe; la más parecida es http.bind [unknown_setting]",
                'plantel: http.body_limit: debe ser un tamaño como "64KiB" o "16MiB" [invalid_setting]',
                'plantel: log.level: debe ser uno de "debug", "info", "warning", "error" [invalid_setting]',
            },
        ),
    ):
        refused = wrong.outcome("serve", lang=lang)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert set(refused.stderr.splitlines()) == lines
    wrong.config.unlink()
    missing = wrong.outcome("check", lang="es")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert f"plantel: {wrong.config} no se puede leer: No such file or directory [config_unreadable]" in missing.stderr


def test_serve_names_a_certificate_that_is_none(tmp_path: Path, certificate: Certificate) -> None:
    swapped = PlantelServer(tmp_path, http={"tls_cert": str(certificate.cert), "tls_key": str(certificate.ca)})
    refused = swapped.outcome("serve")
    assert refused.returncode == 2
    assert "plantel: http.tls_cert, http.tls_key: both must be readable PEM files" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_serve_says_when_its_address_is_taken(tmp_path: Path, server: PlantelServer) -> None:
    second = PlantelServer(tmp_path, http={"bind": f"127.0.0.1:{server.port}"})
    refused = second.outcome("serve")
    assert refused.returncode == 1
    assert f"plantel: cannot listen on 127.0.0.1:{server.port}: Address already in use [address_in_use]" in (
        refused.stderr
    )
