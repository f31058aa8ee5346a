"""A private server whose files are made when it is entered, and taken away when it is left."""

import os
import pwd
import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from plantel.testing.private_server import PrivateServer


class TemporaryServer(PrivateServer):
    """Run by root it runs as another user, since databases refuse root.

    As a context manager it is made and started, and at the end taken away.
    """

    _users: ClassVar[Sequence[str]]
    """Whom to run it as instead of root: the first that there is."""

    def __init__(self, *, within: Path | None) -> None:
        """`within`: where to make the temporary directory, such as on another disk; None for the usual place."""
        # not below a directory of the caller's, which may be closed to the user that the server runs as
        directory = Path(tempfile.mkdtemp(prefix=f"plantel-{self.name.lower()}-", dir=within))
        super().__init__(directory, user=_first(self._users) if os.geteuid() == 0 else None)
        self._temporary = directory
        if self._user is not None:
            os.chown(directory, self._user.pw_uid, self._user.pw_gid)

    def __enter__(self) -> Self:
        try:
            self.make()
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()  # to stop it would write down what nobody reads any more

    @abstractmethod
    def make(self) -> None:
        """Make its files. Raises ServerFailed."""

    def remove(self) -> None:
        """End it at once, and take away all that it has stored."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def _first(users: Sequence[str]) -> pwd.struct_passwd:
    there = {user.pw_name: user for user in pwd.getpwall()}
    return next(there[name] for name in users if name in there)
