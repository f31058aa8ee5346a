"""A server that does harm to its client: `plantel send` ends, in bounded time and memory, with a code that says so."""

import asyncio
import csv
import os
import sys
from pathlib import Path

import pytest

from tests.support.abuse.attack import MIB
from tests.support.abuse.sites import ANSWERS, Answers, hostile_site
from tests.support.server import PROGRAM
from tests.support.tls import Certificate

PATIENCE = 110.0
"""Seconds: a little more than all tries of a batch may take together."""

MEMORY = 300 * MIB
"""Bytes that the program may take, the interpreter with all its modules included."""

REFUSED, UNAVAILABLE = 1, 3

pytestmark = [pytest.mark.anyio, pytest.mark.long, pytest.mark.timeout(150)]


async def outcome_of(answers: Answers, folder: Path, certificate: Certificate) -> tuple[int, int, bytes]:
    """Exit code, most memory in bytes, and what it said, of sending one member."""
    roster = folder / "roster.csv"
    with roster.open("w", encoding="utf-8", newline="") as file:
        keys = ("membername", "queueName", "interface1", "penalty", "paused")
        csv.writer(file).writerows([keys, ("ana", "Ventas->", "SIP/1001", "0", "0")])
    report = folder / "peak"
    environment = {**os.environ, "PLANTEL_TOKEN": "YW5hOnNlY3JldA==", "PLANTEL_LANG": "en"}
    async with hostile_site(answers, certificate) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", MEASURED, report, PROGRAM, "send", roster, "--url", url),
            *("--ca-file", certificate.ca),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode is not None
    return process.returncode, int(report.read_text("ascii")) * 1024, said


MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[2:])
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(done.returncode)
"""
"""Runs a command and writes how many KiB of memory it took."""


@pytest.mark.parametrize("answers", ANSWERS.values(), ids=ANSWERS)
async def test_a_client_survives_its_server(answers: Answers, tmp_path: Path, certificate: Certificate) -> None:
    code, memory, said = await outcome_of(answers, tmp_path, certificate)
    assert code in {REFUSED, UNAVAILABLE}, said.decode()
    assert memory < MEMORY
    assert len(said) < 16 * 1024
    assert b"\x1b" not in said
