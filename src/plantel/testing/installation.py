"""Where an Asterisk lies on this machine, and how its program is started."""

import os
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

_PROGRAM_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
_LIBRARIES = ("usr/lib", "usr/lib64", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu")
_DATA = ("usr/share/asterisk", "var/lib/asterisk")


class AsteriskMissing(Exception):
    """The program, or a directory it needs, is not on this machine; the message tells which."""


class Installation(msgspec.Struct, frozen=True):
    """An Asterisk that can be run.

    program       the program
    loader        what has to stand before it (a dynamic loader and its options); empty where it starts by itself
    modules       the directory of its loadable modules
    data          the directory of its documentation, without which it does not start
    technology    what its phones are called: `SIP` where it has `chan_sip`, else `PJSIP` (Asterisk 21 and later)
    """

    program: Path
    loader: tuple[str, ...]
    modules: Path
    data: Path
    technology: str

    def startable(self, folder: Path) -> Path:
        """What to start: the program or, where it needs its loader, a script of its name in `folder`.

        `core restart` starts Asterisk anew by the name it was started with, which is the script's then, too.
        """
        if not self.loader:
            return self.program
        script = folder / self.program.name
        script.write_text(
            f'#!/bin/sh\nexec {shlex.join(self.loader)} --argv0 "$0" {shlex.quote(str(self.program))} "$@"\n'
        )
        script.chmod(0o700)
        return script


def own_installation() -> Installation:
    """The Asterisk that is installed on this machine. Raises AsteriskMissing."""
    program = shutil.which("asterisk", path=_PROGRAM_PATH)
    if program is None:
        raise AsteriskMissing("there is no asterisk on this machine: scripts/debian-packages demo installs it")
    return _found(Path("/"), Path(program), ())


def unpacked_installation(root: Path) -> Installation:
    """An Asterisk whose packages, and those that they need, are unpacked below `root`. Raises AsteriskMissing.

    It runs with the loader and the libraries that are there, so that neither root nor a chroot is needed, and those of
    the machine may be older.
    """
    program = root / "usr/sbin/asterisk"
    loaders = [loader for each in _LIBRARIES for loader in sorted((root / each).glob("ld-linux*.so.*"))]
    if not program.exists() or not loaders:
        raise AsteriskMissing(f"there is no asterisk below {root}: scripts/asterisk-22 unpacks one there")
    libraries = ":".join(str(root / each) for each in _LIBRARIES if (root / each).is_dir())
    return _found(root, program, (str(loaders[0]), "--library-path", libraries))


def asterisk_22() -> Installation:
    """The Asterisk 22 of `scripts/asterisk-22`, in this user's cache. Raises AsteriskMissing."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return unpacked_installation(Path(cache) / "plantel" / "asterisk-22")


def _found(root: Path, program: Path, loader: tuple[str, ...]) -> Installation:
    modules = _first_directory("the modules", (f"{each}/asterisk/modules" for each in _LIBRARIES), root, "app_queue.so")
    data = _first_directory("the documentation", _DATA, root, "documentation")
    return Installation(program, loader, modules, data, "SIP" if (modules / "chan_sip.so").exists() else "PJSIP")


def _first_directory(what: str, candidates: Iterable[str], root: Path, holding: str) -> Path:
    tried = [root / candidate for candidate in candidates]
    for each in tried:
        if (each / holding).exists():
            return each
    raise AsteriskMissing(f"{what} of Asterisk are in none of {', '.join(map(str, tried))}")
