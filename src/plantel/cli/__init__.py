"""The command line. A command's own module is imported when it is called: the service alone needs half a second."""

import errno
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from plantel import __version__, errors, process
from plantel.cli import context
from plantel.cli.output import complain, fail, note, tell

_NOBODY_READS = {errno.EPIPE, errno.ENOSPC, errno.EIO}
"""What printing may fail with; files that a command opens have errors of Plantel's own."""

app = App(
    name="plantel",
    version=__version__,
    help=tell(
        "The roster of a contact centre, kept true on Asterisk.",
        "El plantel de un centro de contacto, hecho realidad en Asterisk.",
    ),
    print_error=False,
    exit_on_error=False,
)
app.command("plantel.cli.serve:serve", help=tell("Serve.", "Servir."))
app.command(
    "plantel.cli.demo:demo",
    help=tell(
        "A real call, before and after an agent is added.", "Una llamada real, antes y después de agregar un agente."
    ),
)
app.command("plantel.cli.token:tokens", name="token", help=tell("Tokens of integrators.", "Tokens de integradores."))
app.command(
    "plantel.cli.token:users",
    name="user",
    help=tell("People who log in with a password.", "Personas que entran con contraseña."),
)
app.command(
    "plantel.cli.campaign:campaigns",
    name="campaign",
    help=tell("Campaigns: the queues of Asterisk.", "Campañas: las colas de Asterisk."),
)
app.command(
    "plantel.cli.member:members",
    name="member",
    help=tell("The members of a campaign.", "Los miembros de una campaña."),
)
app.command(
    "plantel.cli.send:send", help=tell("Send a roster file to a server.", "Enviar un archivo de plantel a un servidor.")
)
app.command(
    "plantel.cli.check:check",
    help=tell(
        "What works, what does not, and what to do about it.", "Qué funciona, qué no, y qué hacer para arreglarlo."
    ),
)
app.command(
    "plantel.cli.why:why",
    help=tell("Why a phone does not ring.", "Por qué no suena un teléfono."),
)
app.command(
    "plantel.cli.store:stores",
    name="store",
    help=tell("The database below.", "La base de datos."),
)
app.command(
    "plantel.cli.sync:plan",
    help=tell(
        "What sync would change on every server; changes nothing.",
        "Lo que sync cambiaría en cada servidor; no cambia nada.",
    ),
)
app.command(
    "plantel.cli.sync:sync",
    help=tell("Bring every server into agreement now.", "Poner de acuerdo a cada servidor ahora."),
)
app.command(
    "plantel.cli.drift:drift",
    help=tell(
        "What was changed on the servers, how, and what was done about it.",
        "Qué se cambió en los servidores, cómo, y qué se hizo al respecto.",
    ),
)


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
    process.open_standard()
    process.leave_no_core()
    try:
        app.meta()
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in _NOBODY_READS:
            raise
        process.forget_output()
        if error.errno != errno.EPIPE:  # with a pipe, whoever read has seen enough
            note("nothing can be written: {why}", "no se puede escribir: {why}", why=error.strerror)
        sys.exit(1)
    except CycloptsError as error:
        _fail_usage(error)
        sys.exit(2)
    except errors.ConfigError as error:
        fail(error)
        sys.exit(2)
    except errors.PlantelError as error:
        fail(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail_usage(error: CycloptsError) -> None:
    for line in f"plantel: {error}".splitlines():
        complain(line)
    note(
        "{command} --help tells more; a name that begins with - goes after --",
        "{command} --help dice más; un nombre que empieza con - va después de --",
        command=" ".join(["plantel", *(error.command_chain or ())]),
    )
