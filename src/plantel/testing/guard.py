"""What ends a process once whoever started it has ended, in whichever way: a test run that is killed leaves no server.

It is a process, too, since nobody else is left by then; run as a program, this file is that process. The kernel's own
means, PR_SET_PDEATHSIG, counts the thread that started the process, and threads come and go.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


class Guard:
    """Ends a child of ours and the processes that it has started, and removes its files, when we end before it."""

    def __init__(self, pid: int, *, files: Path | None = None) -> None:
        """`pid`: of the child. `files`: a directory of no use without it.

        Raises ProcessLookupError where it has ended and was waited for.
        """
        handle = os.pidfd_open(pid)  # the number may become another's, the handle stays
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this file
                [sys.executable, "-I", "-S", __file__, str(pid), str(handle), *([files] if files is not None else ())],
                stdin=subprocess.PIPE,  # which the kernel closes when we end
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[handle],
                start_new_session=True,  # as its ward: a Ctrl-C at the terminal is for us
            )
        finally:
            os.close(handle)

    def close(self, seconds: float = 10.0) -> None:
        """Let it go, once the child has ended. Raises subprocess.TimeoutExpired."""
        self._process.communicate(timeout=seconds)


def children(parent: int) -> list[int]:
    """The processes that `parent` has started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(status.parent.name))
    return found


def freeze(pid: int, seconds: float = 10.0) -> None:
    """Stop a process (SIGSTOP), and return once it stands still; thawed with SIGCONT.

    To send the signal is not enough: until the thread that takes it has its turn, the others go on. Raises
    ProcessLookupError, TimeoutError.
    """
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + seconds
    while not _states(pid) <= frozenset("TtZX"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} goes on {seconds} s after SIGSTOP")
        time.sleep(0.001)  # the kernel tells of it to nobody but its parent


def _states(pid: int) -> frozenset[str]:
    """What its threads do, a letter each as proc(5) has them."""
    found = set()
    for status in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            found.add(status.read_text().rpartition(")")[2].split()[0])
    return frozenset(found)


def _guard(pid: int, handle: int, files: Sequence[str]) -> None:
    ends = select.poll()
    for each in (handle, sys.stdin.fileno()):
        ends.register(each, select.POLLIN)
    if handle in dict(ends.poll()):
        return
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, signal.SIGSTOP)  # so that it starts none meanwhile
        for each in children(pid):
            os.kill(each, signal.SIGKILL)  # its parent is stopped: the number is still its own
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    for each in files:
        shutil.rmtree(each, ignore_errors=True)


if __name__ == "__main__":
    _guard(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
