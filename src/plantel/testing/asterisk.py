"""A private Asterisk: a real one, with every file below one directory and every port on loopback.

For tests and demonstrations. Needs an `Installation` (`scripts/debian-packages`, `scripts/asterisk-22`), no root, and
nothing of what may be configured on the machine. Boots in a third of a second.
"""

import contextlib
import os
import random
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from plantel.testing.installation import Installation, own_installation
from plantel.testing.realtime import Realtime

_MODULES = (
    "res_sorcery_config",
    "res_pjproject",  # res_rtp_asterisk needs both; without RTP every call ends in 503
    "res_rtp_asterisk",
    "res_musiconhold",
    "codec_ulaw",
    "bridge_simple",
    "pbx_config",
    "func_devstate",
    "app_dial",
    "func_config",
    "app_queue",
)
_PHONE_MODULES = {
    "SIP": ("chan_sip",),
    "PJSIP": (
        "res_sorcery_memory",
        "res_sorcery_astdb",
        "res_pjsip",
        "res_pjsip_pubsub",  # of no use here, but chan_pjsip wants it
        "res_pjsip_session",
        "res_pjsip_sdp_rtp",
        "res_pjsip_endpoint_identifier_anonymous",
        "chan_pjsip",
    ),
}
_EMPTY_FILES = (
    "acl.conf",
    "ccss.conf",
    "cdr.conf",
    "cel.conf",
    "features.conf",
    "indications.conf",
    "musiconhold.conf",
    "pjproject.conf",
    "queuerules.conf",
    "udptl.conf",
)
_QUEUE_DEFAULTS = {"strategy": "ringall", "timeout": "5", "retry": "1", "ringinuse": "no"}
_SOCKET_PATH_MOST = 107  # sun_path, less its NUL

# Below the ports that the kernel gives to outgoing connections, so that none of those takes one during a restart.
_PORTS = range(16000, 32000)
_RTP_PORTS = range(10000, 15999)

# What a queue name may not hold in queues.conf or as an argument in extensions.conf.
_UNUSABLE = re.compile(r'[\x00-\x1f\x7f\[\],;|"$\\]')


class AsteriskFailed(Exception):
    """Asterisk did not do what was needed in time; the message holds the end of its log."""


class AmiUser(msgspec.Struct, frozen=True):
    """A user of manager.conf, with the event classes it may read and the action classes it may write."""

    name: str
    secret: str
    read: str = "agent,system"
    write: str = "agent"

    def __repr__(self) -> str:
        return f"AmiUser({self.name!r}, read={self.read!r}, write={self.write!r})"


