"""Whether the phones of new members exist, as far as the servers tell."""

import asyncio
from collections.abc import Iterable

from plantel import errors
from plantel.delivery import Delivery
from plantel.device import DeviceState
from plantel.reconcile import Reconciler, State
from plantel.roster import Member, fold


class Phones:
    """The phones of one instance's servers. No server is waited for longer than `deadline` seconds."""

    def __init__(self, delivery: Delivery, deadline: float) -> None:
        self._delivery = delivery
        self._deadline = deadline

    async def unknown(self, members: Iterable[Member]) -> dict[tuple[str, str], str]:
        """The members (folded campaign, interface) whose phone is Invalid to every server that carries the campaign.

        With the names of those servers. Where one is away, is late or does not tell, the phone is not unknown.
        """
        wanted: dict[str, set[str]] = {}
        for member in members:
            wanted.setdefault(fold(member.campaign), set()).add(member.interface)
        carriers = {one: [each for each in self._delivery.reconcilers if each.carries(one)] for one in wanted}
        asked: dict[str, tuple[Reconciler, set[str]]] = {}
        for campaign, interfaces in wanted.items():
            for carrier in carriers[campaign]:
                asked.setdefault(carrier.name, (carrier, set()))[1].update(interfaces)
        answers = await asyncio.gather(*(self._invalid(carrier, interfaces) for carrier, interfaces in asked.values()))
        invalid = dict(zip(asked, answers, strict=True))
        return {
            (campaign, interface): ", ".join(one.name for one in carriers[campaign])
            for campaign, interfaces in wanted.items()
            for interface in interfaces
            if carriers[campaign] and all(interface in invalid[one.name] for one in carriers[campaign])
        }

    async def _invalid(self, carrier: Reconciler, interfaces: set[str]) -> set[str]:
        """Those that the server says are none."""
        if carrier.status.state is State.AWAY:
            return set()
        called = {interface: carrier.phones.called(interface) for interface in interfaces}
        try:
            async with asyncio.timeout(self._deadline):
                states = await carrier.switch.devices(set(called.values()))
        except (TimeoutError, errors.SwitchError):
            return set()
        return {interface for interface, there in called.items() if states[there] is DeviceState.INVALID}
