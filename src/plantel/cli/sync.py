"""`plantel plan` and `plantel sync`: what has to change on every server, and doing it."""

import sys
from collections.abc import Awaitable, Callable

import msgspec

from plantel import errors, logs
from plantel.cli.context import settings
from plantel.cli.options import AsJson
from plantel.cli.output import fail, json, note, say, tell
from plantel.language import current
from plantel.phones import shown
from plantel.plan import Action, Add, Observed, Pause, Penalise, Plan, Remove
from plantel.reconcile import Reconciler
from plantel.roster import fold
from plantel.wiring import assembled


async def plan(*, as_json: AsJson = False) -> None:
    async def look(reconciler: Reconciler) -> Plan:
        _, found = await reconciler.look()
        return found

    await _on_every_server(look, as_json=as_json, done=False)


async def sync(*, as_json: AsJson = False) -> None:
    async def bring(reconciler: Reconciler) -> Plan:
        return await reconciler.run_once()

    await _on_every_server(bring, as_json=as_json, done=True)


async def _on_every_server(work: Callable[[Reconciler], Awaitable[Plan]], *, as_json: bool, done: bool) -> None:
    loaded = settings()
    logs.configure("critical", "text")  # whatever is found is shown, so it need not be logged too
    results: list[dict[str, object]] = []
    failed = False
    async with assembled(loaded) as plantel:
        if not plantel.reconcilers:
            note("No Asterisk is configured.", "No hay ningún Asterisk configurado.")
        for _, reconciler in plantel.reconcilers:
            try:
                found = await work(reconciler)
            except errors.SwitchError as error:
                failed = True
                if as_json:
                    results.append({"server": reconciler.name, "error": error.code, "message": error.say(current())})
                else:
                    fail(error)
                continue
            reasons = _reasons(found, reconciler)
            failed = failed or bool(done and (found.actions or reasons))
            if as_json:
                results.append(_as_data(found, reconciler.name, reasons))
            else:
                _show(found, reconciler.name, reasons, done=done)
    if as_json:
        json(results)
    if failed:
        sys.exit(1)


def _reasons(found: Plan, reconciler: Reconciler) -> list[errors.PlantelError]:
    blocked: list[errors.PlantelError] = [one.reason(reconciler.name) for one in found.blocked]
    return [*blocked, *(reason for reason in reconciler.status.reasons if str(reason) not in map(str, blocked))]


def _show(found: Plan, server: str, reasons: list[errors.PlantelError], *, done: bool) -> None:
    if found.agreed and not reasons:
        say(tell("{server}: agrees with the roster", "{server}: coincide con el plantel", server=server))
    elif not done or found.actions:
        say(
            tell(
                "{server}: {count} changes to make",
                "{server}: {count} cambios por hacer",
                server=server,
                count=len(found.actions) + len(found.observed),
            )
        )
    for action in found.actions:
        say("  " + _words(action))
    for one in found.observed:
        say(
            "  "
            + tell(
                "take over from the server: {queue}: {interface} paused={paused}",
                "tomar del servidor: {queue}: {interface} paused={paused}",
                queue=one.member.campaign,
                interface=shown(one.member.interface, one.claim.interface),
                paused=int(one.member.paused),
            )
            + (f" ({one.reason})" if one.reason else "")
        )
    for reason in reasons:
        say("  " + tell("not possible: ", "no es posible: ") + reason.say(current()))


def _words(action: Action) -> str:
    where = f"{action.queue}: "
    interface = shown(action.sent or action.interface, action.interface)
    match action:
        case Add():
            if action.state_interface:
                interface += tell(" (state of {device})", " (estado de {device})", device=action.state_interface)
            return where + tell(
                "add {membername} at {interface}, penalty {penalty}, paused {paused}",
                "agregar {membername} en {interface}, penalty {penalty}, paused {paused}",
                membername=action.membername,
                interface=interface,
                penalty=action.penalty,
                paused=int(action.paused),
            )
        case Remove():
            return where + tell("remove {interface}", "quitar {interface}", interface=interface)
        case Penalise():
            return where + tell(
                "{interface}: penalty {penalty}",
                "{interface}: penalty {penalty}",
                interface=interface,
                penalty=action.penalty,
            )
        case Pause():
            pause = tell(
                "{interface}: paused {paused}",
                "{interface}: paused {paused}",
                interface=interface,
                paused=int(action.paused),
            )
            return where + (f"{pause} ({action.reason})" if action.reason else pause)


def _as_data(found: Plan, server: str, reasons: list[errors.PlantelError]) -> dict[str, object]:
    return {
        "server": server,
        "agreed": found.agreed,
        "actions": found.actions,
        "observed": [_observed(one) for one in found.observed],
        "blocked": [{"code": reason.code, "message": reason.say(current())} for reason in reasons],
    }


def _observed(one: Observed) -> dict[str, object]:
    """As the API shows a member: `called`, where the server calls the phone otherwise."""
    data: dict[str, object] = msgspec.to_builtins(one.member)
    there = one.claim.interface
    return data if fold(there) == one.member.phone else {**data, "called": there}