def free_port(kind: socket.SocketKind) -> int:
    """A port of 127.0.0.1 on which nothing listens now. Another program may take it meanwhile."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AsteriskFailed("no free port on 127.0.0.1")


class PrivateAsterisk:
    """An Asterisk of one's own.

    queues    the queues by name, each with lines of its section in queues.conf, such as `member => SIP/9001,0,Sam` or,
              in place of a default, `ringinuse = yes`
    phones    peers or endpoints of the installation's technology (`interface` gives their names to dial), each a fixed
              port on loopback where `sipp.Phone` answers
    users     AMI users besides `user`, which has what the documentation asks for

    The context `agents` reaches a phone by its name (`Local/1001@agents/n`); a hint of that name shows the device
    `Custom:1001`, for `devstate change`.

    As a context manager it is started and stopped. Methods block; from a coroutine, call them in a thread. A file
    written here is rewritten by `configure` only, so a test may add to one and `restart`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        queues: Mapping[str, Sequence[str]],
        phones: Iterable[str] = (),
        users: Iterable[AmiUser] = (),
        installation: Installation | None = None,
        persistent_members: bool = False,
        ring_seconds: int = 2,
        realtime: Realtime | None = None,
    ) -> None:
        """`installation`: the machine's own without it. `ring_seconds`: how long a caller stays in a queue where nobody
        answers. `realtime`: a database with more members. Raises AsteriskMissing.
        """
        self.directory = directory.resolve()
        self.host = "127.0.0.1"
        self.ami_port = free_port(socket.SOCK_STREAM)
        self.sip_port = free_port(socket.SOCK_DGRAM)
        self.phones = {phone: free_port(socket.SOCK_DGRAM) for phone in phones}
        self.user = AmiUser("plantel", secrets.token_hex(16))
        self.extensions: dict[str, str] = {}
        self._persistent_members = persistent_members
        self._ring_seconds = ring_seconds
        self._realtime = realtime or Realtime((), {})
        self._process: subprocess.Popen[bytes] | None = None
        self._installation = installation or own_installation()
        socket_path = self.directory / "run" / "asterisk.ctl"
        if len(os.fsencode(socket_path)) > _SOCKET_PATH_MOST:
            raise AsteriskFailed(f"{socket_path} is longer than the path of a socket may be")
        self._lay_out((self.user, *users))
        self._program = self._installation.startable(self.directory)
        self._write_queues(queues)

    def interface(self, phone: str) -> str:
        """What a member with this phone is called: `SIP/1001`, or `PJSIP/1001` where there is no `chan_sip`."""
        return f"{self._installation.technology}/{phone}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self, seconds: float = 30.0) -> None:
        """Start, and return once it has fully booted. Raises AsteriskFailed after `seconds`, or when it exits."""
        assert self.pid is None, "it is running"
        with (self.directory / "log" / "console").open("ab") as console:
            self._process = subprocess.Popen(  # noqa: S603 - the program found on the path, on files of our own
                [self._program, "-f", "-C", str(self._conf("asterisk.conf"))],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                cwd=self.directory,
                start_new_session=True,  # a Ctrl-C at the terminal is for whoever started us, who then stops it
                env={**os.environ, **self._environment},
            )
        try:
            self._wait_until_booted(seconds)
        except BaseException:
            self.kill()
            raise

    def stop(self, seconds: float = 10.0) -> None:
        """Shut down, by force after `seconds`. Does nothing where it is not running."""
        process = self._process
        if process is None:
            return
        process.terminate()
        self.thaw()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop, then start on the same ports."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it hang (SIGSTOP): connections stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def cli(self, command: str, seconds: float = 10.0) -> str:
        """What Asterisk's command line prints for `command`. Raises AsteriskFailed where it cannot be reached."""
        try:
            done = subprocess.run(  # noqa: S603 - as in `start`; there is no shell
                [self._program, "-n", "-C", str(self._conf("asterisk.conf")), "-rx", command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise AsteriskFailed(f"no answer to {command!r} within {seconds} s") from error
        if done.returncode:
            raise AsteriskFailed((done.stderr or done.stdout).decode(errors="replace").strip())
        return done.stdout.decode(errors="surrogateescape")

    def configure(self, queues: Mapping[str, Sequence[str]]) -> None:
        """Replace the queues, as an administrator would: write the files, then reload."""
        self._write_queues(queues)
        self.cli("queue reload all")
        self.cli("dialplan reload")

    def _wait_until_booted(self, seconds: float) -> None:
        assert self._process is not None
        deadline = time.monotonic() + seconds
        while not self._booted(deadline):
            if self._process.poll() is not None:
                raise AsteriskFailed(f"Asterisk exited with {self._process.returncode}\n{self._log_end()}")
            if time.monotonic() >= deadline:
                raise AsteriskFailed(f"Asterisk has not booted within {seconds} s\n{self._log_end()}")
            time.sleep(0.02)  # until its control socket is there; only asking again tells
        try:
            socket.create_connection((self.host, self.ami_port), timeout=5).close()
        except OSError as error:
            raise AsteriskFailed(f"AMI does not listen on port {self.ami_port}: {error}\n{self._log_end()}") from error

    def _booted(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        try:
            return left > 0 and "fully booted" in self.cli("core waitfullybooted", left)
        except AsteriskFailed:
            return False

    def _log_end(self) -> str:
        lines = [
            line
            for name in ("console", "messages")
            if (path := self.directory / "log" / name).exists()
            for line in path.read_text(errors="replace").splitlines()[-20:]
        ]
        return "\n".join(lines)

    @property
    def _environment(self) -> dict[str, str]:
        return {name: value.format(etc=self._conf("")) for name, value in self._realtime.environment.items()}

    def _conf(self, name: str) -> Path:
        return self.directory / "etc" / name

    def _write(self, name: str, *lines: str) -> None:
        self._conf(name).write_text("\n".join((*lines, "")))

    def _lay_out(self, users: Sequence[AmiUser]) -> None:
        below = {
            "astetcdir": "etc",
            "astvarlibdir": "lib",
            "astdbdir": "db",
            "astkeydir": "keys",
            "astspooldir": "spool",
            "astrundir": "run",
            "astlogdir": "log",
        }
        for name in below.values():
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        self._write(
            "asterisk.conf",
            "[directories]",
            *(f"{setting} => {self.directory / name}" for setting, name in below.items()),
            f"astmoddir => {self._installation.modules}",
            f"astdatadir => {self._installation.data}",
            "[options]",
            "nocolor = yes",
        )
        modules = (*_MODULES, *_PHONE_MODULES[self._installation.technology])
        self._write(
            "modules.conf",
            "[modules]",
            "autoload = no",
            *(f"preload = {module}.so" for module in self._realtime.modules),
            *(f"load = {module}.so" for module in modules),
        )
        for name, text in self._realtime.files.items():
            self._write(name, text.format(etc=self._conf("")))
            self._conf(name).chmod(0o600)
        self._write("logger.conf", "[general]", "[logfiles]", "messages => notice,warning,error")
        self._write(
            "manager.conf",
            "[general]",
            "enabled = yes",
            f"bindaddr = {self.host}",
            f"port = {self.ami_port}",
            "displayconnects = no",
        )
        with self._conf("manager.conf").open("a") as file:
            for user in users:
                file.write(f"[{user.name}]\nsecret = {user.secret}\nread = {user.read}\nwrite = {user.write}\n")
        self._conf("manager.conf").chmod(0o600)
        self._write("rtp.conf", "[general]", f"rtpstart = {_RTP_PORTS.start}", f"rtpend = {_RTP_PORTS.stop - 1}")
        self._write_phones()
        for name in _EMPTY_FILES:
            self._write(name)

    def _write_phones(self) -> None:
        if self._installation.technology == "SIP":
            self._write(
                "sip.conf",
                "[general]",
                f"udpbindaddr = {self.host}:{self.sip_port}",
                "context = callers",
                "allowguest = yes",
                "disallow = all",
                "allow = ulaw",
                "directmedia = no",
                "callcounter = yes",
                *(f"[{phone}]\ntype = peer\nhost = {self.host}\nport = {port}" for phone, port in self.phones.items()),
            )
            return
        endpoint = ("type = endpoint", "context = callers", "disallow = all", "allow = ulaw", "direct_media = no")
        lines = [
            "[loopback]",
            "type = transport",
            "protocol = udp",
            f"bind = {self.host}:{self.sip_port}",
            "[anonymous]",  # by this name res_pjsip_endpoint_identifier_anonymous knows whom to take a stranger for
            *endpoint,
        ]
        for phone, port in self.phones.items():
            lines += [f"[{phone}]", *endpoint, f"aors = {phone}"]
            lines += [f"[{phone}]", "type = aor", f"contact = sip:{phone}@{self.host}:{port}"]
        self._write("pjsip.conf", *lines)

    def _write_queues(self, queues: Mapping[str, Sequence[str]]) -> None:
        self.extensions = {queue: str(7000 + place) for place, queue in enumerate(queues)}
        sections = []
        for queue, lines in queues.items():
            if _UNUSABLE.search(queue) or queue.lower() == "general":
                raise ValueError(f"{queue!r} is no name for a queue in Asterisk's files")
            given = {line.partition("=")[0].strip() for line in lines}
            # of two lines with one key Asterisk takes now the first and now the last
            defaults = [f"{key} = {value}" for key, value in _QUEUE_DEFAULTS.items() if key not in given]
            sections += [f"[{queue}]", *defaults, *lines]
        kept = "yes" if self._persistent_members else "no"
        self._write("queues.conf", "[general]", f"persistentmembers = {kept}", *sections)
        self._write(
            "extensions.conf",
            "[callers]",
            *(
                # No Answer() before it: the caller's 200 OK then means that an agent picked up.
                f"exten => {extension},1,Queue({queue},r,,,{self._ring_seconds})\n same => n,Hangup(19)"
                for queue, extension in self.extensions.items()
            ),
            "[agents]",
            *(
                f"exten => {phone},1,Dial({self.interface(phone)})\nexten => {phone},hint,Custom:{phone}"
                for phone in self.phones
            ),
        )
