"""That no server outlives the program which started it."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from plantel.testing.guard import Guard, children

ROOT = Path(__file__).parents[2]

# It starts a server which has started another process; both may be stopped when it ends.
PROGRAM = """
import os, signal, subprocess, sys, time
from plantel.testing.guard import Guard, children

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell has its background commands ignore
server = subprocess.Popen(["sh", "-c", "sleep 300 & echo; wait"], stdout=subprocess.PIPE, start_new_session=True)
server.stdout.readline()
family = [server.pid, *children(server.pid)]
guard = Guard(server.pid, files=sys.argv[2])
for pid in family * (sys.argv[1] == "frozen"):
    os.kill(pid, signal.SIGSTOP)
print(*family, guard._process.pid, flush=True)
time.sleep(300)
"""


@pytest.fixture(params=["running", "frozen"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    (tmp_path / "files" / "below").mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, request.param, tmp_path / "files"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_with_whoever_started_it(
    program: "subprocess.Popen[str]", end: signal.Signals, tmp_path: Path
) -> None:
    assert program.stdout is not None
    processes = [int(pid) for pid in program.stdout.readline().split()]
    assert len(processes) == 3
    with ExitStack() as stack:
        handles = [os.pidfd_open(pid) for pid in processes]
        for handle in handles:
            stack.callback(os.close, handle)
        program.send_signal(end)
        for handle in handles:
            assert select.select([handle], [], [], 30)[0], "it runs still"
    assert not (tmp_path / "files").exists()


def test_a_guard_goes_with_its_ward() -> None:
    with subprocess.Popen(["sleep", "300"]) as process:
        guard = Guard(process.pid)
        mine = set(children(os.getpid()))
        process.kill()
    guard.close()
    assert len(mine - set(children(os.getpid()))) == 2


def test_a_child_that_was_waited_for_has_no_guard() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    with pytest.raises(ProcessLookupError):
        Guard(process.pid)
