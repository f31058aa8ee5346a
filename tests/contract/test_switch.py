"""What every Switch does: FakeSwitch, AmiSwitch on the scripted AMI server, AmiSwitch on a real Asterisk 16
and 22."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

import anyio
import anyio.to_thread
import pytest

from plantel.ami import AmiSwitch
from plantel.device import DeviceState
from plantel.errors import ActionRefused, MemberNotDynamic, QueueMissing, SwitchRefused, SwitchUnreachable
from plantel.plan import Action, Add, LiveMember, Membership, Pause, Penalise, Remove, Snapshot, plan
from plantel.ports import Outcome, Switch
from plantel.roster import Member, fold
from plantel.testing.ami_server import AmiServer
from plantel.testing.app_queue import AppQueue
from plantel.testing.asterisk import AmiUser, PrivateAsterisk
from plantel.testing.fake_switch import FakeSwitch
from plantel.why.closeup import QueueRules
from tests.support.asterisks import VERSIONS

pytestmark = pytest.mark.anyio

QUEUES = ("Ventas->", "POWER<-", "Línea 100%", "Ventas & Cobros", "A+B")
STATIC = LiveMember("SIP/9001", "Static Sam", 2, membership=Membership.STATIC)


RULES = QueueRules(wrapup=7, join_empty="paused,strict")
"""Those of the first queue."""


class World(Protocol):
    """A Switch with the server behind it: QUEUES, the first with STATIC in it and RULES. SIP/1001 is a phone, SIP/9001
    is none. The switch's user has what the documentation asks for; that of `reporter` has `write = reporting`, too."""

    switch: Switch
    reporter: Switch
    phone: str
    """The one that the server knows."""

    async def meddle(self, action: Action) -> Outcome:
        """Somebody else does this on the server."""
        ...

    async def restart(self) -> None: ...
    async def go_away(self) -> None: ...
    async def come_back(self) -> None: ...


REPORTER = AmiUser("reporter", "secret", write="agent,reporting")


KNOWN = "SIP/1001"


def furnish(pbx: AppQueue) -> None:
    pbx.configure(QUEUES[0], [STATIC], RULES)
    pbx.set_device(KNOWN, DeviceState.NOT_INUSE)
    pbx.set_device("SIP/9001", DeviceState.INVALID)


class FakeWorld:
    def __init__(self) -> None:
        self.fake = FakeSwitch("pbx1", QUEUES)
        self.phone = KNOWN
        self.fake.told = False
        reporter = FakeSwitch("pbx1")
        reporter.pbx = self.fake.pbx
        furnish(self.fake.pbx)
        self.switch: Switch = self.fake
        self.reporter: Switch = reporter

    async def meddle(self, action: Action) -> Outcome:
        other = FakeSwitch("other", pbx=self.fake.pbx)
        return (await other.apply([action]))[0]

    async def restart(self) -> None:
        self.fake.restart()

    async def go_away(self) -> None:
        self.fake.cut()

    async def come_back(self) -> None:
        self.fake.mend()


class ServerWorld:
    def __init__(self, server: AmiServer) -> None:
        self.server = server
        self.phone = KNOWN
        furnish(server.pbx)
        self.switch: Switch = AmiSwitch("pbx1", server.host, server.port, server.username, server.secret)
        server.others[REPORTER.name] = frozenset(REPORTER.write.split(","))
        self.reporter: Switch = AmiSwitch("pbx1", server.host, server.port, REPORTER.name, server.secret)

    async def meddle(self, action: Action) -> Outcome:
        other = AmiSwitch("other", self.server.host, self.server.port, self.server.username, self.server.secret)
        outcomes = await other.apply([action])
        await other.close()
        return outcomes[0]

    async def restart(self) -> None:
        await self.server.restart()

    async def go_away(self) -> None:
        await self.server.stop()

    async def come_back(self) -> None:
        await self.server.start()


class AsteriskWorld:
    def __init__(self, asterisk: PrivateAsterisk) -> None:
        self.asterisk = asterisk
        self.phone = asterisk.interface("1001")
        self.switch: Switch = self._login("pbx1", asterisk.user)
        self.reporter: Switch = self._login("pbx1", REPORTER)

    def _login(self, name: str, user: AmiUser) -> AmiSwitch:
        return AmiSwitch(name, self.asterisk.host, self.asterisk.ami_port, user.name, user.secret)

    async def meddle(self, action: Action) -> Outcome:
        other = self._login("other", self.asterisk.user)
        outcomes = await other.apply([action])
        await other.close()
        return outcomes[0]

    async def restart(self) -> None:
        await anyio.to_thread.run_sync(self.asterisk.restart)

    async def go_away(self) -> None:
        await anyio.to_thread.run_sync(self.asterisk.kill)

    async def come_back(self) -> None:
        await anyio.to_thread.run_sync(self.asterisk.start)


