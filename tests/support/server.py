"""A real Plantel, as a real process, for tests to talk to."""

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from plantel.access import Role, Token, digest, new_secret, token_text
from plantel.config import load
from plantel.wiring import Plantel, assembled, operator
from tests.support.tls import Certificate

Result = TypeVar("Result")

PROGRAM = Path(sys.executable).with_name("plantel")
START = 60.0
"""Seconds within which a server must accept connections. The first start of a run compiles every module anew."""


def free_port() -> int:
    """A loopback port that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def make_token(
    plantel: Plantel, name: str, role: Role = Role.ADMIN, campaigns: tuple[str, ...] = (), instance: str = ""
) -> str:
    """A new token, of the first instance unless `instance` names one."""
    (first, *_) = plantel.instances
    secret = new_secret().reveal()
    key = await plantel.store.write(lambda transaction: transaction.token_key())
    made = Token(instance or first, name, digest(key, secret), role, campaigns, datetime.now(UTC), None)
    await plantel.store.write(lambda transaction: transaction.add_token(made))
    return token_text(name, secret)


class PlantelServer:
    """One configuration in one folder, with as many starts of `plantel serve` as a test likes.

    `config` is TOML appended to the sections that this makes itself ([http] bind and TLS, [store]); keys of `http` are
    added to its [http]; `store` is the store's url, by default a file in `folder`. `under` is a command that starts it,
    e.g. with other limits. `url` and `token` are what an integrator is given.
    """

    def __init__(
        self,
        folder: Path,
        *,
        certificate: Certificate | None = None,
        http: Mapping[str, Any] | None = None,
        store: str = "",
        config: str = "",
        under: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self._under = under
        self.port = free_port()
        self.certificate = certificate
        keys: dict[str, Any] = {"bind": f"127.0.0.1:{self.port}", **(http or {})}
        if certificate is not None:
            keys |= {"tls_cert": str(certificate.cert), "tls_key": str(certificate.key)}
        lines = ["[http]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
        lines += ["[store]", f"url = {json.dumps(store or f'sqlite:///{folder}/plantel.db')}", config]
        self.config = folder / "plantel.toml"
        self.config.write_text("\n".join(lines), encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "plantel.log"
        self._token = ""

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://localhost:{self.port}"

    @property
    def ca(self) -> Path:
        assert self.certificate is not None
        return self.certificate.ca

    @property
    def token(self) -> str:
        """A token with every right, made when first asked for."""
        if not self._token:
            self._token = self.beside(lambda plantel: make_token(plantel, "tests"))
        return self._token

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def run(self, *arguments: str, code: int = 0, stdin: str = "", lang: str = "en") -> str:
        """Run the command line on this configuration; its standard output. Fails on another exit code."""
        done = self.outcome(*arguments, stdin=stdin, lang=lang)
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def outcome(self, *arguments: str, stdin: str = "", lang: str = "en") -> subprocess.CompletedProcess[str]:
        """The same, whatever the exit code."""
        return subprocess.run(
            [PROGRAM, "--config", self.config, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
            env=self._environ(lang),
        )

    def start(self, *arguments: str, redirect: str = "") -> None:
        """Start serving; returns once connections are accepted. `redirect` as for a shell, e.g. `2>/dev/full`."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(*self._under, "sh", "-c", f'exec "$@" {redirect}', "sh"),
                    *(str(PROGRAM), "--config", str(self.config), "serve", *arguments),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ("en"),
            )
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text(encoding="utf-8")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError(self.log.read_text(encoding="utf-8"))

    def stop(self) -> int:
        """SIGTERM, and wait; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self._end()

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self._end()

    def _end(self) -> int:
        assert self.process is not None
        code = self.process.wait(timeout=40)
        self.process = None
        return code

    def members(self, campaign: str) -> list[dict[str, Any]]:
        """The stored roster of one campaign, under the keys of the wire."""

        async def read(plantel: Plantel) -> list[dict[str, Any]]:
            (where, *_) = plantel.instances.values()
            return [
                {
                    "membername": one.membername,
                    "queueName": one.campaign,
                    "interface1": one.interface,
                    "penalty": one.penalty,
                    "paused": int(one.paused),
                }
                for one in await where.service.members(operator(), campaign)
            ]

        return self.beside(read)

    def declare(self, campaigns: Sequence[str]) -> None:
        async def work(plantel: Plantel) -> None:
            (where, *_) = plantel.instances.values()
            for campaign in campaigns:
                await where.service.declare(operator(), campaign)

        self.beside(work)

    def beside(self, work: Callable[[Plantel], Awaitable[Result]]) -> Result:
        """Do what the command line would do as well, without the time that its start takes."""

        async def opened() -> Result:
            async with assembled(load(self.config, {})) as plantel:
                return await work(plantel)

        with ThreadPoolExecutor(1) as thread:  # this one may have a loop of its own
            return thread.submit(asyncio.run, opened()).result()

    @staticmethod
    def _environ(lang: str) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PLANTEL_")}
        return clean | {"PLANTEL_LANG": lang, "PYTHONUTF8": "1"}


@contextmanager
def served(server: PlantelServer) -> Iterator[PlantelServer]:
    """`server`, running within the block, ended however the block ends."""
    server.start()
    try:
        yield server
    finally:
        if server.process is not None:
            server.kill()
