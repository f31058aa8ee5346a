"""`plantel token` and `plantel user`: who may call."""

import getpass
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import argon2
from cyclopts import App, Parameter

from plantel import errors
from plantel.access import (
    PASSWORD_BYTES,
    Role,
    Token,
    User,
    check_account_name,
    check_password,
    digest,
    new_secret,
    token_text,
)
from plantel.cli.context import roster
from plantel.cli.options import Campaigns, InstanceName
from plantel.cli.output import note, show, table, tell
from plantel.config import Duration
from plantel.language import Text
from plantel.secret import Secret

tokens = App(name="token")
users = App(name="user")

Expires = Annotated[
    str,
    Parameter(
        show_default=False,
        help=tell(
            "When it ends: 30d, 12h, or 2027-12-31; never by default.",
            "Cuándo caduca: 30d, 12h o 2027-12-31; por defecto nunca.",
        ),
    ),
]


@tokens.command(help=tell("Make a token; the last line printed is it.", "Crear un token; la última línea lo muestra."))
async def create(
    name: str,
    *,
    campaign: Campaigns = (),
    role: Role = Role.INTEGRATOR,
    expires: Expires = "",
    instance: InstanceName = "",
) -> None:
    check_account_name(name)
    secret = new_secret()
    now = datetime.now(UTC)
    until = _when(expires, now) if expires else None
    async with roster(instance) as (plantel, where):
        key = await plantel.store.write(lambda transaction: transaction.token_key())
        hashed = digest(key, secret.reveal())
        token = Token(where.name, name, hashed, role, campaign, now, until)
        await plantel.store.write(lambda transaction: transaction.add_token(token))
        try:
            show(
                Secret(token_text(name, secret.reveal())),
                "Use it as: Authorization: Basic TOKEN. It is shown only now.",
                "Úselo así: Authorization: Basic TOKEN. Solo se muestra ahora.",
            )
        except BaseException:
            # nobody would ever use it, nor miss it if somebody else did
            await plantel.store.write(lambda transaction: transaction.remove_tokens(where.name, name, hashed))
            raise


@tokens.command(name="list", help=tell("List the tokens.", "Listar los tokens."))
async def list_tokens(*, instance: InstanceName = "") -> None:
    async with roster(instance) as (plantel, where):
        found = await plantel.store.read(lambda transaction: transaction.tokens(where.name))
    table(
        (
            tell("name", "nombre"),
            tell("role", "rol"),
            tell("campaigns", "campañas"),
            tell("created", "creado"),
            tell("expires", "caduca"),
        ),
        (
            (one.name, one.role, ", ".join(one.campaigns) or "*", _date(one.created), _date(one.expires))
            for one in found
        ),
    )


@tokens.command(help=tell("Revoke the tokens of a name.", "Revocar los tokens de un nombre."))
async def revoke(name: str, *, instance: InstanceName = "") -> None:
    async with roster(instance) as (plantel, where):
        ended = await plantel.store.write(lambda transaction: transaction.remove_tokens(where.name, name))
    if not ended:
        raise errors.NoSuchThing(name=name)
    note("{name}: revoked.", "{name}: revocado.", name=name)


@users.command(help=tell("Add a user, or set a new password.", "Agregar un usuario, o cambiarle la contraseña."))
async def add(
    name: str, *, campaign: Campaigns = (), role: Role = Role.INTEGRATOR, instance: InstanceName = ""
) -> None:
    check_account_name(name)
    password = _password()
    async with roster(instance) as (plantel, where):
        check_password(password, plantel.settings.roster.password_min)
        hashed = argon2.PasswordHasher().hash(password.to_bytes())
        user = User(where.name, name, hashed, role, campaign, datetime.now(UTC))
        await plantel.store.write(lambda transaction: transaction.put_user(user))
    note("{name}: can log in.", "{name}: ya puede entrar.", name=name)


@users.command(name="list", help=tell("List the users.", "Listar los usuarios."))
async def list_users(*, instance: InstanceName = "") -> None:
    async with roster(instance) as (plantel, where):
        found = await plantel.store.read(lambda transaction: transaction.users(where.name))
    table(
        (tell("name", "nombre"), tell("role", "rol"), tell("campaigns", "campañas"), tell("created", "creado")),
        ((one.name, one.role, ", ".join(one.campaigns) or "*", _date(one.created)) for one in found),
    )


@users.command(help=tell("Remove a user and their sessions.", "Quitar un usuario y sus sesiones."))
async def remove(name: str, *, instance: InstanceName = "") -> None:
    async with roster(instance) as (plantel, where):
        was_there = await plantel.store.write(lambda transaction: transaction.remove_user(where.name, name))
    if not was_there:
        raise errors.NoSuchThing(name=name)
    note("{name}: removed.", "{name}: quitado.", name=name)


def _password() -> Secret:
    """From PLANTEL_PASSWORD, from a prompt, or the first line of standard input if that is no terminal."""
    if (given := os.environ.get("PLANTEL_PASSWORD")) is not None:
        password = Secret(given)
    elif sys.stdin is not None and sys.stdin.isatty():
        password = _prompted()
    else:
        password = _piped()
    if not password:
        raise errors.EmptyValue(key="password")
    return password


def _prompted() -> Secret:
    try:
        password = Secret(getpass.getpass(tell("Password: ", "Contraseña: ")))
        again = Secret(getpass.getpass(tell("Again: ", "Otra vez: ")))
    except EOFError:
        return Secret("")
    if again != password:
        raise errors.InvalidSetting(setting="password", detail=Text("the two differ", "las dos no coinciden"))
    return password


def _piped() -> Secret:
    if sys.stdin is None:
        return Secret("")
    # a byte more than can be set, and the end of the line: what is longer is not taken for what it begins with
    line = sys.stdin.buffer.readline(PASSWORD_BYTES + 3)
    try:
        return Secret(line.rstrip(b"\r\n").decode())
    except UnicodeDecodeError:
        raise errors.InvalidSetting(setting="password", detail=Text("is not UTF-8", "no es UTF-8")) from None


def _when(text: str, now: datetime) -> datetime:
    try:
        return now + timedelta(seconds=Duration.read(text))
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        wanted = Text("must be 30d, 12h or a date such as 2027-12-31", "debe ser 30d, 12h o una fecha como 2027-12-31")
        raise errors.InvalidSetting(setting="--expires", detail=wanted) from None
    if moment <= now:
        raise errors.InvalidSetting(setting="--expires", detail=Text("is in the past", "ya pasó"))
    return moment


def _date(moment: datetime | None) -> str:
    return "-" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M")
