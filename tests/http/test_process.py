"""What happens to the service's process from outside: its descriptors, its signals, the disk below its log."""

import os
import re
import resource
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.door import item
from tests.support.integrator import within
from tests.support.server import PROGRAM, PlantelServer
from tests.support.wire import PATIENCE, Wire, add, head, names

VENTAS = "Ventas->"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PlantelServer]:
    """Not started yet."""
    made = PlantelServer(tmp_path)
    made.declare([VENTAS])
    assert made.token
    yield made
    if made.process is not None:
        made.kill()


def refuse(server: PlantelServer, count: int) -> None:
    """Calls that are refused, each of which is logged."""
    with Wire(server.port) as wire:
        for _ in range(count):
            assert wire.send(head("", 0, path="/Integra/resources/none")).answer().status == 404


def adds(server: PlantelServer, name: str) -> bool:
    with Wire(server.port) as wire:
        answer = wire.send(add(server.token, [item(name, phone=f"SIP/{name}")])).answer()
        return answer.body == b"1" and name in names(wire, server.token, VENTAS)


def dropped(server: PlantelServer) -> int:
    text = httpx.get(f"{server.url}/metrics", timeout=PATIENCE, trust_env=False).text
    found = re.search(r"^plantel_log_lines_dropped_total (\S+)$", text, re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def pid(server: PlantelServer) -> int:
    assert server.process is not None
    return server.process.pid


# --- where the log goes -----------------------------------------------------------------------------------------------


def test_a_full_disk_below_the_log_harms_nobody_and_what_is_lost_is_counted(server: PlantelServer) -> None:
    server.start(redirect="2>/dev/full")
    refuse(server, 300)
    assert adds(server, "ana")
    assert within(PATIENCE, lambda: dropped(server) >= 300)
    assert server.stop() == 0


def test_a_log_that_nobody_reads_holds_nobody_up(server: PlantelServer, tmp_path: Path) -> None:
    """More than a pipe holds; then somebody reads after all."""
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    with open(fifo, "r+b", buffering=0) as pipe:  # noqa: PTH123 - opened for both, it waits for nobody
        server.start(redirect=f"2>{fifo}")
        refuse(server, 900)
        assert adds(server, "ana")
        read = b""
        while read.count(b"refused") + dropped(server) < 900:
            read += os.read(pipe.fileno(), 65536)
        assert server.stop() == 0


def test_a_log_that_nobody_reads_does_not_keep_the_service_from_ending(server: PlantelServer, tmp_path: Path) -> None:
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    with open(fifo, "r+b", buffering=0):  # noqa: PTH123 - as above
        server.start(redirect=f"2>{fifo}")
        refuse(server, 900)
        assert server.stop() == 0


def test_a_log_whose_reader_has_gone_harms_nobody(server: PlantelServer, tmp_path: Path) -> None:
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    server.start(redirect=f"2>{fifo}")
    os.close(reader)
    refuse(server, 300)
    assert adds(server, "ana")
    assert within(PATIENCE, lambda: dropped(server) >= 300)
    assert server.stop() == 0


def test_what_waits_is_written_before_the_end(server: PlantelServer) -> None:
    server.start()
    refuse(server, 500)
    assert server.stop() == 0
    text = server.log.read_text()
    assert text.count("refused") == 500
    assert text.splitlines()[-1].endswith("stopped")


@pytest.mark.parametrize("redirect", ["2>&-", "<&- >&- 2>&-", ">&-"])
def test_closed_streams_are_never_another_file(server: PlantelServer, redirect: str) -> None:
    """The next file to be opened would get their place: the store, with the log written into it."""
    server.start(redirect=redirect)
    refuse(server, 10)
    for descriptor, closed in enumerate(("<&-", ">&-", "2>&-")):
        if closed in redirect.split():
            assert Path(f"/proc/{pid(server)}/fd/{descriptor}").readlink() == Path(os.devnull)
    assert adds(server, "ana")
    assert server.stop() == 0


@pytest.mark.parametrize("redirect", [">/dev/full", ">&-", "2>/dev/full >&2"])
def test_what_the_demo_prints_may_be_lost(server: PlantelServer, redirect: str) -> None:
    server.start("--demo", redirect=redirect)
    assert adds(server, "ana")
    assert server.stop() == 0


@pytest.mark.parametrize("command", ["campaign list", "check", "--help", "member list 'Ventas->'"])
def test_commands_may_lose_their_reader_or_the_disk_too(server: PlantelServer, command: str) -> None:
    def said(redirect: str) -> str:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"{PROGRAM} --config {server.config} {command} {redirect}"],
            capture_output=True,
            timeout=60,
            check=False,
            env=server._environ("en"),
        )
        assert "Traceback" not in done.stderr.decode()
        assert "Exception ignored" not in done.stderr.decode()
        return done.stderr.decode()

    said("| true")
    said(">&-")
    assert "nothing can be written: No space left on device" in said(">/dev/full")


# --- signals ----------------------------------------------------------------------------------------------------------

END, STOP = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL}, {signal.SIGSTOP, signal.SIGTSTP}
FAULTS = {getattr(signal, f"SIG{name}") for name in ("ABRT", "SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS")}
HARMLESS = sorted(signal.valid_signals() - END - STOP - FAULTS)


def test_no_signal_that_means_nothing_to_it_ends_it(server: PlantelServer) -> None:
    server.start()
    assert {signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGXFSZ} < set(HARMLESS)
    for number in HARMLESS:
        os.kill(pid(server), number)
        assert adds(server, f"after-{int(number)}")
    assert server.stop() == 0
    assert sum("hangup" in line for line in server.log.read_text().splitlines()) == 1


def test_nor_does_one_while_it_starts(server: PlantelServer) -> None:
    """From the moment when it reads its settings."""
    fifo = server.folder / "settings"
    os.mkfifo(fifo)
    settings, server.config = server.config.read_text(), fifo
    with ThreadPoolExecutor(1) as thread:
        starting = thread.submit(server.start)
        with fifo.open("w") as pipe:  # waits until it reads
            for _ in range(20):
                for number in HARMLESS:
                    os.kill(pid(server), number)
            pipe.write(settings)
        while not starting.done():
            for number in HARMLESS:
                os.kill(pid(server), number)
        starting.result()
    assert adds(server, "ana")


def test_a_second_signal_cuts_no_request_short(server: PlantelServer) -> None:
    server.start()
    with Wire(server.port) as slow:
        call = add(server.token, [item("slow", phone="SIP/slow")])
        slow.send(call[:-5])
        process = server.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        assert within(PATIENCE, lambda: "draining" in server.log.read_text())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
            process.send_signal(number)
        assert slow.send(call[-5:]).answer().body == b"1"
    assert server._end() == 0
    assert [one["membername"] for one in server.members(VENTAS)] == ["slow"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_means_to_end_it_does(server: PlantelServer, number: signal.Signals) -> None:
    server.start()
    os.kill(pid(server), number)
    assert server._end() == 0


# --- what a crash leaves ----------------------------------------------------------------------------------------------


def test_a_crash_leaves_no_core(server: PlantelServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert resource.prlimit(pid(server), resource.RLIMIT_CORE)[0] == 0