@pytest.fixture(scope="module")
def asterisks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], PrivateAsterisk]]:
    """The Asterisk of a version, started when first asked for."""
    static = f"member => {STATIC.interface},{STATIC.penalty},{STATIC.membername}"
    queues: dict[str, list[str]] = {queue: [] for queue in QUEUES}
    queues[QUEUES[0]] = [static, f"wrapuptime = {RULES.wrapup}", f"joinempty = {RULES.join_empty}"]
    running: dict[str, PrivateAsterisk] = {}
    with contextlib.ExitStack() as stack:

        def asterisk(version: str) -> PrivateAsterisk:
            if version not in running:
                running[version] = stack.enter_context(
                    PrivateAsterisk(
                        tmp_path_factory.mktemp("pbx"),
                        queues=queues,
                        phones=["1001"],
                        users=[REPORTER],
                        installation=VERSIONS[version](),
                    )
                )
            return running[version]

        yield asterisk


@pytest.fixture(params=["fake", "server", *(pytest.param(version, marks=pytest.mark.asterisk) for version in VERSIONS)])
async def world(request: pytest.FixtureRequest, asterisks: Callable[[str], PrivateAsterisk]) -> AsyncIterator[World]:
    if request.param == "fake":
        fake = FakeWorld()
        yield fake
        await fake.switch.close()
    elif request.param == "server":
        async with AmiServer(QUEUES) as server:
            world = ServerWorld(server)
            yield world
            await world.switch.close()
            await world.reporter.close()
    else:
        real = AsteriskWorld(asterisks(request.param))
        await clear(real.switch)
        yield real
        await real.switch.close()
        await real.reporter.close()


async def clear(switch: Switch) -> None:
    actions: list[Action] = []
    for queue, members in (await switch.snapshot()).queues.items():
        for member in members:
            if member.membership is Membership.DYNAMIC:
                actions.append(Remove(queue, member.interface))
            else:
                actions += [Pause(queue, member.interface, False), Penalise(queue, member.interface, STATIC.penalty)]
    assert await switch.apply(actions) == [None] * len(actions)


class Seen(NamedTuple):
    """A live member without its device state, which is the phone's. Asterisk lists them in no certain order."""

    interface: str
    membername: str
    penalty: int
    paused: bool
    membership: Membership


def seen(snapshot: Snapshot, queue: str) -> list[Seen]:
    return sorted(
        Seen(member.interface, member.membername, member.penalty, member.paused, member.membership)
        for member in snapshot.queues[queue]
    )


SAM = Seen("SIP/9001", "Static Sam", 2, False, Membership.STATIC)
ANA = Seen("SIP/1001", "José Ñandú", 3, True, Membership.DYNAMIC)


async def test_a_snapshot_shows_every_queue_and_its_static_members(world: World) -> None:
    snapshot = await world.switch.snapshot()
    assert set(snapshot.queues) == set(QUEUES)
    assert snapshot.asked is None
    assert seen(snapshot, "Ventas->") == [SAM]
    assert all(not snapshot.queues[queue] for queue in QUEUES[1:])


async def test_an_added_member_is_there_as_it_was_sent(world: World) -> None:
    assert await world.switch.apply([Add(queue, *ANA[:4]) for queue in QUEUES[1:]]) == [None] * 4
    snapshot = await world.switch.snapshot()
    assert [seen(snapshot, queue) for queue in QUEUES[1:]] == [[ANA]] * 4


async def test_a_state_interface_is_kept_as_it_was_sent_and_none_is_the_interface_itself(world: World) -> None:
    wanted = {
        "Local/1001@from-queue/n": "hint:1001@ext-local",
        "Local/1002@agents/n": "PJSIP/1002",
        "PJSIP/1003": "",
        "PJSIP/1004": "PJSIP/1004",
    }
    outcomes = await world.switch.apply(
        [Add("A+B", interface, "Ana", 0, False, state) for interface, state in wanted.items()]
    )
    assert outcomes == [None] * 4
    members = (await world.switch.snapshot(["A+B"])).queues["A+B"]
    assert {one.interface: one.state_interface for one in members} == wanted | {"PJSIP/1004": ""}


