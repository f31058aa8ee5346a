"""What a process takes of its machine, as the kernel tells it."""

import re
from pathlib import Path
from typing import NamedTuple


class Footprint(NamedTuple):
    """`resident` and `peak` in bytes; open descriptors; threads."""

    resident: int
    peak: int
    descriptors: int
    threads: int


def footprint(pid: int) -> Footprint:
    """That of the process now; the peak since `forget_peak`."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    told = {name: int(found[1]) for name in ("VmRSS", "VmHWM", "Threads") if (found := _line(name, status))}
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Footprint(told["VmRSS"] * 1024, told["VmHWM"] * 1024, descriptors, told["Threads"])


def forget_peak(pid: int) -> None:
    """Have the peak count from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")


def _line(name: str, status: str) -> re.Match[str] | None:
    return re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
