"""`plantel token` and `plantel user`: who may call."""

import getpass
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import argon2
from cyclopts import App, Parameter

from plantel import errors
from plantel.access import Role, Token, User, check_account_name, digest, new_secret, token_text
from plantel.cli.context import roster
from plantel.cli.options import Campaigns, InstanceName
from plantel.cli.output import note, table, tell
from plantel.config import Duration
from plantel.language import Text

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
        token = Token(where.name, name, digest(key, secret), role, campaign, now, until)
        await plantel.store.write(lambda transaction: transaction.add_token(token))
    note(
        "Use it as: Authorization: Basic TOKEN. It is shown only now.",
        "Úselo así: Authorization: Basic TOKEN. Solo se muestra ahora.",
    )
    print(token_text(name, secret))


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
    hashed = argon2.PasswordHasher().hash(_password())
    async with roster(instance) as (plantel, where):
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


def _password() -> str:
    """From PLANTEL_PASSWORD, from a prompt, or the first line of standard input where that is no terminal."""
    if (given := os.environ.get("PLANTEL_PASSWORD")) is not None:
        password = given
    elif sys.stdin.isatty():
        password = getpass.getpass(tell("Password: ", "Contraseña: "))
        if getpass.getpass(tell("Again: ", "Otra vez: ")) != password:
            raise errors.InvalidSetting(setting="password", detail=Text("the two differ", "las dos no coinciden"))
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise errors.EmptyValue(key="password")
    return password


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
