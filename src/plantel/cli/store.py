"""`plantel store`: the database below."""

from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import Progress, TaskID

from plantel.cli.context import settings
from plantel.cli.options import AsJson
from plantel.cli.output import json, note, say, table, tell
from plantel.config import referred
from plantel.language import Text, current
from plantel.store import leftover_parts
from plantel.store.copying import copy_store
from plantel.wiring import realtime_views

stores = App(name="store")

_Url = Annotated[
    str,
    Parameter(
        help=tell(
            "As store.url: sqlite:///FILE, postgresql://..., mariadb://...; or, so that no password shows in the list"
            " of processes, file:PATH or env:NAME of what holds it.",
            "Como store.url: sqlite:///ARCHIVO, postgresql://..., mariadb://...; o, para que no se vea una clave en la"
            " lista de procesos, file:RUTA o env:NOMBRE de lo que la contiene.",
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

        copied = copy_store(referred(source, "SOURCE"), referred(target, "TARGET"), report)
    if as_json:
        json({"tables": [msgspec.to_builtins(one) for one in copied]})
        return
    headings = (tell("table", "tabla"), tell("rows", "filas"), tell("checksum", "suma"))
    table(headings, ((one.table, one.rows, one.checksum) for one in copied))
    note(
        "Copied and compared: now set store.url and start Plantel on it.",
        "Copiado y comparado: ahora cambie store.url e inicie Plantel con ella.",
    )


_KINDS = {
    "view": Text("view", "vista"),
    "trigger": Text("trigger on members", "disparador de members"),
    "function": Text("function", "función"),
    "index": Text("index", "índice"),
    "table": Text("table", "tabla"),
    "column": Text("column of members", "columna de members"),
}


@stores.command(
    help=tell(
        "What the database still has for realtime servers that are no longer in the configuration.",
        "Lo que la base aún tiene para servidores realtime que ya no están en la configuración.",
    )
)
def leftovers(
    *,
    remove: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help=tell(
                "Remove it. An Asterisk that still reads such a view has no members then.",
                "Quitarlo. Un Asterisk que aún lea una de esas vistas se queda sin miembros.",
            ),
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    loaded = settings()
    parts = leftover_parts(loaded.store.url, realtime_views(loaded), remove=remove)
    if as_json:
        json({"parts": parts, "removed": remove})
        return
    for one in parts:
        say(f"{_KINDS[one.kind].say(current())} {one.name}")
    if not parts:
        note("Nothing is left over.", "No sobra nada.")
    elif remove:
        note("Removed. The roster and its history are untouched.", "Quitado. El plantel y su historia no se tocan.")
    else:
        note(
            "With --remove these go, and nothing else: no member, no history. Before, make sure that no Asterisk reads"
            " these views any more (it would have no members), and that no other node is configured for them.",
            "Con --remove se quita esto y nada más: ningún miembro, ninguna historia. Antes, asegúrese de que ningún"
            " Asterisk lee ya estas vistas (se quedaría sin miembros), y de que ningún otro nodo las tiene en uso.",
        )
