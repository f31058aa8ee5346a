"""Plantel held against floors and peers in the same run: `python -m bench [NAME...] [--rounds N] [--quick]`.

Prints a table of ratios; a whole run of usual length also puts it into docs/performance.md.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench import bulk, delivery, rest, serving, visibility
from bench.machine import environment, file_system
from bench.measure import QUICK, BenchFailed, Scale, Table
from bench.process import ROOT
from plantel.testing.asterisk import AsteriskFailed
from plantel.testing.installation import AsteriskMissing

BENCHMARKS: dict[str, Callable[[Scale, Table, Path], None]] = {
    "serving": serving.measure,
    "bulk": bulk.measure,
    "visibility": visibility.measure,
    "delivery": delivery.measure,
    "rest": rest.measure,
}

DOCUMENT = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- bench: begin -->\n", "<!-- bench: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Ratios to floors and peers, in one run.")
    # not `choices`: with them argparse refuses an empty list
    parser.add_argument("name", nargs="*", help=f"one or more of {', '.join(BENCHMARKS)}; all if none is named")
    parser.add_argument("--rounds", type=int, help="how often to measure; 5, or 2 with --quick")
    parser.add_argument("--quick", action="store_true", help="small figures in under two minutes, to see that it works")
    chosen = parser.parse_args()
    if unknown := set(chosen.name) - set(BENCHMARKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error("--rounds must be 1 or more")
    scale = QUICK if chosen.quick else Scale()
    if chosen.rounds is not None:
        scale = msgspec.structs.replace(scale, rounds=chosen.rounds)
    # so that whoever ends this also ends the servers that it started
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        report = run(list(dict.fromkeys(chosen.name)) or list(BENCHMARKS), scale)
    except (BenchFailed, AsteriskMissing, AsteriskFailed) as error:
        sys.exit(f"bench: {error}")
    print(report)
    if not chosen.name and not chosen.quick:
        keep(report)


def run(names: list[str], scale: Scale) -> str:
    """The report on these benchmarks: the table, and what it was measured on and how. Raises BenchFailed."""
    table = Table()
    # not /tmp, which may be memory: a commit has to reach a disk
    with tempfile.TemporaryDirectory(prefix="plantel-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")) as path:
        folder = Path(path)
        if file_system(folder) in {"tmpfs", "ramfs"}:
            raise BenchFailed(f"{folder.parent} is memory: set TMPDIR to a folder on a disk")
        began = time.monotonic()
        for name in names:
            print(f"{name} ...", file=sys.stderr, flush=True)
            BENCHMARKS[name](scale, table, folder)
        minutes = (time.monotonic() - began) / 60
        where = environment(folder)
    when = f"{datetime.now(UTC):%Y-%m-%d}, {minutes:.1f} minutes, rounds: {scale.rounds}."
    return f"{table.markdown()}\n\n{where}. {when}\n"


def keep(report: str) -> None:
    """Put the report into the document, in place of the one before."""
    before, begin, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"bench: {DOCUMENT.name} lacks the marks between which the table goes")
    DOCUMENT.write_text(f"{before}{begin}\n{report}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