async def test_an_add_of_what_is_there_is_refused_and_changes_nothing(world: World) -> None:
    outcomes = await world.switch.apply(
        [Add("A+B", *ANA[:4]), Add("A+B", "SIP/1001", "Otra", 9, False), Add("A+B", "sip/1001", "Otra", 9, False)]
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), ActionRefused, ActionRefused]
    assert "Already there" in str(outcomes[1])
    assert seen(await world.switch.snapshot(), "A+B") == [ANA]


async def test_a_static_member_can_be_changed_but_neither_removed_nor_added(world: World) -> None:
    outcomes = await world.switch.apply(
        [
            Remove("Ventas->", "SIP/9001"),
            Add("Ventas->", "SIP/9001", "Otra", 0, False),
            Penalise("Ventas->", "SIP/9001", 7),
            Pause("Ventas->", "SIP/9001", True),
        ]
    )
    assert [type(outcome) for outcome in outcomes] == [MemberNotDynamic, ActionRefused, type(None), type(None)]
    assert seen(await world.switch.snapshot(), "Ventas->") == [SAM._replace(penalty=7, paused=True)]


async def test_a_member_tells_whether_it_was_paused_since_it_came(world: World) -> None:
    async def once_paused() -> dict[str, bool]:
        return {one.interface: one.once_paused for one in (await world.switch.snapshot(["A+B"])).queues["A+B"]}

    await world.switch.apply([Add("A+B", "SIP/1", "Ana", 0, False), Add("A+B", "SIP/2", "Eva", 0, True)])
    assert await once_paused() == {"SIP/1": False, "SIP/2": True}
    await world.switch.apply([Pause("A+B", "SIP/1", True), Pause("A+B", "SIP/1", False), Pause("A+B", "SIP/2", False)])
    assert await once_paused() == {"SIP/1": True, "SIP/2": True}
    await world.switch.apply([Remove("A+B", "SIP/1"), Add("A+B", "SIP/1", "Ana", 0, False)])
    assert await once_paused() == {"SIP/1": False, "SIP/2": True}


async def test_the_reason_of_a_pause_is_that_of_the_newest_pause_in_79_bytes(world: World) -> None:
    async def told() -> tuple[bool, str]:
        (there,) = (await world.switch.snapshot(["A+B"])).queues["A+B"]
        return there.paused, there.paused_reason

    await world.switch.apply([Add("A+B", "SIP/1", "Ana", 0, True), Pause("A+B", "SIP/1", True, "Línea 2")])
    assert await told() == (True, "Línea 2")
    for paused, given, kept in (
        (True, "almuerzo", "almuerzo"),
        (True, "", ""),
        (True, "x" * 90, "x" * 79),
        (False, "", ""),
    ):
        assert await world.switch.apply([Pause("A+B", "SIP/1", paused, given)]) == [None]
        assert await told() == (paused, kept)


async def test_names_compare_without_case_and_come_back_as_the_server_spells_them(world: World) -> None:
    outcomes = await world.switch.apply(
        [
            Add("vENTAS->", "SIP/Ana", "Ana", 0, False),
            Penalise("VENTAS->", "sip/ANA", 4),
            Pause("ventas->", "SIP/aNA", True),
        ]
    )
    assert outcomes == [None] * 3
    assert seen(await world.switch.snapshot(), "Ventas->") == [
        SAM,
        Seen("SIP/Ana", "Ana", 4, True, Membership.DYNAMIC),
    ]
    assert await world.switch.apply([Remove("ventas->", "sip/ana")]) == [None]
    assert seen(await world.switch.snapshot(), "Ventas->") == [SAM]


async def test_letters_beyond_ascii_compare_with_case(world: World) -> None:
    outcomes = await world.switch.apply([Add("LÍNEA 100%", "SIP/1", "Ana", 0, False)])
    assert [type(outcome) for outcome in outcomes] == [QueueMissing]
    assert set((await world.switch.snapshot(["LÍNEA 100%"])).queues) == set()
    assert set((await world.switch.snapshot(["LíNEA 100%"])).queues) == {"Línea 100%"}


