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

from bench import bulk, delivery, growth, history, path, peers, rest, serving, visibility
from bench.machine import environment, file_system
from bench.measure import QUICK, BenchFailed, Scale
from bench.process import ROOT
from bench.report import Report
from plantel.testing.installation import AsteriskMissing
from plantel.testing.private_server import ServerFailed

BENCHMARKS: dict[str, Callable[[Scale, Report, Path], None]] = {
    "serving": serving.measure,
    "path": path.measure,
    "bulk": bulk.measure,
    "visibility": visibility.measure,
    "delivery": delivery.measure,
    "rest": rest.measure,
    "growth": growth.measure,
    "history": history.measure,
    "peers": peers.measure,
}

DOCUMENT = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- bench: begin -->\n", "<!-- bench: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Ratios to floors and peers, in one run.")
    # not `choices`: with them argparse refuses an empty list
    parser.add_argument("name", nargs="*", help=f"one or more of {', '.join(BENCHMARKS)}; all if none is named")
    parser.add_argument("--rounds", type=int, help="how often to measure; 3, or 1 with --quick")
    parser.add_argument("--quick", action="store_true", help="small figures in under two minutes, to see that it works")
    parser.add_argument("--large", action="store_true", help="rosters to 10 million, journals to 100 million: 20 GB")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write the plots there")
    chosen = parser.parse_args()
    if unknown := set(chosen.name) - set(BENCHMARKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error("--rounds must be 1 or more")
    scale = QUICK if chosen.quick else Scale()
    if chosen.large:
        scale = msgspec.structs.replace(scale, members_most=10_000_000, lines=(*scale.lines, 100_000_000))
    if chosen.rounds is not None:
        scale = msgspec.structs.replace(scale, rounds=chosen.rounds)
    # so that whoever ends this also ends the servers that it started
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        report, where = run(list(dict.fromkeys(chosen.name)) or list(BENCHMARKS), scale)
    except (BenchFailed, AsteriskMissing, ServerFailed) as error:
        sys.exit(f"bench: {error}")
    print(f"{report.markdown()}\n\n{where}")
    if chosen.plots:
        draw(report, chosen.plots)
    if not chosen.name and not chosen.quick:
        draw(report, DOCUMENT.parent)
        keep(report, where)


def run(names: list[str], scale: Scale) -> tuple[Report, str]:
    """The report on these benchmarks, and what it was measured on and how. Raises BenchFailed."""
    report = Report()
    # not /tmp, which may be memory: a commit has to reach a disk
    with tempfile.TemporaryDirectory(prefix="plantel-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")) as own:
        folder = Path(own)
        folder.chmod(0o711)  # database servers run as users of their own, and have to get through to their files
        if file_system(folder) in {"tmpfs", "ramfs"}:
            raise BenchFailed(f"{folder.parent} is memory: set TMPDIR to a folder on a disk")
        began = time.monotonic()
        for name in names:
            print(f"{name} ...", file=sys.stderr, flush=True)
            (folder / name).mkdir()
            (folder / name).chmod(0o711)
            BENCHMARKS[name](scale, report, folder / name)
        minutes = (time.monotonic() - began) / 60
        where = environment(folder)
    return report, f"{where}. {datetime.now(UTC):%Y-%m-%d}, {minutes:.1f} minutes, rounds: {scale.rounds}."


def draw(report: Report, folder: Path) -> None:
    """Write the plots into `folder`."""
    for chart in report.charts:
        (folder / f"{chart.name}.svg").write_text(chart.svg(), encoding="utf-8")


def keep(report: Report, where: str) -> None:
    """Put tables and plots into the document, in place of those before."""
    before, begin, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"bench: {DOCUMENT.name} lacks the marks between which the tables go")
    plots = "\n\n".join(f"![{chart.title}]({chart.name}.svg)" for chart in report.charts)
    shown = f"{report.markdown()}\n\n{plots}\n\n{where}\n"
    DOCUMENT.write_text(f"{before}{begin}\n{shown}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
