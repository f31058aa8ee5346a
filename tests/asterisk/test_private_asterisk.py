"""The private Asterisk itself: what goes wrong with it is said, and nothing is left running."""

import os
from pathlib import Path

import pytest

from plantel.testing import installation as installations
from plantel.testing.asterisk import PrivateAsterisk
from plantel.testing.installation import (
    AsteriskMissing,
    Installation,
    asterisk_22,
    own_installation,
    unpacked_installation,
)
from plantel.testing.private_server import ServerFailed

pytestmark = pytest.mark.asterisk


def running(pid: int | None) -> bool:
    return pid is not None and Path(f"/proc/{pid}").exists()


def test_it_runs_while_entered_and_keeps_its_ports_over_a_restart(tmp_path: Path, installation: Installation) -> None:
    queues = {"Ventas->": ["member => SIP/9001,2,Static Sam"]}
    with PrivateAsterisk(tmp_path, queues=queues, installation=installation) as asterisk:
        first, port = asterisk.pid, asterisk.ami_port
        assert running(first)
        assert "Static Sam" in asterisk.cli("queue show Ventas->")
        asterisk.restart()
        second = asterisk.pid
        assert (running(first), running(second)) == (False, True)
        assert asterisk.ami_port == port
        asterisk.kill()
        assert not running(second)
        with pytest.raises(ServerFailed):
            asterisk.cli("queue show")
    assert asterisk.pid is None


def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path, installation: Installation) -> None:
    asterisk = PrivateAsterisk(tmp_path, queues={}, installation=installation)
    with (tmp_path / "etc" / "modules.conf").open("a") as file:
        file.write("require = no_such_module.so\n")
    with pytest.raises(ServerFailed, match="no_such_module"):
        asterisk.start()
    assert asterisk.pid is None


def test_members_are_kept_over_a_restart_where_asterisk_is_told_to(tmp_path: Path, installation: Installation) -> None:
    queues = {"A+B": ()}
    with PrivateAsterisk(tmp_path, queues=queues, installation=installation, persistent_members=True) as asterisk:
        asterisk.cli('queue add member SIP/1 to A+B penalty 3 as "Ana"')
        asterisk.restart()
        assert "Ana" in asterisk.cli("queue show A+B")


@pytest.mark.parametrize("queue", ["a,b", "a]b", "general", "a\nb", "${EXTEN}", "a;b"])
def test_a_queue_has_a_name_that_its_files_can_hold(tmp_path: Path, queue: str) -> None:
    with pytest.raises(ValueError, match="no name for a queue"):
        PrivateAsterisk(tmp_path, queues={queue: ()})


def test_a_missing_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installations, "_PROGRAM_PATH", os.devnull)
    with pytest.raises(AsteriskMissing, match="debian-packages"):
        own_installation()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(AsteriskMissing, match="scripts/asterisk-22"):
        asterisk_22()


def test_a_program_without_its_modules_is_told(tmp_path: Path) -> None:
    for name in ("usr/sbin/asterisk", "usr/lib64/ld-linux-x86-64.so.2"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    with pytest.raises(AsteriskMissing, match="the modules"):
        unpacked_installation(tmp_path)


def test_the_two_versions_name_their_phones_as_they_dial_them(version: str, installation: Installation) -> None:
    assert installation.technology == {"16": "SIP", "22": "PJSIP"}[version]


def test_a_directory_too_deep_for_a_socket_is_told(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="longer than"):
        PrivateAsterisk(tmp_path / ("x" * 100), queues={})