async def test_an_unknown_queue_is_told_where_asterisk_tells_it(world: World) -> None:
    outcomes = await world.switch.apply(
        [
            Add("Nadie", "SIP/1", "Ana", 0, False),
            Remove("Nadie", "SIP/1"),
            Penalise("Nadie", "SIP/1", 1),
            Pause("Nadie", "SIP/1", True),
        ]
    )
    assert [type(outcome) for outcome in outcomes] == [QueueMissing, QueueMissing, ActionRefused, ActionRefused]
    assert "Nadie" in str(outcomes[0])
    assert "pbx1" in str(outcomes[0])


async def test_an_absent_member_cannot_be_changed_and_its_removal_is_done(world: World) -> None:
    outcomes = await world.switch.apply(
        [Penalise("A+B", "SIP/1", 1), Pause("A+B", "SIP/1", True), Remove("A+B", "SIP/1")]
    )
    assert [type(outcome) for outcome in outcomes] == [ActionRefused, ActionRefused, type(None)]


async def test_a_negative_penalty_is_zero_for_an_add_and_refused_for_a_change(world: World) -> None:
    outcomes = await world.switch.apply([Add("A+B", "SIP/1", "Ana", -3, False), Penalise("A+B", "SIP/1", -3)])
    assert [type(outcome) for outcome in outcomes] == [type(None), ActionRefused]
    assert seen(await world.switch.snapshot(), "A+B") == [Seen("SIP/1", "Ana", 0, False, Membership.DYNAMIC)]


async def test_a_change_is_made_in_its_queue_only(world: World) -> None:
    await world.switch.apply([Add(queue, "SIP/1", "Ana", 0, False) for queue in ("A+B", "POWER<-")])
    assert await world.switch.apply([Pause("A+B", "SIP/1", True), Penalise("POWER<-", "SIP/1", 5)]) == [None, None]
    snapshot = await world.switch.snapshot()
    assert seen(snapshot, "A+B") == [Seen("SIP/1", "Ana", 0, True, Membership.DYNAMIC)]
    assert seen(snapshot, "POWER<-") == [Seen("SIP/1", "Ana", 5, False, Membership.DYNAMIC)]


async def test_actions_are_carried_out_in_order(world: World) -> None:
    outcomes = await world.switch.apply(
        [Add("A+B", "SIP/1", "Ana", 0, False), Remove("A+B", "SIP/1"), Add("A+B", "SIP/1", "Eva", 1, False)]
    )
    assert outcomes == [None] * 3
    assert seen(await world.switch.snapshot(), "A+B") == [Seen("SIP/1", "Eva", 1, False, Membership.DYNAMIC)]


async def test_nothing_to_do_is_done(world: World) -> None:
    assert await world.switch.apply([]) == []


async def test_a_snapshot_of_some_queues_holds_those_that_exist(world: World) -> None:
    snapshot = await world.switch.snapshot(["ventas->", "Nadie", "A+B", "VENTAS->"])
    assert set(snapshot.queues) == {"Ventas->", "A+B"}
    assert snapshot.asked == frozenset({"ventas->", "nadie", "a+b"})
    assert seen(snapshot, "Ventas->") == [SAM]


async def test_a_snapshot_of_very_many_queues_is_the_same(world: World) -> None:
    asked = ["Ventas->", *(f"Nadie {number}" for number in range(1000))]
    snapshot = await world.switch.snapshot(asked)
    assert {queue: seen(snapshot, queue) for queue in snapshot.queues} == {"Ventas->": [SAM]}
    assert snapshot.asked == frozenset(fold(queue) for queue in asked)


async def test_a_snapshot_of_no_queue_is_empty(world: World) -> None:
    assert await world.switch.snapshot([]) == Snapshot({}, frozenset())


async def test_what_cannot_be_sent_is_refused_and_the_rest_is_done(world: World) -> None:
    outcomes = await world.switch.apply(
        [
            Add("A+B", "SIP/1", "Ana", 0, False),
            Add("A+B\r\nPenalty: 5", "SIP/2", "Eva", 0, False),
            Add("A+B", "SIP/3", "Ida", 0, False),
        ]
    )
    assert outcomes[0] is None
    assert isinstance(outcomes[1], SwitchRefused)
    assert outcomes[2] is None
    assert [member.interface for member in seen(await world.switch.snapshot(), "A+B")] == ["SIP/1", "SIP/3"]


