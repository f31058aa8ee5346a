"""`plantel demo`: the whole promise on one terminal, with a private Asterisk and phones played by SIPp."""

import asyncio
import json
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plantel.cli.output import tell
from plantel.cli.serve import DEMO_CAMPAIGN, DEMO_PHONE, DEMO_TOKEN, demo_call
from plantel.testing import sipp
from plantel.testing.asterisk import PrivateAsterisk
from plantel.testing.installation import AsteriskMissing
from plantel.testing.private_server import ServerFailed

START = 20.0
"""Seconds for the service to start and find the campaign, and for a change to be live."""


class DemoFailed(Exception):
    """A step did not go as promised; the message tells which."""


def demo() -> None:
    try:
        with tempfile.TemporaryDirectory(prefix="plantel-demo-") as folder:
            asyncio.run(_show(Path(folder)))
    except (AsteriskMissing, ServerFailed, sipp.SippMissing, sipp.SippFailed, DemoFailed, TimeoutError) as error:
        print(f"plantel: {str(error) or type(error).__name__}", file=sys.stderr)
        sys.exit(1)


async def _show(folder: Path) -> None:
    _step(1, "Starting a private Asterisk with the queue {queue} and the phone SIP/{phone}, played by SIPp.",
          "Arrancando un Asterisk privado con la cola {queue} y el teléfono SIP/{phone}, que hace SIPp.")  # fmt: skip
    (folder / "asterisk").mkdir()
    with PrivateAsterisk(folder / "asterisk", queues={DEMO_CAMPAIGN: ()}, phones=[DEMO_PHONE]) as asterisk:
        async with sipp.Phone(asterisk, DEMO_PHONE) as phone:
            _step(2, "Starting Plantel, pointed at that Asterisk.", "Arrancando Plantel, conectado a ese Asterisk.")
            with _serving(folder, asterisk) as (url, token):
                await _until_live(url, token)
                await _story(asterisk, phone, url, token)


async def _story(asterisk: PrivateAsterisk, phone: sipp.Phone, url: str, token: str) -> None:
    _step(3, "A customer calls {queue}. Nobody works there yet.", "Un cliente llama a {queue}. Aún no hay nadie.")
    await _call(asterisk, phone, rings=False)

    _step(4, "An integrator adds ana by the published call:", "Un integrador agrega a ana con la llamada publicada:")
    command = demo_call(url, token)
    print(f"\n   $ {command}")
    answer = await asyncio.to_thread(_run, [*shlex.split(command), "-sS", "-H", f"Prefer: wait={START:.0f}"])
    print(f"   {answer}\n")
    if answer != "1":
        raise DemoFailed(f"expected 1, got {answer!r}")
    print("   " + asterisk.cli(f'queue show "{DEMO_CAMPAIGN}"').strip().replace("\n", "\n   ") + "\n")

    _step(5, "The customer calls again.", "El cliente vuelve a llamar.")
    await _call(asterisk, phone, rings=True)

    _step(6, "Asterisk is killed and started again: its dynamic members are gone, Plantel brings them back.",
          "Matamos Asterisk y lo arrancamos: sus miembros dinámicos se perdieron, Plantel los devuelve.")  # fmt: skip
    await asyncio.to_thread(asterisk.kill)
    await asyncio.to_thread(asterisk.start)
    await _until_live(url, token)
    await _call(asterisk, phone, rings=True)
    _say("That is all: one call to the API, and a phone that rings.",
         "Eso es todo: una llamada a la API y un teléfono que suena.")  # fmt: skip


async def _call(asterisk: PrivateAsterisk, phone: sipp.Phone, *, rings: bool) -> None:
    before = phone.rings
    call = await sipp.call(asterisk, DEMO_CAMPAIGN)
    if rings:
        await phone.answered(before + 1)
        _say("   -> SIP/{phone} rang and ana answered.", "   -> SIP/{phone} sonó y ana contestó.")
    else:
        _say("   -> No phone rang; the caller gave up.", "   -> No sonó ningún teléfono; el cliente colgó.")
    if call.answered is not rings or (phone.rings > before) is not rings:
        raise DemoFailed(f"answered: {call.answered}, rings: {phone.rings - before}")


@contextmanager
def _serving(folder: Path, asterisk: PrivateAsterisk) -> Iterator[tuple[str, str]]:
    """A Plantel process for this Asterisk; gives its URL and a token."""
    with socket.socket() as probe:
        probe.bind((asterisk.host, 0))
        port = probe.getsockname()[1]
    config = folder / "plantel.toml"
    config.touch(mode=0o600)
    config.write_text(
        f"""[http]
bind = "{asterisk.host}:{port}"
[store]
url = {json.dumps(f"sqlite:///{folder}/plantel.db")}
[[asterisk]]
name = "demo"
host = "{asterisk.host}"
port = {asterisk.ami_port}
username = "{asterisk.user.name}"
secret = "{asterisk.user.secret}"
[log]
level = "error"
""",
        encoding="utf-8",
    )
    program = [sys.executable, "-m", "plantel", "--config", str(config)]
    _run([*program, "campaign", "add", DEMO_CAMPAIGN])
    token = _run([*program, "token", "create", DEMO_TOKEN, "--campaign", DEMO_CAMPAIGN]).splitlines()[-1]
    process = subprocess.Popen([*program, "serve"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603  # our own program
    try:
        yield f"http://{asterisk.host}:{port}", token
    finally:
        process.terminate()
        process.wait(30)


async def _until_live(url: str, token: str) -> None:
    """Return once the server answers and shows its Asterisk in agreement. Raises TimeoutError."""
    probe = ["curl", "-sS", "-H", f"Authorization: Basic {token}", f"{url}/health"]
    async with asyncio.timeout(START):
        while True:
            done = await asyncio.to_thread(subprocess.run, probe, capture_output=True, check=False, timeout=START)
            if done.returncode == 0 and json.loads(done.stdout)["servers"] == {"demo": "agreed"}:
                return
            await asyncio.sleep(0.1)  # the state is polled, as a monitor would


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)  # noqa: S603  # fixed programs, no shell
    if done.returncode:
        raise DemoFailed(f"{shlex.join(command[:3])}...: {done.stderr.strip()}")
    return done.stdout


def _step(number: int, en: str, es: str) -> None:
    print(f"{number}. " + tell(en, es, queue=DEMO_CAMPAIGN, phone=DEMO_PHONE), flush=True)


def _say(en: str, es: str) -> None:
    print(tell(en, es, queue=DEMO_CAMPAIGN, phone=DEMO_PHONE), flush=True)
