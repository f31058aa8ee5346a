"""`plantel store`: the database below."""

from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import Progress, TaskID

from plantel.cli.options import AsJson
from plantel.cli.output import json, note, table, tell
from plantel.store.copying import copy_store

stores = App(name="store")

_Url = Annotated[
    str,
    Parameter(
        help=tell(
            "As store.url: sqlite:///FILE, postgresql://..., mariadb://...",
            "Como store.url: sqlite:///ARCHIVO, postgresql://..., mariadb://...",
        )
    ),
]


@stores.command(
    help=tell(
        "Copy a roster with its whole history into an empty database.",
        "Copiar un plantel con toda su historia a una base vacía.",
    )
)
def copy(source: _Url, target: _Url, *, as_json: AsJson = False) -> None:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def report(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name)
            progress.update(tasks[name], completed=done, total=total)

        copied = copy_store(source, target, report)
    if as_json:
        json({"tables": [msgspec.to_builtins(one) for one in copied]})
        return
    headings = (tell("table", "tabla"), tell("rows", "filas"), tell("checksum", "suma"))
    table(headings, ((one.table, one.rows, one.checksum) for one in copied))
    note(
        "Copied and compared: now set store.url and start Plantel on it.",
        "Copiado y comparado: ahora cambie store.url e inicie Plantel con ella.",
    )
