"""`plantel serve`: the service itself."""

import asyncio
import shlex
from typing import Annotated

import msgspec
import structlog
import uvloop
from cyclopts import Parameter

from plantel import errors, process, safety
from plantel.access import Role, Token, digest, new_secret, token_text
from plantel.cli.context import settings, settings_file
from plantel.cli.output import note, show, tell
from plantel.config import Settings, check_certificate
from plantel.roster import fold
from plantel.secret import Secret
from plantel.server import serve as run
from plantel.wiring import Plantel, SystemClock, assembled, operator

log = structlog.get_logger()

DEMO_CAMPAIGN = "Ventas->"
DEMO_PHONE = "1001"
DEMO_TOKEN = "demo"  # noqa: S105  # a name, not a secret


def serve(
    *,
    demo: Annotated[
        bool,
        Parameter(
            negative=(),
            help=tell(
                "Declare a demo campaign and print a curl line that adds an agent.",
                "Declarar una campaña de prueba e imprimir un curl que agrega un agente.",
            ),
        ),
    ] = False,
) -> None:
    process.ignore_signals()
    loaded = settings()
    check_certificate(loaded.http)
    uvloop.run(_serve(loaded, demo=demo))


async def _serve(loaded: Settings, *, demo: bool) -> None:
    token = await _prepare_demo(loaded) if demo else ""
    tasks: list[asyncio.Task[int]] = []

    def ready(plantel: Plantel) -> None:
        for one in (*safety.local(loaded, settings_file()), *safety.written_to(2)):
            what, remedy = (text.say("en", **one.params) for text in (one.what, one.remedy))
            log.warning("unsafe", code=one.code, what=what, remedy=remedy)
        url = f"{'https' if loaded.http.tls_cert else 'http'}://{loaded.http.bind}"
        note("Plantel listens on {url}", "Plantel escucha en {url}", url=url)
        if demo:
            try:
                _show_demo(url, token)
            except errors.NotShown as error:
                log.warning("demo", code=error.code, reason=str(error))
                tasks.append(asyncio.ensure_future(_withdraw_demo(plantel)))

    await run(loaded, ready)


def _show_demo(url: str, token: str) -> None:
    show(
        Secret(demo_call(url, token)),
        "\nAdd an agent to the demo campaign (answers 1):\n",
        "\nAgregue un agente a la campaña de prueba (responde 1):\n",
    )
    note("\nCtrl+C stops the service.", "\nCtrl+C detiene el servicio.")


def demo_call(url: str, token: str) -> str:
    """The published call as a line for the shell."""
    members = [
        {
            "membername": "ana",
            "queueName": DEMO_CAMPAIGN,
            "interface1": f"SIP/{DEMO_PHONE}",
            "penalty": "0",
            "paused": "0",
        }
    ]
    field = "queuemember=" + msgspec.json.encode(members).decode()
    return (
        f"curl {url}/Integra/resources/queues/addqueuemember"
        f" -H {shlex.quote(f'Authorization: Basic {token}')} --data-urlencode {shlex.quote(field)}"
    )


async def _prepare_demo(loaded: Settings) -> str:
    """The demo campaign, and a new token for it in place of an earlier run's; returns the token."""
    async with assembled(loaded) as plantel:
        instance = plantel.instances[loaded.instance[0].name]
        if fold(DEMO_CAMPAIGN) not in {fold(one.name) for one in await instance.service.campaigns(operator())}:
            await instance.service.declare(operator(), DEMO_CAMPAIGN)
        secret = new_secret()
        key = await plantel.store.write(lambda transaction: transaction.token_key())
        token = Token(
            instance.name,
            DEMO_TOKEN,
            digest(key, secret.reveal()),
            Role.INTEGRATOR,
            (DEMO_CAMPAIGN,),
            SystemClock().now(),
        )
        await plantel.store.write(lambda transaction: transaction.remove_tokens(instance.name, DEMO_TOKEN))
        await plantel.store.write(lambda transaction: transaction.add_token(token))
        return token_text(DEMO_TOKEN, secret.reveal())


async def _withdraw_demo(plantel: Plantel) -> int:
    instance = plantel.settings.instance[0].name
    return await plantel.store.write(lambda transaction: transaction.remove_tokens(instance, DEMO_TOKEN))
