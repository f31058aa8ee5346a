"""What is unsafe, and what is not: each finding in a situation that has it, and in one that lacks nothing else."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from plantel import safety
from plantel.access import Role, Token
from plantel.config import AsteriskSettings, HttpSettings, RosterSettings, Settings, StoreSettings
from plantel.descriptors import descriptors
from plantel.roster import Interfaces, Member
from plantel.secret import Secret

DOCS = Path(__file__).parents[2] / "docs"

STRONG = "b7c1a0f3d5e94b62"


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests: nobody special."""
    monkeypatch.setattr(os, "geteuid", lambda: 1234)


def codes(settings: Settings, config: Path | None = None) -> list[str]:
    return [one.code for one in safety.local(settings, config)]


def http(**keys: object) -> Settings:
    return Settings(http=HttpSettings(**keys))  # type: ignore[arg-type]


def asterisk(secret: str = STRONG, **keys: object) -> Settings:
    return Settings(asterisk=(AsteriskSettings("pbx1", secret=Secret(secret), **keys),))  # type: ignore[arg-type]


def roster(*interfaces: str) -> Settings:
    return Settings(roster=RosterSettings(interfaces=interfaces))


def passwords(least: int) -> Settings:
    return Settings(roster=RosterSettings(password_min=least))


@pytest.mark.parametrize(
    ("code", "unsafe", "safe"),
    [
        ("plain_http", http(bind="0.0.0.0:80"), http(bind="127.0.0.1:80")),
        ("plain_http", http(bind="[::]:80"), http(bind="[::1]:80")),
        ("plain_http", http(bind="pbx.example:80"), http(bind="localhost:80")),
        ("plain_http", http(bind="10.0.0.1:80"), http(bind="10.0.0.1:80", tls_cert="c", tls_key="k")),
        ("plain_http", http(bind="10.0.0.1:80"), http(bind="10.0.0.1:80", trusted_proxies=("10.0.0.2",))),
        ("any_proxy", http(trusted_proxies=("0.0.0.0/0",)), http(trusted_proxies=("10.0.0.0/8", "fd00::/16"))),
        ("any_proxy", http(trusted_proxies=("10.0.0.1", "::/0")), http(trusted_proxies=("::1",))),
        ("any_origin", http(cors_origins=("*",)), http(cors_origins=("https://crm.example.com",))),
        ("plain_ami", asterisk(host="10.0.0.5"), asterisk(host="10.0.0.5", tls=True)),
        ("plain_ami", asterisk(host="pbx.example"), asterisk(host="127.0.0.1")),
        ("weak_secret", asterisk(secret="amp111"), asterisk()),
        ("weak_secret", asterisk(username="plantel-pbx-1", secret="Plantel-PBX-1"), asterisk()),
        ("dials_out", roster(r"Local/[0-9]+@.*"), roster(r"Local/[1-9][0-9]{2,5}@agentes(/n)?")),
        ("dials_out", roster(r"SIP/.+"), roster(r"SIP/[a-z]+-[0-9]{4}", r"Local/[0-9]{2,6}@from-internal")),
        ("short_passwords", passwords(4), passwords(8)),
        ("dials_out", roster(r"PJSIP/[0-9]+@trunk"), roster(r"DAHDI/[0-9]+")),
    ],
)
def test_settings(code: str, unsafe: Settings, safe: Settings) -> None:
    assert codes(unsafe) == [code]
    assert codes(safe) == []


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that everybody may look into; those of pytest are for nobody else."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def put(folder: Path, name: str, text: str = "x", mode: int = 0o600) -> str:
    made = folder / name
    made.write_text(text)
    made.chmod(mode)
    return str(made)


@pytest.mark.parametrize(
    "settings",
    [
        lambda file: Settings(store=StoreSettings(url="postgresql://x", url_file=file)),
        lambda file: http(tls_cert="c", tls_key=file),
        lambda file: asterisk(secret_file=file),
    ],
)
@pytest.mark.parametrize(
    ("mode", "found"),
    [(0o600, []), (0o640, []), (0o660, []), (0o644, ["secret_readable"]), (0o602, ["writable"])],
)
def test_files_with_a_secret(folder: Path, settings: Callable[[str], Settings], mode: int, found: list[str]) -> None:
    assert codes(settings(put(folder, "secret", mode=mode))) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[[asterisk]]\nname = "x"\nsecret = "x"', ["secret_readable"]),
        ('[store]\nurl = "postgresql://plantel:x@db/plantel"', ["secret_readable"]),
        ('[[asterisk]]\nname = "x"\nsecret_file = "x"\n[store]\nurl = "postgresql://db/plantel"', []),
        ("", []),
    ],
)
def test_settings_with_a_secret_in_them(folder: Path, text: str, found: list[str]) -> None:
    assert codes(Settings(), Path(put(folder, "plantel.toml", text, 0o644))) == found
    assert codes(Settings(), Path(put(folder, "plantel.toml", text, 0o640))) == []
    assert codes(Settings(), Path(put(folder, "plantel.toml", text, 0o642))) == ["writable"]


