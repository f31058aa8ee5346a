"""The documentation says what is so: its examples run, its settings load, its commands and links exist."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cyclopts import App

from plantel.cli import app
from plantel.config import Settings, load
from plantel.testing.asterisk import AmiUser
from tests.support.server import PlantelServer, served

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md")])
PAIRS = [
    ("README.md", "README.es.md"),
    ("docs/asterisk.md", "docs/asterisk.es.md"),
    ("docs/configuration.md", "docs/configuracion.md"),
    ("docs/errors.md", "docs/errores.md"),
    ("docs/why.md", "docs/porque.md"),
    ("docs/faults.md", "docs/fallos.md"),
    ("docs/nodes.md", "docs/nodos.md"),
    ("docs/security.md", "docs/seguridad.md"),
    ("docs/wire-call.md", "docs/llamada.md"),
]
READMES = ["README.md", "README.es.md"]
CONFIGURATIONS = ["docs/configuration.md", "docs/configuracion.md"]


def read(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks(text: str, kind: str) -> list[str]:
    found: list[str] = re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return found


# --- calls -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantelServer]:
    server = PlantelServer(tmp_path_factory.mktemp("docs"))
    server.declare(["Ventas->", "POWER<-", "Cobros"])
    with served(server):
        yield server


def runnable(page: str) -> list[tuple[str, str]]:
    """Each marked command with the answer that stands below it."""
    found: list[tuple[str, str]] = re.findall(
        r"^<!-- run -->\n```sh\n(.*?)^```\n\n```text\n(.*?)\n```$", read(page), re.MULTILINE | re.DOTALL
    )
    return found


@pytest.mark.parametrize("page", ["README.md", "README.es.md", "docs/wire-call.md", "docs/llamada.md"])
def test_the_calls_give_the_answers_shown(server: PlantelServer, page: str) -> None:
    for command, answer in runnable(page):
        assert "http://127.0.0.1:8080" in command
        done = subprocess.run(
            ["bash", "-euc", command.replace("http://127.0.0.1:8080", server.url)],
            env={**os.environ, "TOKEN": server.token},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=30,
            check=True,
        )
        shape = re.escape(answer).replace(re.escape("..."), ".*")
        assert re.fullmatch(shape, done.stdout.rstrip("\n"), re.DOTALL), done.stdout


@pytest.mark.parametrize(("english", "spanish"), PAIRS)
def test_both_languages_show_the_same_examples_and_rows(english: str, spanish: str) -> None:
    one, other = read(english), read(spanish)
    assert one.count("<!-- run -->") == other.count("<!-- run -->") == len(runnable(english)) == len(runnable(spanish))
    assert len(re.findall("^## ", one, re.MULTILINE)) == len(re.findall("^## ", other, re.MULTILINE))
    assert len(re.findall(r"^\|", one, re.MULTILINE)) == len(re.findall(r"^\|", other, re.MULTILINE))
    secret = re.compile("secret = .*")
    for kind in ("toml", "ini"):
        assert [secret.sub("", block) for block in blocks(one, kind)] == [
            secret.sub("", block) for block in blocks(other, kind)
        ]


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "text"),
    [(page.name, block) for page in PAGES for block in blocks(page.read_text("utf-8"), "toml")],
)
def test_a_configuration_loads(page: str, text: str, tmp_path: Path) -> None:
    kept = tmp_path / "secret"
    kept.write_text("kept in a file")
    file = tmp_path / "plantel.toml"
    file.write_text(re.sub(r'secret_file = ".*"', f'secret_file = "{kept}"', text), encoding="utf-8")
    settings = load(file, {"PBX1_SECRET": "x", "PBX2_SECRET": "x"})
    assert all(server.secret for server in settings.asterisk)
    assert settings != Settings()


@pytest.mark.parametrize("page", CONFIGURATIONS)
def test_every_setting_is_documented_with_its_default(page: str, tmp_path: Path) -> None:
    rows: list[tuple[str, str, str]] = re.findall(
        r"^\| `([a-z]+)\.([a-z_]+)` \| (?:`(.*?)`)? ?\|", read(page), re.MULTILINE
    )
    sections: dict[str, type[Any]] = {
        field.name: field.type if isinstance(field.type, type) else field.type.__args__[0]
        for field in msgspec.structs.fields(Settings)
    }
    assert sorted((section, key) for section, key, _ in rows) == sorted(
        (name, field.name) for name, kind in sections.items() for field in msgspec.structs.fields(kind)
    )
    lists = {"asterisk": 'name = "a"\nsecret = "s"\n', "instance": 'name = "default"\n'}
    text = ""
    for name in sections:
        text += f"[[{name}]]\n{lists[name]}" if name in lists else f"[{name}]\n"
        for section, key, default in rows:
            if section == name and default and key != "secret":
                text += f"{key} = {default}\n"
    file = tmp_path / "plantel.toml"
    file.write_text(text, encoding="utf-8")
    bare = tmp_path / "bare.toml"
    bare.write_text('[[asterisk]]\nname = "a"\nsecret = "s"\n')
    assert load(file, {}) == load(bare, {})


@pytest.mark.parametrize("page", ["README.md", "docs/asterisk.md"])
def test_the_ami_user_has_the_rights_that_the_tests_on_a_real_asterisk_give_it(page: str) -> None:
    (section,) = blocks(read(page), "ini")
    lines = dict(re.findall(r"^(\w+) = (.*)$", section, re.MULTILINE))
    user = AmiUser("plantel", "secret")
    assert set(lines["read"].split(",")) == set(user.read.split(","))
    assert lines["write"] == user.write


# --- command line ----------------------------------------------------------------------------------------------------


def commands(kind: App, name: str = "plantel") -> Mapping[str, App]:
    """Every command that does something, by what is typed."""
    found: dict[str, App] = {}
    for each in kind:
        if not each.startswith("-"):
            found |= commands(kind[each], f"{name} {each}") or {f"{name} {each}": kind[each]}
    return found


@pytest.mark.parametrize("page", READMES)
def test_the_table_names_every_command_and_only_options_that_exist(page: str) -> None:
    rows: list[str] = re.findall(r"^\| `(plantel .*?)` \|", read(page), re.MULTILINE)
    there = commands(app)
    described = []
    for row in rows:
        words = re.findall(r"^plantel(?: [a-z]+)+", row)[0]
        described.append(words)
        options = {name for argument in there[words].assemble_argument_collection() for name in argument.names}
        assert set(re.findall(r"--[a-z-]+", row)) <= options, row
    assert sorted(described) == sorted(there)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", READMES)
def test_make_targets_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b", read(page))) <= targets
