"""`plantel send`: a roster file to a server, over the wire call."""

import getpass
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, validators
from rich.console import Console
from rich.progress import Progress

from plantel import errors
from plantel.cli.options import AsJson
from plantel.cli.output import complain, json, note, tell
from plantel.client import Integra, Stored, check
from plantel.client.address import parse_address
from plantel.client.integra import BATCH_ITEMS
from plantel.client.roster_file import FILE_BYTES, Format, RosterFile, read_roster
from plantel.language import Text, current

ALL_STORED, REFUSED, USAGE, UNAVAILABLE, CREDENTIALS = range(5)
"""The exit codes."""

_SHOWN = 100
"""Problems, warnings and batches shown to a person; `--json` holds all."""

_DELIVERIES = {
    "live": Text("live", "en vivo"),
    "pending": Text("pending", "pendiente"),
    "none": Text("no Asterisk", "sin Asterisk"),
}


def send(
    roster: Annotated[
        str,
        Parameter(
            help=tell(
                "CSV, JSON or JSON lines; - is standard input.", "CSV, JSON o líneas JSON; - es la entrada estándar."
            )
        ),
    ],
    /,
    *,
    url: Annotated[
        str, Parameter(help=tell("The server: https://host[:port].", "El servidor: https://servidor[:puerto]."))
    ],
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
        Parameter(
            help=tell(
                "PEM file of the only authorities to trust.", "Archivo PEM de las únicas autoridades de confianza."
            )
        ),
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
        Format | None,
        Parameter(help=tell("What the file is; found out by default.", "Qué es el archivo; por defecto se averigua.")),
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
    """Returns the exit code: 0 all stored (or, with `dry_run`, in order), 1 refused by the server, 2 wrong usage or
    file and nothing sent, 3 the server cannot be used, 4 the credentials are wrong or do not reach that far.

    People read standard error: warnings and problems by line of the file and, after a failure on the way, what is
    stored and what is not. Success, and how far Asterisk is, is said to a terminal only. `as_json` gives programs one
    object on standard output instead.
    """
    outcome = _Outcome()
    try:
        outcome.file = read_roster(_read(roster), format)
        members = check(row.item for row in outcome.file.rows)
        parse_address(url, insecure_http=insecure_http)
        if not dry_run:
            token, user, password = _credentials(token, user, may_ask=roster != "-")
            with (
                Integra(
                    url,
                    token=token,
                    user=user,
                    password=password,
                    ca_file=ca_file,
                    insecure_http=insecure_http,
                    batch_items=batch_size,
                ) as integra,
                Progress(console=_console(), transient=True, disable=not _console().is_terminal) as progress,
            ):
                task = progress.add_task(tell("sending", "enviando"), total=len(members))

                def stored(batch: Stored) -> None:
                    outcome.batches.append(batch)
                    progress.update(task, completed=batch.last)

                integra.add(members, stored)
    except (errors.ClientError, errors.InvalidBatch) as error:
        outcome.error = error
    if as_json:
        json(outcome.summary())
    else:
        outcome.show()
    return outcome.exit_code


def _console() -> Console:
    return Console(stderr=True)


def _read(roster: str) -> bytes:
    try:
        if roster == "-":
            data = sys.stdin.buffer.read(FILE_BYTES + 1)
        else:
            with Path(roster).open("rb") as file:
                data = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise errors.FileUnreadable(file=roster, detail=error.strerror or str(error)) from None
    if len(data) > FILE_BYTES:
        raise errors.FileTooLarge(file=roster, most=FILE_BYTES)
    return data


def _credentials(token: str | None, user: str | None, *, may_ask: bool) -> tuple[str | None, str | None, str | None]:
    """Token, user and password, as `Integra` takes them. An option counts for more than the environment."""
    if user is None:
        token = token or os.environ.get("PLANTEL_TOKEN")
        if token:
            return token, None, None
    elif token is None:
        password = os.environ.get("PLANTEL_PASSWORD")
        if password is None and may_ask and sys.stdin.isatty():
            password = getpass.getpass(tell("Password of {user}: ", "Contraseña de {user}: ", user=user))
        if password is not None:
            return None, user, password
    raise errors.CredentialsMissing


class _Outcome:
    """What became of the file, for people and for programs."""

    def __init__(self) -> None:
        self.file = RosterFile("csv", [])
        self.batches: list[Stored] = []
        self.error: errors.ClientError | errors.InvalidBatch | None = None

    @property
    def exit_code(self) -> int:
        match self.error:
            case None:
                return ALL_STORED
            case errors.CredentialsRefused() | errors.RightRefused():
                return CREDENTIALS
            case errors.ServerRefused():
                return REFUSED
            case (
                errors.ServerUnavailable()
                | errors.ServerUntrusted()
                | errors.AnswerUnexpected()
                | errors.AnswerRedirected()
            ):
                return UNAVAILABLE
        return USAGE

    def summary(self) -> dict[str, Any]:
        """For programs: figures count members, `first`, `last` and `at` are lines or items of the file (`unit`)."""
        stored, tried = self._reach()
        return {
            "exit_code": self.exit_code,
            "unit": self._unit,
            "members": len(self.file.rows),
            "stored": stored,
            "tried": tried,
            "batches": [
                {
                    "batch": batch.batch,
                    "delivery": batch.delivery,
                    "reason": batch.reason,
                    "first": self._number(batch.first),
                    "last": self._number(batch.last - 1),
                    "warnings": [{"at": self._at(one.item), "message": one.message} for one in batch.warnings],
                }
                for batch in self.batches
            ],
            "refused_batch": self.error.batch if isinstance(self.error, errors.ServerRefused) else "",
            "problems": [
                {
                    "code": error.code,
                    "key": error.key if isinstance(error, errors.InvalidItem) else "",
                    "at": at,
                    "message": text.en,
                    **({"server_code": error.reason_code} if isinstance(error, errors.ServerRefused) else {}),
                }
                for error, at, text in self._problems()
            ],
        }

    def show(self) -> None:
        """For people: warnings and problems always, success to a terminal only."""
        for count, warned in enumerate(one for batch in self.batches for one in batch.warnings):
            if self._too_many(count):
                break
            place = f"{self._places(at, at)}: " if (at := self._at(warned.item)) is not None else ""
            note("plantel: warning: {what}", "plantel: aviso: {what}", what=place + warned.message)
        if self.error is None:
            if _console().is_terminal:
                self._praise()
            return
        for count, (error, at, text) in enumerate(self._problems()):
            if self._too_many(count):
                break
            place = f"{self._places(at, at)}: " if at is not None else ""
            complain(f"plantel: {place}{text.say(current())} [{error.code}]")
        stored, tried = self._reach()
        if not tried:
            note("Nothing was sent.", "No se envió nada.")
            return
        if isinstance(self.error, errors.ServerRefused) and self.error.batch:
            note("refused batch: {batch}", "lote rechazado: {batch}", batch=self.error.batch)
        self._say_range(Text("stored: {where}", "guardado: {where}"), 0, stored)
        if isinstance(self.error, errors.ServerRefused):
            self._say_range(Text("not stored: {where}", "no guardado: {where}"), stored, tried)
        else:
            self._say_range(
                Text("stored or not, unknown: {where}", "guardado o no, se desconoce: {where}"), stored, tried
            )
        self._say_range(Text("not sent: {where}", "no enviado: {where}"), tried, len(self.file.rows))
        note(
            "Sending the whole file again is safe: what is stored is set to the same values.",
            "Enviar de nuevo todo el archivo es seguro: lo ya guardado recibe los mismos valores.",
        )

    @staticmethod
    def _too_many(count: int) -> bool:
        """Whether so many have been shown that the rest is not; says so."""
        if count == _SHOWN:
            note("... and more; --json shows all", "... y más; --json los muestra todos")
        return count == _SHOWN

    def _praise(self) -> None:
        members = len(self.file.rows)
        if not self.batches:
            note("{members} in order, nothing sent", "{members} en orden, no se envió nada", members=members)
        elif any(batch.delivery == "pending" for batch in self.batches):
            note(
                "{members} stored; Asterisk follows as soon as it can",
                "{members} guardados; Asterisk seguirá en cuanto pueda",
                members=members,
            )
        else:
            note("{members} stored", "{members} guardados", members=members)
        told = (batch for batch in self.batches if batch.batch)  # the original product tells nothing
        for count, batch in enumerate(told):
            if self._too_many(count):
                break
            where = self._places(self._number(batch.first), self._number(batch.last - 1))
            delivery = "" if batch.delivery is None else f", {_DELIVERIES[batch.delivery].say(current())}"
            reason = f": {batch.reason}" if batch.reason else ""
            note(
                "{where}: batch {batch}{delivery}{reason}",
                "{where}: lote {batch}{delivery}{reason}",
                where=where,
                batch=batch.batch,
                delivery=delivery,
                reason=reason,
            )

    def _reach(self) -> tuple[int, int]:
        """How many members were stored, and up to which one it was tried."""
        if isinstance(self.error, errors.ClientError):
            return self.error.stored, self.error.tried
        done = self.batches[-1].last if self.batches else 0
        return done, done

    def _problems(self) -> Iterator[tuple[errors.PlantelError, int | None, Text]]:
        """Each error, where in the file it is, and what it says without that."""
        match self.error:
            case errors.MembersInvalid(problems=problems):
                for error in problems:
                    yield error, self._at(error.item), self._unplaced(error)
            case errors.ServerRefused() as error:
                yield error, self._at(error.item), _texts(error, {**error.params, "item": None})
            case errors.PlantelError() as error:
                yield error, None, _texts(error)

    def _unplaced(self, error: errors.InvalidItem) -> Text:
        params = {**error.params, "key": error.key}
        if isinstance(error, errors.Contradiction):
            other = self._at(error.params["other"])
            if self._unit == "line":
                text = Text("contradicts line {other}", "contradice a la línea {other}")
                return Text(*(f"{error.key}: {each.format(other=other)}" for each in text))
            params["other"] = other
        return _texts(error, params)

    @property
    def _unit(self) -> str:
        return "item" if self.file.format == "json" else "line"

    def _number(self, index: int) -> int:
        """Where in the file the member at `index` (from 0) is."""
        return self.file.rows[index].number

    def _at(self, item: int | None) -> int | None:
        return self._number(item - 1) if item is not None and item <= len(self.file.rows) else None

    def _say_range(self, text: Text, first: int, last: int) -> None:
        if first < last:
            complain(text.say(current(), where=self._places(self._number(first), self._number(last - 1))))

    def _places(self, first: int | None, last: int | None) -> str:
        if self._unit == "line":
            one, many = (
                Text("line {first}", "línea {first}"),
                Text("lines {first} to {last}", "líneas {first} a {last}"),
            )
        else:
            one, many = (
                Text("item {first}", "elemento {first}"),
                Text("items {first} to {last}", "elementos {first} a {last}"),
            )
        return (one if first == last else many).say(current(), first=first, last=last)


def _texts(error: errors.PlantelError, params: dict[str, Any] | None = None) -> Text:
    """What an error says in both languages; with `params`, what it would say if made with these."""
    made = error if params is None else type(error)(**params)
    return Text(made.say("en"), made.say("es"))
