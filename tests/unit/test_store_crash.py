"""What was answered is there: after `kill -9`, and with several processes at once."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plantel.ports import Store, Transaction
from plantel.roster import Member
from plantel.store import open_store
from tests.support.rosters import declared
from tests.support.store_worker import CAMPAIGNS

ROOT = Path(__file__).parents[2]
KILLS, KILLS_BESIDE_A_SERVER = 16, 5
"""A file is what the killed process itself left; what a server stored it never touched."""


@contextmanager
def worker(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs tests/support/store_worker.py; it does not outlive the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.store_worker", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)
        assert process.stdout is not None
        process.stdout.close()


async def check(store: Store, answered: set[tuple[str, str, str]]) -> int:
    """All that was answered is there, and members, journal and batches tell the same. Returns how many members."""

    def work(transaction: Transaction) -> int:
        members = transaction.members("acme")
        entries = transaction.journal("acme", limit=10**9)
        batches = transaction.batches("acme", 10**9)
        told = {(line.change.member.campaign, line.change.member.membername, line.batch) for line in entries}
        assert answered <= told
        assert len(told) == len(entries) == len(members) == len(batches)
        assert [line.revision for line in entries] == list(range(1, len(entries) + 1))
        assert {line.change.after for line in entries} == set(members)
        assert {batch.id for batch in batches} == {line.batch for line in entries}
        return len(members)

    return await store.read(work)


@pytest.mark.anyio
async def test_what_was_answered_survives_kill_9(store_url: str) -> None:
    store = open_store(store_url)
    await store.write(declared(*CAMPAIGNS))
    await store.close()
    answered: set[tuple[str, str, str]] = set()
    for kill in range(KILLS if store_url.startswith("sqlite:") else KILLS_BESIDE_A_SERVER):
        with worker(store_url, f"w{kill}") as process:
            assert process.stdout is not None
            lines = 0
            last = random.randrange(1, 800)
            for line in process.stdout:
                answered.add(_answer(line))
                lines += 1
                if lines == last:  # some groups are under way, at any stage
                    process.send_signal(signal.SIGKILL)
            assert process.wait(timeout=10) == -signal.SIGKILL
            assert lines >= last
        store = open_store(store_url)
        assert await check(store, answered) >= len(answered)
        await store.close()


@pytest.mark.anyio
async def test_two_processes_write_at_once(store_url: str) -> None:
    store = open_store(store_url)
    await store.write(declared(*CAMPAIGNS))
    with worker(store_url, "one", "500") as one, worker(store_url, "two", "500") as two:
        outputs = await asyncio.gather(
            *(asyncio.to_thread(process.communicate, timeout=60) for process in (one, two)),
        )
        assert [one.returncode, two.returncode] == [0, 0]
    answered = {_answer(line) for output, _ in outputs for line in output.splitlines()}
    assert len(answered) == 1000
    assert await store.changed_elsewhere()
    assert await check(store, answered) == 1000
    await store.close()


def test_processes_make_the_same_store_at_once(store_url: str) -> None:
    program = (
        "import asyncio, sys; from plantel.store import open_store; print('ready', flush=True); sys.stdin.readline();"
        " store = open_store(sys.argv[1]);"
        " print(asyncio.run(store.read(lambda transaction: transaction.token_key())).hex())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, store_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    keys = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    assert len(keys) == 1


def _answer(line: str) -> tuple[str, str, str]:
    campaign, membername, batch = line.split()
    Member(campaign, membername, "SIP/1")  # the line is whole
    return campaign, membername, batch
