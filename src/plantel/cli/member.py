"""`plantel member`: who works in a campaign."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from plantel import errors
from plantel.batch import Kind, Source
from plantel.cli.context import roster
from plantel.cli.options import AsJson, InstanceName
from plantel.cli.output import fail, json, note, say, table, tell
from plantel.http.instance import Instance
from plantel.language import Text, current
from plantel.reconcile import Reconciler
from plantel.roster import Member
from plantel.service import Receipt
from plantel.wiring import operator

members = App(name="member")

_KINDS = {
    Kind.ADDED: Text("added", "agregado"),
    Kind.UPDATED: Text("updated", "actualizado"),
    Kind.MOVED: Text("moved", "cambiado de teléfono"),
    Kind.REPLACED: Text("replaced", "reemplazado"),
    Kind.REMOVED: Text("removed", "quitado"),
}


@members.command(help=tell("Add an agent, or change the one there.", "Agregar un agente, o cambiar el que está."))
async def add(
    campaign: str,
    membername: str,
    interface: str,
    *,
    penalty: Annotated[int, Parameter(help=tell("Lower rings first.", "El menor suena antes."))] = 0,
    paused: Annotated[
        bool, Parameter(show_default=False, help=tell("Added, but paused.", "Agregado, pero en pausa."))
    ] = False,
    as_json: AsJson = False,
    instance: InstanceName = "",
) -> None:
    item: Member | errors.InvalidItem
    try:
        item = Member(campaign, membername, interface, penalty, paused)
    except errors.InvalidItem as error:
        item = error.at(1)
    async with roster(instance) as (_, where):
        receipt = await where.service.add(operator(), [item], Source.CLI)
    _report(receipt, as_json=as_json)


@members.command(help=tell("Take agents out of a campaign.", "Sacar agentes de una campaña."))
async def remove(campaign: str, /, *agent: str, as_json: AsJson = False, instance: InstanceName = "") -> None:
    async with roster(instance) as (_, where):
        receipt = await where.service.remove(operator(), campaign, _some(agent), Source.CLI)
    _report(receipt, as_json=as_json)


@members.command(help=tell("Pause agents; --off ends their pause.", "Pausar agentes; --off termina la pausa."))
async def pause(
    campaign: str,
    /,
    *agent: str,
    off: Annotated[
        bool, Parameter(negative=(), show_default=False, help=tell("End the pause.", "Terminar la pausa."))
    ] = False,
    reason: Annotated[
        str, Parameter(show_default=False, help=tell("Why, for Asterisk and the journal.", "Por qué."))
    ] = "",
    as_json: AsJson = False,
    instance: InstanceName = "",
) -> None:
    async with roster(instance) as (_, where):
        receipt = await where.service.pause(
            operator(), campaign, _some(agent), Source.CLI, paused=not off, reason=reason
        )
    _report(receipt, as_json=as_json)


@members.command(
    help=tell(
        "Take over members that somebody else added; without names, show them.",
        "Adoptar miembros que agregó otro; sin nombres, mostrarlos.",
    )
)
async def adopt(
    campaign: str,
    /,
    *agent: str,
    server: Annotated[
        str, Parameter(show_default=False, help=tell("Found there; the only one if there is one.", "Hallados ahí."))
    ] = "",
    as_json: AsJson = False,
    instance: InstanceName = "",
) -> None:
    async with roster(instance) as (_, where):
        reconciler = _server(where, server)
        if agent:
            _report(await reconciler.adopt(operator(), campaign, agent), as_json=as_json)
            return
        found = await reconciler.foreign(campaign)
    if as_json:
        json(found)
        return
    table(
        ("membername", "interface", "penalty", "paused", "membership"),
        ((one.membername, one.interface, one.penalty, int(one.paused), one.membership) for one in found),
    )


@members.command(
    help=tell(
        "Take agents out of the roster, but leave them in Asterisk.",
        "Sacar agentes del plantel, pero dejarlos en Asterisk.",
    )
)
async def release(campaign: str, /, *agent: str, as_json: AsJson = False, instance: InstanceName = "") -> None:
    async with roster(instance) as (_, where):
        receipt = await where.delivery.release(operator(), campaign, _some(agent), where.service)
    _report(receipt, as_json=as_json)


@members.command(name="list", help=tell("List the members of a campaign.", "Listar los miembros de una campaña."))
async def list_members(campaign: str, *, as_json: AsJson = False, instance: InstanceName = "") -> None:
    async with roster(instance) as (_, where):
        found = [(one, where.delivery.called(one)) for one in await where.service.members(operator(), campaign)]
        reasons = await where.service.reasons(operator(), campaign)
    if as_json:
        json([_as_data(one, reasons.get(one.membername, ""), called) for one, called in found])
        return
    table(
        ("membername", "interface", "penalty", "paused", tell("reason", "motivo")),
        (
            (
                one.membername,
                _phone(one.interface, called),
                one.penalty,
                int(one.paused),
                reasons.get(one.membername, ""),
            )
            for one, called in found
        ),
    )


def _as_data(member: Member, reason: str, called: Mapping[str, str]) -> dict[str, object]:
    """What a member has none of is left out."""
    more = {"reason": reason, "called": called}
    return msgspec.structs.asdict(member) | {name: value for name, value in more.items() if value}


def _server(where: Instance, name: str) -> Reconciler:
    found = [one for one in where.delivery.reconcilers if name in {"", one.name}]
    if len(found) != 1:
        raise errors.NoSuchThing(name=name or "--server")
    return found[0]


def _phone(interface: str, called: Mapping[str, str]) -> str:
    """The interface as it was sent, and what servers with a rule for it make of it."""
    return " ".join([interface, *(f"({server}: {there})" for server, there in called.items())])


def _some(agents: tuple[str, ...]) -> tuple[str, ...]:
    if not agents:
        raise errors.EmptyBatch
    return agents


def _report(receipt: Receipt, *, as_json: bool) -> None:
    for warning in receipt.warnings:
        fail(warning)
    if as_json:
        json(
            {
                "batch": receipt.batch,
                "changes": [
                    {"kind": one.kind, "before": one.before, "after": one.after}
                    | ({"reason": one.reason} if one.reason else {})
                    for one in receipt.changes
                ],
            }
        )
        return
    if not receipt.changes:
        note("Nothing to change: it was so already.", "Nada que cambiar: ya estaba así.")
    for change in receipt.changes:
        member = change.member
        values = f"penalty={member.penalty} paused={int(member.paused)}"
        say(f"{_KINDS[change.kind].say(current())}: {member.membername} {member.interface} {values}")
