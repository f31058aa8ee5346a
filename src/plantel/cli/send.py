"""`plantel send`: a roster file to a server, over the wire call."""

import getpass
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from cyclopts import Parameter, validators
from rich.console import Console
from rich.progress import Progress

from plantel import errors
from plantel.cli.options import AsJson
from plantel.cli.output import json, note, tell
from plantel.client import Integra, Member, Stored, check
from plantel.client.integra import BATCH_ITEMS
from plantel.client.roster_file import FILE_BYTES, Format, Row, read_roster
from plantel.language import Language, Text, current

ALL_STORED, REFUSED, USAGE, UNAVAILABLE, CREDENTIALS = range(5)
"""The exit codes."""

_SHOWN = 100
"""Problems shown to a person; `--json` holds all."""

_LINE, _ITEM = Text("line {number}", "línea {number}"), Text("item {number}", "elemento {number}")
_LINES, _ITEMS = Text("lines {first} to {last}", "líneas {first} a {last}"), Text("items {first} to {last}", "elementos {first} a {last}")
_CONTRADICTS_LINE = Text("contradicts line {other}", "contradice a la línea {other}")


def send(
    roster: Annotated[
        str,
        Parameter(
            help=tell("CSV, JSON or JSON lines; - is standard input.", "CSV, JSON o líneas JSON; - es la entrada estándar.")
        ),
    ],
    /,
    *,
    url: Annotated[str, Parameter(help=tell("The server: https://host[:port].", "El servidor: https://servidor[:puerto]."))],
    token: Annotated[
        str | None,
        Parameter(
            help=tell(
                "base64 of user:secret; better in PLANTEL_TOKEN, which other users of this machine cannot see.",
                "base64 de usuario:secreto; mejor en PLANTEL_TOKEN, que otros usuarios de esta máquina no ven.",
            )
        ),
    ] = None,
    user: Annotated[
        str | None,
        Parameter(
            help=tell(
                "Log in as this user, with the password in PLANTEL_PASSWORD or asked for.",
                "Entrar como este usuario, con la contraseña en PLANTEL_PASSWORD o preguntándola.",
            )
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        Parameter(help=tell("PEM file of the only authorities to trust.", "Archivo PEM de las únicas autoridades de confianza.")),
    ] = None,
    batch_size: Annotated[
        int,
        Parameter(
            validator=validators.Number(gte=1),
            help=tell(
                "Members in a batch at most; a batch is stored whole or not at all.",
                "Agentes por lote como mucho; un lote se guarda entero o nada.",
            ),
        ),
    ] = BATCH_ITEMS,
    format: Annotated[  # noqa: A002  # the option's name
        Format | None, Parameter(help=tell("What the file is; found out by default.", "Qué es el archivo; por defecto se averigua."))
    ] = None,
    dry_run: Annotated[
        bool, Parameter(negative=(), help=tell("Check everything, send nothing.", "Comprobar todo, no enviar nada."))
    ] = False,
    insecure_http: Annotated[
        bool,
        Parameter(
            negative=(),
            help=tell("Allow http:// to another machine.", "Permitir http:// hacia otra máquina."),
        ),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Returns the exit code: 0 all stored (or, with `dry_run`, in order), 1 refused by the server, 2 wrong usage or file
    and nothing sent, 3 the server cannot be used, 4 the credentials are wrong or do not reach that far.

    People read standard error: problems by line of the file and, after a failure on the way, what is stored and what is
    not. Success is said to a terminal only. `as_json` gives programs one object on standard output instead.
    """
    outcome = _Outcome()
    try:
        for row in _read(roster, format, outcome):
            outcome.rows.append(row)
        members = check(row.item for row in outcome.rows)
        if dry_run:
            # Made and never used: the same look at URL, credentials and CA file as before sending.
            _connection(url, token or "-", None, None, ca_file, batch_size, insecure_http).close()
        else:
            secret = _credentials(token, user)
            with _connection(url, *secret, ca_file, batch_size, insecure_http) as integra:
                outcome.sent(_add(integra, members))
    except (errors.ClientError, errors.InvalidBatch) as error:
        outcome.failed(error)
    if as_json:
        json(outcome.summary())
    else:
        outcome.show(current())
    return outcome.exit_code
