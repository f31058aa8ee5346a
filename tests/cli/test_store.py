"""`plantel store`, as who looks after the database uses it."""

import json
from pathlib import Path

import pytest

from plantel.store import shown
from tests.support.server import PlantelServer, free_port


@pytest.fixture
def alone(tmp_path: Path) -> PlantelServer:
    """A roster with a campaign, and no server."""
    made = PlantelServer(tmp_path)
    made.declare(["Ventas->"])
    return made


def test_a_roster_is_copied_between_places_that_are_kept_elsewhere(
    alone: PlantelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "store.url"
    kept.write_text(f"sqlite:///{tmp_path}/plantel.db\n")
    monkeypatch.setenv("NEW_STORE", f"sqlite:///{tmp_path}/copy.db")
    copied = json.loads(alone.run("store", "copy", f"file:{kept}", "env:NEW_STORE", "--json"))
    assert {"campaigns": 1}.items() <= {one["table"]: one["rows"] for one in copied["tables"]}.items()
    (tmp_path / "other").mkdir()
    other = PlantelServer(tmp_path / "other", store=f"sqlite:///{tmp_path}/copy.db")
    assert "Ventas->" in other.run("campaign", "list")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("file:/no/such/file", "TARGET: cannot be read"),
        ("env:NOT_SET", "TARGET: leads to nothing: it is empty"),
        (
            "mongodb://there",
            "TARGET: must be sqlite:///FILE, without options, or begin with postgresql:// or mariadb://",
        ),
    ],
)
def test_a_place_that_is_not_kept_there_is_named(alone: PlantelServer, tmp_path: Path, place: str, said: str) -> None:
    done = alone.outcome("store", "copy", f"sqlite:///{tmp_path}/plantel.db", place)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("side", ["SOURCE", "TARGET"])
def test_which_of_the_two_is_away_is_told(alone: PlantelServer, tmp_path: Path, side: str) -> None:
    here, away = f"sqlite:///{tmp_path}/plantel.db", f"postgresql://plantel:geheim@127.0.0.1:{free_port()}/plantel"
    done = alone.outcome("store", "copy", *((away, here) if side == "SOURCE" else (here, away)))
    assert done.returncode == 1
    assert f"{side} {shown(away)}: " in done.stderr
    assert "geheim" not in done.stderr


@pytest.mark.parametrize("remove", [[], ["--remove"]])
def test_a_file_has_nothing_left_over(alone: PlantelServer, remove: list[str]) -> None:
    assert json.loads(alone.run("store", "leftovers", "--json", *remove)) == {"parts": [], "removed": bool(remove)}
    done = alone.outcome("store", "leftovers", *remove, lang="es")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "No sobra nada.\n")
