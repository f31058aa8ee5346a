"""Whether the phones of new members exist, as far as the servers tell."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping

import structlog

from plantel import errors
from plantel.delivery import Delivery
from plantel.device import DeviceState
from plantel.reconcile import Reconciler, State
from plantel.roster import Member, fold
from plantel.service import Verification

log = structlog.get_logger("plantel.verification")

_Told = Mapping[str, DeviceState | None] | errors.SwitchError
"""The states of phones by the roster's interface, None where the server does not tell; or why it tells none."""


class Phones:
    """The phones of one instance's servers. No server is waited for longer than `deadline` seconds."""

    def __init__(
        self, delivery: Delivery, deadline: float, known: Callable[[str, bool], None] = lambda _server, _told: None
    ) -> None:
        """`known` is called with each server that was asked, and whether it told all that it was asked."""
        self._known = known
        self._delivery = delivery
        self._deadline = deadline
        self._silent: dict[str, str] = {}
        """The servers that did not tell when last asked, with the code of the reason: each is logged once."""

    async def verify(self, members: Iterable[Member]) -> Verification:
        """Which phones are Invalid to every server that carries their campaign, and whether all were verified.

        Where one is away, is late or does not tell, a phone is not unknown; nor is it verified, unless
        another knows it.
        """
        wanted: dict[str, set[str]] = {}
        for member in members:
            wanted.setdefault(fold(member.campaign), set()).add(member.interface)
        carriers = {one: [each for each in self._delivery.reconcilers if each.carries(one)] for one in wanted}
        asked: dict[str, tuple[Reconciler, set[str]]] = {}
        for campaign, interfaces in wanted.items():
            for carrier in carriers[campaign]:
                asked.setdefault(carrier.name, (carrier, set()))[1].update(interfaces)
        answers = await asyncio.gather(*(self._ask(carrier, interfaces) for carrier, interfaces in asked.values()))
        told = dict(zip(asked, answers, strict=True))
        unknown: dict[tuple[str, str], str] = {}
        silent: dict[str, errors.SwitchError] = {}
        for campaign, interfaces in wanted.items():
            servers = [one.name for one in carriers[campaign]]
            for interface in interfaces:
                states = {server: _state(told[server], interface) for server in servers}
                if servers and all(state is DeviceState.INVALID for state in states.values()):
                    unknown[campaign, interface] = ", ".join(servers)
                elif all(state in {None, DeviceState.INVALID} for state in states.values()):
                    silent.update((one, _reason(one, told[one])) for one, state in states.items() if state is None)
        self._note(told, silent)
        return Verification(
            unknown, errors.PhonesUnverified([silent[one] for one in sorted(silent)]) if silent else None
        )

    async def _ask(self, carrier: Reconciler, interfaces: Collection[str]) -> _Told:
        if carrier.status.state is State.AWAY:
            first = next(iter(carrier.status.reasons), None)
            if isinstance(first, errors.SwitchError):
                return first
            return errors.SwitchUnreachable(server=carrier.name, detail=str(first or errors.PlantelError()))
        called = {interface: carrier.phones.called(interface) for interface in interfaces}
        try:
            async with asyncio.timeout(self._deadline):
                states = await carrier.switch.devices(set(called.values()))
        except TimeoutError:
            return errors.SwitchTimeout(server=carrier.name, seconds=self._deadline)
        except errors.SwitchError as error:
            return error
        return {interface: states[there] for interface, there in called.items()}

    def _note(self, asked: Iterable[str], silent: Mapping[str, errors.SwitchError]) -> None:
        """Log which servers have ceased to tell, or tell again: once, not with every add."""
        for server in asked:
            reason = silent.get(server)
            self._known(server, reason is None)
            before = self._silent.pop(server, None)
            if reason is not None:
                self._silent[server] = reason.code
                if before != reason.code:
                    log.warning("phones_unverified", server=server, code=reason.code, reason=str(reason))
            elif before is not None:
                log.info("phones_verified", server=server)


def _state(told: _Told, interface: str) -> DeviceState | None:
    return None if isinstance(told, errors.SwitchError) else told[interface]


def _reason(server: str, told: _Told) -> errors.SwitchError:
    return told if isinstance(told, errors.SwitchError) else errors.DevicesUntold(server=server)
