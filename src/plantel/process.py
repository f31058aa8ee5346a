"""What surrounds the program: the descriptors and signals that it was started with, and what a crash would leave."""

import os
import resource
import signal
import sys

_LEFT = {
    # they end it, or stop it for a while: whoever sends one means it
    *(signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGCONT),
    # what it did wrong itself
    *(signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS),
    signal.SIGCHLD,
}


def open_standard() -> None:
    """Open /dev/null for standard input, output and error that are closed: the next file that is opened, such as the
    store's, would take that place, and get what is printed. To be called before any file is opened."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free
    # Python has no stream for one that was closed, and prints what is for standard error to standard output
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def ignore_signals() -> None:
    """Ignore each signal that would end the program and means nothing to it, e.g. SIGUSR1, SIGHUP, SIGXFSZ."""
    for number in signal.valid_signals() - _LEFT:
        signal.signal(number, signal.SIG_IGN)


def leave_no_core() -> None:
    """Have a crash leave no file with the memory, which holds secrets. Who needs one sets the limit anew (prlimit)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def forget_output() -> None:
    """Have what is still to be printed go nowhere: at the end Python would try once more, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
