"""`plantel drift`: what was changed on the servers behind Plantel's back."""

from typing import Annotated

from cyclopts import Parameter

from plantel.cli.context import roster
from plantel.cli.options import AsJson, InstanceName
from plantel.cli.output import json, note, table, tell
from plantel.drift import Done, DriftRecord, Route
from plantel.language import Text, current, encodable
from plantel.plan import DriftKind
from plantel.wiring import operator

_KINDS = {
    DriftKind.REMOVED: Text("removed", "quitado"),
    DriftKind.PENALTY: Text("penalty {expected} -> {found}", "penalty {expected} -> {found}"),
    DriftKind.PAUSED: Text("paused {expected} -> {found}", "paused {expected} -> {found}"),
    DriftKind.DUPLICATED: Text("twice in the queue", "dos veces en la cola"),
}
_ROUTES = {
    Route.EVENT: Text("changed on the server", "cambiado en el servidor"),
    Route.LOOK: Text("changed without a word", "cambiado sin aviso"),
    Route.RESTART: Text("Asterisk restarted", "Asterisk se reinició"),
    Route.AWAY: Text("while nobody watched", "mientras nadie miraba"),
}
_DONE = {
    Done.REPAIRED: Text("put right", "corregido"),
    Done.REPORTED: Text("left so", "se dejó así"),
    Done.TAKEN_OVER: Text("taken over", "adoptado"),
    Done.REFUSED: Text("Asterisk refused", "Asterisk lo rechazó"),
    Done.CONTESTED: Text("changed again each time", "lo cambian cada vez"),
}


async def drift(
    *,
    server: str | None = None,
    campaign: str | None = None,
    limit: Annotated[int, Parameter(help=tell("The newest so many.", "Los últimos tantos."))] = 100,
    as_json: AsJson = False,
    instance: InstanceName = "",
) -> None:
    async with roster(instance) as (_, where):
        campaign = campaign and encodable(campaign)
        found = await where.service.drifts(
            operator(), server=server and encodable(server), campaign=campaign, limit=limit
        )
    if as_json:
        json(found)
    elif not found:
        note("Nobody has changed anything.", "Nadie ha cambiado nada.")
    else:
        headings = (
            tell("when", "cuándo"),
            tell("server", "servidor"),
            tell("campaign", "campaña"),
            tell("member", "miembro"),
            tell("what", "qué"),
            tell("how", "cómo"),
            tell("done", "hecho"),
        )
        table(headings, (_row(one) for one in found))


def _row(one: DriftRecord) -> tuple[str, ...]:
    who = tell("{count} members", "{count} miembros", count=one.count)
    if one.interface:
        who = f"{one.membername} {one.interface}"
    language = current()
    return (
        one.at.astimezone().isoformat(" ", "seconds"),
        one.server,
        one.campaign,
        who,
        _KINDS[one.kind].say(language, expected=one.expected, found=one.found),
        _ROUTES[one.route].say(language),
        _DONE[one.done].say(language),
    )