async def test_a_long_run_is_carried_out_whole_and_later_changes_are_heard(world: World) -> None:
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    actions = [Add("A+B", f"SIP/{number}", "Ana", number % 7, False) for number in range(700)]
    actions[350] = Add("Nadie", "SIP/1", "Ana", 0, False)
    outcomes = await world.switch.apply(actions)
    assert [place for place, outcome in enumerate(outcomes) if outcome is not None] == [350]
    assert isinstance(outcomes[350], QueueMissing)
    members = seen(await world.switch.snapshot(["A+B"]), "A+B")
    assert {(member.interface, member.penalty) for member in members} == {
        (action.interface, action.penalty) for action in actions if action.queue == "A+B"
    }
    world.switch.listen(lambda queue, _interface: heard.put_nowait(queue))
    await world.meddle(Add("POWER<-", "SIP/1", "Ana", 0, False))
    with anyio.fail_after(30):
        while await heard.get() != "POWER<-":
            pass


async def test_calls_side_by_side_do_not_disturb_each_other(world: World) -> None:
    phones = range(50)
    results = await asyncio.gather(
        *(world.switch.apply([Add("A+B", f"SIP/{phone}", f"Agent {phone}", phone, False)]) for phone in phones),
        *(world.switch.snapshot(["Ventas->"]) for _ in range(5)),
    )
    assert results[:50] == [[None]] * 50
    assert [seen(result, "Ventas->") for result in results[50:] if isinstance(result, Snapshot)] == [[SAM]] * 5
    assert {member.penalty for member in seen(await world.switch.snapshot(), "A+B")} == set(phones)


@pytest.mark.parametrize(
    "action",
    [
        Add("A+B", "SIP/1", "Ana", 0, False),
        Remove("POWER<-", "SIP/1"),
        Pause("POWER<-", "SIP/1", True),
        Penalise("POWER<-", "SIP/1", 3),
    ],
)
async def test_a_change_made_elsewhere_is_heard_by_the_name_of_its_queue(world: World, action: Action) -> None:
    await world.switch.apply([Add("POWER<-", "SIP/1", "Ana", 0, False)])
    await world.switch.snapshot()
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    world.switch.listen(lambda queue, _interface: heard.put_nowait(queue))
    assert await world.meddle(action) is None
    with anyio.fail_after(30):
        while await heard.get() != action.queue:
            pass


async def test_a_new_connection_is_heard_as_anything(world: World) -> None:
    await world.switch.close()
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    world.switch.listen(lambda queue, _interface: heard.put_nowait(queue))
    await world.switch.snapshot()
    with anyio.fail_after(30):
        assert await heard.get() is None


async def test_a_restart_is_heard_and_loses_the_dynamic_members(world: World) -> None:
    await world.switch.apply([Add("A+B", "SIP/1", "Ana", 0, False), Pause("Ventas->", "SIP/9001", True)])
    await world.switch.snapshot()
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    world.switch.listen(lambda queue, _interface: heard.put_nowait(queue))
    await world.restart()
    with anyio.fail_after(30):
        while await heard.get() is not None:
            pass
    snapshot = await world.switch.snapshot()
    assert seen(snapshot, "A+B") == []
    assert seen(snapshot, "Ventas->") == [SAM]


async def test_a_server_that_is_away_is_unreachable_until_it_is_back(world: World) -> None:
    await world.switch.snapshot()
    await world.go_away()
    with pytest.raises(SwitchUnreachable):
        await world.switch.snapshot()
    with pytest.raises(SwitchUnreachable):
        await world.switch.apply([Remove("A+B", "SIP/1")])
    await world.come_back()
    assert seen(await world.switch.snapshot(), "Ventas->") == [SAM]


async def test_nothing_is_changed_over_a_new_connection_before_a_look(world: World) -> None:
    await world.switch.snapshot()
    await world.restart()
    with pytest.raises(SwitchUnreachable):
        await world.switch.apply([Add("A+B", "SIP/1", "Ana", 0, False)])
    assert seen(await world.switch.snapshot(), "A+B") == []
    assert await world.switch.apply([Add("A+B", "SIP/1", "Ana", 0, False)]) == [None]


async def test_after_close_a_call_connects_again(world: World) -> None:
    await world.switch.close()
    await world.switch.close()
    assert seen(await world.switch.snapshot(), "Ventas->") == [SAM]


