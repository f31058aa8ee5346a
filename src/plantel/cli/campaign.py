"""`plantel campaign`: which campaigns there are."""

from cyclopts import App

from plantel.batch import Source
from plantel.cli.context import roster
from plantel.cli.options import AsJson, InstanceName
from plantel.cli.output import json, note, table, tell
from plantel.language import Text, current
from plantel.roster import Origin
from plantel.wiring import operator

campaigns = App(name="campaign")

_ORIGINS = {
    Origin.DECLARED: Text("declared", "declarada"),
    Origin.DISCOVERED: Text("discovered", "descubierta"),
}


@campaigns.command(help=tell("Declare a campaign.", "Declarar una campaña."))
async def add(name: str, *, instance: InstanceName = "") -> None:
    async with roster(instance) as (_, where):
        await where.service.declare(operator(), name)
    note("{name}: declared.", "{name}: declarada.", name=name)


@campaigns.command(name="list", help=tell("List the campaigns.", "Listar las campañas."))
async def list_campaigns(*, as_json: AsJson = False, instance: InstanceName = "") -> None:
    async with roster(instance) as (_, where):
        found = await where.service.campaigns(operator())
    if as_json:
        json([{"name": one.name, "origin": one.origin} for one in found])
    else:
        table(
            (tell("name", "nombre"), tell("origin", "origen")),
            ((one.name, _ORIGINS[one.origin].say(current())) for one in found),
        )


@campaigns.command(help=tell("Remove a campaign and its members.", "Quitar una campaña y sus miembros."))
async def remove(name: str, *, instance: InstanceName = "") -> None:
    async with roster(instance) as (_, where):
        receipt = await where.service.dissolve(operator(), name, Source.CLI)
    note(
        "{name}: removed, with {count} members.",
        "{name}: quitada, con {count} miembros.",
        name=name,
        count=len(receipt.changes),
    )
