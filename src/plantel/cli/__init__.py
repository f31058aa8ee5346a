"""The command line."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from plantel import __version__, errors
from plantel.cli import context
from plantel.cli.campaign import campaigns
from plantel.cli.check import check
from plantel.cli.demo import demo
from plantel.cli.member import members
from plantel.cli.output import fail, tell
from plantel.cli.send import send
from plantel.cli.serve import serve
from plantel.cli.sync import plan, sync
from plantel.cli.token import tokens, users

app = App(
    name="plantel",
    version=__version__,
    help=tell(
        "The roster of a contact centre, kept true on Asterisk.",
        "El plantel de un centro de contacto, hecho realidad en Asterisk.",
    ),
)
app.command(serve, help=tell("Serve.", "Servir."))
app.command(
    demo,
    help=tell(
        "A real call, before and after an agent is added.", "Una llamada real, antes y después de agregar un agente."
    ),
)
app.command(tokens)
app.command(users)
app.command(campaigns)
app.command(members)
app.command(send, help=tell("Send a roster file to a server.", "Enviar un archivo de plantel a un servidor."))
app.command(check)
app.command(plan)
app.command(sync)


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[
        Path | None, Parameter(help=tell("The configuration file.", "El archivo de configuración."))
    ] = None,
) -> object:
    context.config_path = config
    return app(tokens)


def main() -> None:
    """The `plantel` program. Exit codes: 0 done, 1 refused or failed, 2 wrong usage or configuration."""
    try:
        app.meta()
    except errors.ConfigError as error:
        fail(error)
        sys.exit(2)
    except errors.PlantelError as error:
        fail(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