def test_settings_that_come_through_a_pipe_are_not_read_again(folder: Path) -> None:
    os.mkfifo(folder / "plantel.toml")
    assert codes(Settings(), folder / "plantel.toml") == []


def test_what_nobody_else_can_reach_is_safe(folder: Path) -> None:
    settings = asterisk(secret_file=put(folder, "secret", mode=0o644))
    assert codes(settings) == ["secret_readable"]
    folder.chmod(0o750)
    assert codes(settings) == []


def test_a_folder_in_which_everybody_may_put_files(folder: Path) -> None:
    settings = asterisk(secret_file=put(folder, "secret"))
    folder.chmod(0o777)
    assert codes(settings) == ["writable"]
    folder.chmod(0o1777)
    assert codes(settings) == [], "as /tmp: nobody may put another file in the place of ours"


def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for more in ("", "-wal", "-shm", "-lease"):
        put(folder, f"plantel.db{more}")
    monkeypatch.setattr(os, "geteuid", lambda: (folder / "plantel.db").stat().st_uid or 1234)
    monkeypatch.setattr(safety, "_owner", lambda _: os.geteuid())
    return Settings(store=StoreSettings(url=f"sqlite:///{folder}/plantel.db"))


@pytest.mark.parametrize("more", ["", "-wal", "-shm", "-lease"])
@pytest.mark.parametrize(("mode", "code"), [(0o604, "store_readable"), (0o602, "writable")])
def test_the_store(folder: Path, monkeypatch: pytest.MonkeyPatch, more: str, mode: int, code: str) -> None:
    settings = store(folder, monkeypatch)
    assert codes(settings) == []
    (folder / f"plantel.db{more}").chmod(mode)
    assert codes(settings) == [code]


def test_the_folder_of_the_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = store(folder, monkeypatch)
    folder.chmod(0o777)
    assert codes(settings) == ["writable"]


def test_the_log(folder: Path) -> None:
    for mode, found in ((0o644, []), (0o666, ["writable"])):
        with Path(put(folder, "log", mode=mode)).open() as log:
            assert [one.code for one in safety.written_to(log.fileno())] == found
    with Path("/dev/null").open() as nowhere:
        assert list(safety.written_to(nowhere.fileno())) == []


# --- users ------------------------------------------------------------------------------------------------------------


def test_root(monkeypatch: pytest.MonkeyPatch) -> None:
    assert codes(Settings()) == []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert codes(Settings()) == ["root"]


def test_files_of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(store=StoreSettings(url=f"sqlite:///{put(folder, 'plantel.db')}"))
    mine = (folder / "plantel.db").stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert codes(settings) == ["foreign_owner"]
    monkeypatch.setattr(os, "geteuid", lambda: mine)
    assert codes(settings) == (["root"] if mine == 0 else [])


# --- what is in the store, and the limits -----------------------------------------------------------------------------


def test_members_whom_the_rules_refuse() -> None:
    members = [Member("Ventas->", "ana", "SIP/1001"), Member("Ventas->", "eva", "SIP/34900@trunk")]
    (found,) = safety.refused_members(Interfaces(), members)
    assert (found.code, found.params) == ("refused_members", {"count": 1, "sample": "SIP/34900@trunk"})
    assert list(safety.refused_members(Interfaces(), members[:1])) == []


def test_old_tokens() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def token(name: str, days: int, expires: datetime | None = None) -> Token:
        return Token("default", name, b"", Role.READER, (), now - timedelta(days=days), expires)

    (found,) = safety.old_tokens("default", [token("new", 300), token("old", 400), token("ends", 400, now)], now)
    assert (found.code, found.params["names"]) == ("old_tokens", "old")
    assert list(safety.old_tokens("default", [token("new", 300), token("ends", 400, now)], now)) == []


def test_the_limit_of_descriptors() -> None:
    assert list(safety.few_descriptors(1)) == []
    hard = descriptors(1).hard
    (found,) = safety.few_descriptors(hard)
    assert found.code == "few_descriptors"
    assert found.params["limit"] == hard


@pytest.mark.parametrize("language", ["en", "es"])
def test_each_can_be_said(folder: Path, language: str) -> None:
    every = [
        *safety.local(asterisk(host="10.0.0.1", secret="x", secret_file=put(folder, "a", mode=0o644)), None),
        *safety.local(http(bind="0.0.0.0:1", cors_origins=("*",), trusted_proxies=("0.0.0.0/0",)), None),
        *safety.local(http(bind="0.0.0.0:1"), None),
        *safety.local(roster(".+"), None),
        *safety.few_descriptors(10**9),
    ]
    assert len(every) == 8
    for one in every:
        for text in (one.what, one.remedy):
            assert text.say(language, **one.params)  # type: ignore[arg-type]


def test_each_is_documented() -> None:
    codes = set(re.findall(r'Unsafe\(\s*"(\w+)"', Path(safety.__file__).read_text()))
    assert {"root", "dials_out", "writable"} < codes
    for name in ("configuration.md", "configuracion.md"):
        documented = set(re.findall(r"^\| `(\w+)` \|", (DOCS / name).read_text("utf-8"), re.MULTILINE))
        assert codes <= documented