async def test_applying_a_plan_leaves_nothing_to_plan(world: World) -> None:
    await world.switch.apply([Add("A+B", "SIP/1", "Ana", 0, False), Add("POWER<-", "SIP/7", "Ida", 0, False)])
    desired = [
        Member("a+b", "Ana", "sip/1", 5, True),
        Member("A+B", "Eva", "SIP/2", 0, True),
        Member("ventas->", "Static Sam", "SIP/9001", 9),
        Member("Línea 100%", "José Ñandú", "PJSIP/3", 1),
    ]
    first = plan(desired, await world.switch.snapshot(), [])
    assert await world.switch.apply(first.actions) == [None] * len(first.actions)
    assert plan(desired, await world.switch.snapshot(), first.claims).agreed
    last = plan([], await world.switch.snapshot(), first.claims)
    assert await world.switch.apply(last.actions) == [None] * len(last.actions)
    snapshot = await world.switch.snapshot()
    assert [member.membername for queue in QUEUES for member in seen(snapshot, queue)] == ["Static Sam", "Ida", "Ana"]


async def test_a_glance_shows_only_the_members_asked_for_spelled_just_so(world: World) -> None:
    await world.switch.apply([Add("A+B", f"SIP/{number}", f"n{number}", number, False) for number in range(1, 4)])
    await world.switch.apply([Add("POWER<-", "SIP/2", "other", 0, True)])
    seen = await world.switch.snapshot(["a+b", "POWER<-", "Nadie"], ["SIP/2", "SIP/7", "sip/3"])
    assert seen.asked == frozenset({"a+b", "power<-", "nadie"})
    assert {queue: [one.membername for one in members] for queue, members in seen.queues.items()} == {
        "A+B": ["n2"],
        "POWER<-": ["other"],
    }


# --- closer looks ----------------------------------------------------------------------------------------------------


async def test_the_state_of_a_phone_is_told_whether_or_not_it_is_in_a_queue(world: World) -> None:
    assert await world.reporter.devices([world.phone, "SIP/9001", world.phone]) == {
        world.phone: DeviceState.NOT_INUSE,
        "SIP/9001": DeviceState.INVALID,
    }
    assert await world.reporter.devices([]) == {}


async def test_a_user_who_may_not_ask_is_told_of_no_phone(world: World) -> None:
    assert await world.switch.devices(["SIP/1001", "SIP/9001"]) == {"SIP/1001": None, "SIP/9001": None}


async def test_a_close_look_shows_the_members_their_phones_and_the_rules(world: World) -> None:
    await world.switch.apply([Add("Ventas->", world.phone, *ANA[1:4])])
    seen = await world.reporter.examine("vENTAS->", world.phone.lower())
    assert seen is not None
    assert (seen.queue, seen.strategy, seen.callers, seen.rules) == ("Ventas->", "ringall", 0, RULES)
    assert seen.ring_in_use is False
    ana, sam = seen.seat(world.phone), seen.seat("SIP/9001")
    assert ana is not None
    assert (ana.member.membername, ana.member.paused, ana.state, ana.wrapup) == ("José Ñandú", True, 1, 0)
    assert sam is not None
    assert (sam.member.membership, sam.state) == (Membership.STATIC, DeviceState.INVALID)
    assert seen.turns_away(), "one is paused, the other is no phone"
    assert abs(seen.now - datetime.now(UTC)) < timedelta(minutes=1)


async def test_a_close_look_without_the_right_lacks_only_what_takes_it(world: World) -> None:
    seen = await world.switch.examine("Ventas->", STATIC.interface)
    assert seen is not None
    assert [(seat.member.membername, seat.state) for seat in seen.seats] == [("Static Sam", DeviceState.INVALID)]
    assert (seen.ring_in_use, seen.rules) == (None, None)


async def test_a_close_look_at_a_phone_that_is_not_there_and_at_a_queue_that_is_not_there(world: World) -> None:
    there = await world.reporter.examine("A+B", "SIP/1001")
    assert there is not None
    assert (there.seats, there.seat("SIP/1001"), there.ring_in_use) == ((), None, None)
    assert await world.reporter.examine("Nadie", "SIP/1001") is None


async def test_a_server_that_is_away_tells_nothing(world: World) -> None:
    await world.go_away()
    with pytest.raises(SwitchUnreachable):
        await world.switch.devices(["SIP/1001"])
    with pytest.raises(SwitchUnreachable):
        await world.switch.examine("A+B", "SIP/1001")
    await world.come_back()
    assert await world.switch.examine("A+B", "SIP/1001") is not None
