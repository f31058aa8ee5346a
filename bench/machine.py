"""Where it was measured: what the absolute figures depend on."""

import os
import platform
import re
import sqlite3
from pathlib import Path


def environment(folder: Path) -> str:
    """One line on this machine, with the file system that holds `folder`."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    cpu = found[1].strip() if found else platform.machine()
    return ", ".join(
        (
            f"{cpu} ({len(os.sched_getaffinity(0))} cores)",
            f"Linux {platform.release()}",
            f"Python {platform.python_version()}",
            f"SQLite {sqlite3.sqlite_version}",
            f"data on {file_system(folder)}",
        )
    )


def file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`, such as `ext4`."""
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == wanted:
            return source.split()[0]
    return "an unknown file system"
