"""A private Asterisk: a real one, with every file below one directory and every port on loopback.

For tests and demonstrations. Needs an `Installation` (`scripts/debian-packages`, `scripts/asterisk-22`), no root, and
nothing of what may be configured on the machine. Boots in a third of a second.
"""

import os
import re
import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from plantel.testing.installation import Installation, own_installation
from plantel.testing.private_server import PrivateServer, ServerFailed, free_port
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

_RTP_PORTS = range(10000, 15999)

# What a queue name may not hold in queues.conf or as an argument in extensions.conf.
_UNUSABLE = re.compile(r'[\x00-\x1f\x7f\[\],;|"$\\]')


class AmiUser(msgspec.Struct, frozen=True):
    """A user of manager.conf, with the event classes it may read and the action classes it may write."""

    name: str
    secret: str
    read: str = "agent,system"
    write: str = "agent"

    def __repr__(self) -> str:
        return f"AmiUser({self.name!r}, read={self.read!r}, write={self.write!r})"


class PrivateAsterisk(PrivateServer):
    """An Asterisk of one's own.

    queues    the queues by name, each with lines of its section in queues.conf, such as `member => SIP/9001,0,Sam` or,
              in place of a default, `ringinuse = yes`
    phones    peers or endpoints of the installation's technology (`interface` gives their names to dial), each a fixed
              port on loopback where `sipp.Phone` answers
    users     AMI users besides `user`, which has what the documentation asks for

    The context `agents` reaches a phone by its name (`Local/1001@agents/n`); a hint of that name shows the device
    `Custom:1001`, for `devstate change`.

    A file written here is rewritten by `configure` only, so a test may add to one and `restart`.
    """

    name = "Asterisk"
    _logs = ("log/console", "log/messages")

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
        super().__init__(directory.resolve())
        self.ami_port = free_port(socket.SOCK_STREAM)
        self.sip_port = free_port(socket.SOCK_DGRAM)
        self.phones = {phone: free_port(socket.SOCK_DGRAM) for phone in phones}
        self.user = AmiUser("plantel", secrets.token_hex(16))
        self.extensions: dict[str, str] = {}
        self._persistent_members = persistent_members
        self._ring_seconds = ring_seconds
        self._realtime = realtime or Realtime((), {})
        self._installation = installation or own_installation()
        socket_path = self.directory / "run" / "asterisk.ctl"
        if len(os.fsencode(socket_path)) > _SOCKET_PATH_MOST:
            raise ServerFailed(f"{socket_path} is longer than the path of a socket may be")
        self._lay_out((self.user, *users))
        self._program = self._installation.startable(self.directory)
        self._write_queues(queues)

    def interface(self, phone: str) -> str:
        """What a member with this phone is called: `SIP/1001`, or `PJSIP/1001` where there is no `chan_sip`."""
        return f"{self._installation.technology}/{phone}"

    def cli(self, command: str, seconds: float = 10.0) -> str:
        """What Asterisk's command line prints for `command`. Raises ServerFailed where it cannot be reached."""
        return self._run(*self._of_ours("-n"), "-rx", command, seconds=seconds)

    def configure(self, queues: Mapping[str, Sequence[str]]) -> None:
        """Replace the queues, as an administrator would: write the files, then reload."""
        self._write_queues(queues)
        self.cli("queue reload all")
        self.cli("dialplan reload")

    def _command(self) -> Sequence[str | Path]:
        return self._of_ours("-f")

    def _of_ours(self, option: str) -> Sequence[str | Path]:
        return self._program, option, "-C", self._conf("asterisk.conf")

    def _answers(self) -> bool:
        try:
            if "fully booted" not in self.cli("core waitfullybooted", seconds=1):
                return False
        except ServerFailed:
            return False
        try:
            socket.create_connection((self.host, self.ami_port), timeout=5).close()
        except OSError as error:
            raise ServerFailed(f"AMI does not listen on port {self.ami_port}: {error}\n{self.log_end()}") from error
        return True

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
