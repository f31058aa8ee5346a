"""The plan: applied once it is done, and nobody else's members are touched."""

from collections.abc import Iterable

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from plantel.errors import MemberNotOurs, PhoneNotUsable, PhoneShared, QueueMissing
from plantel.phones import AS_SENT, PhoneRules
from plantel.plan import (
    Add,
    Claim,
    Drift,
    DriftKind,
    LiveMember,
    Membership,
    Pause,
    Penalise,
    Plan,
    Remove,
    Snapshot,
    plan,
)
from plantel.roster import Member, as_reason, fold

Agent = tuple[str, str]
"""Folded campaign and membername."""

QUEUE = "Ventas->"
ANA = Member(QUEUE, "ana", "SIP/1001")
OURS = Claim(QUEUE, "SIP/1001", added=True, paused=False, penalty=0, membername="ana")
LIVE = LiveMember("SIP/1001", "ana")


RULES = PhoneRules({"SIP/": "PJSIP/"}, {"Local/{phone}@agents/n": "PJSIP/{phone}"})


def one(
    desired: Iterable[Member] = (),
    live: Iterable[LiveMember] = (),
    claims: Iterable[Claim] = (),
    phones: PhoneRules = AS_SENT,
) -> Plan:
    return plan(desired, Snapshot({QUEUE: tuple(live)}), claims, phones=phones)


def test_an_absent_member_is_added_and_claimed() -> None:
    found = one([ANA])
    assert found.actions == (Add(QUEUE, "SIP/1001", "ana", 0, paused=False),)
    assert found.claims == (OURS,)


def test_ours_is_removed_and_a_stranger_is_not() -> None:
    assert one([], [LIVE], [OURS]).actions == (Remove(QUEUE, "SIP/1001"),)
    assert one([], [LIVE]) == Plan(strangers={"ventas->": {"sip/1001"}})


def test_a_member_that_somebody_else_put_there_gets_our_penalty_and_pause_and_is_not_ours_for_it() -> None:
    wanted = msgspec.structs.replace(ANA, penalty=3, paused=True)
    found = one([wanted], [LIVE])
    assert found.actions == (Penalise(QUEUE, "SIP/1001", 3), Pause(QUEUE, "SIP/1001", paused=True))
    assert found.claims == (Claim(QUEUE, "SIP/1001", added=False, paused=True, penalty=3, membername="ana"),)
    assert one([], [LIVE], found.claims).actions == ()


def test_another_name_on_our_phone_is_taken_off_first() -> None:
    found = one([msgspec.structs.replace(ANA, membername="eva")], [LIVE], [OURS])
    assert found.actions == (Remove(QUEUE, "SIP/1001"), Add(QUEUE, "SIP/1001", "eva", 0, paused=False))


def test_another_name_on_a_strangers_phone_is_in_the_way() -> None:
    found = one([msgspec.structs.replace(ANA, membername="eva")], [LIVE])
    assert [blocked.error for blocked in found.blocked] == [MemberNotOurs]
    assert not any(isinstance(action, Remove | Add) for action in found.actions)


def test_a_move_adds_the_new_phone_before_it_removes_the_old_one() -> None:
    found = one([msgspec.structs.replace(ANA, interface="SIP/2")], [LIVE], [OURS])
    assert [type(action) for action in found.actions] == [Add, Remove]


def test_a_pause_made_on_the_server_is_observed_and_one_made_here_is_asserted() -> None:
    paused_there = msgspec.structs.replace(LIVE, paused=True)
    found = one([ANA], [paused_there], [OURS])
    assert found.actions == ()
    assert [seen.member for seen in found.observed] == [msgspec.structs.replace(ANA, paused=True)]
    assert found.observed[0].claim == Claim(QUEUE, "SIP/1001", added=True, paused=True, penalty=0, membername="ana")
    wanted = msgspec.structs.replace(ANA, paused=True)
    assert one([wanted], [LIVE], [OURS]).actions == (Pause(QUEUE, "SIP/1001", paused=True),)


def test_a_missing_queue_is_a_fault_only_where_this_server_is_obliged_to_have_it() -> None:
    elsewhere = Member("Cobros", "ana", "SIP/1001")
    found = plan([elsewhere], Snapshot({}), [])
    assert [blocked.error for blocked in found.blocked] == [QueueMissing]
    assert plan([elsewhere], Snapshot({}), [], obliged=lambda _queue: False) == Plan()
    assert plan([elsewhere], Snapshot({}, frozenset({"ventas->"})), []) == Plan()


def test_spelling_differs_in_case_only_and_asterisks_is_used() -> None:
    found = plan(
        [msgspec.structs.replace(ANA, penalty=1)],
        Snapshot({"VENTAS->": (msgspec.structs.replace(LIVE, interface="sip/1001"),)}),
        [OURS],
    )
    assert found.actions == (Penalise("VENTAS->", "sip/1001", 1),)


def test_what_the_server_changed_is_told_from_what_the_roster_changed() -> None:
    gone = one([ANA], [], [OURS])
    assert gone.drifts == (Drift(DriftKind.REMOVED, ANA, "SIP/1001", None),)
    assert gone.actions == one([ANA]).actions

    penalised = msgspec.structs.replace(LIVE, penalty=7)
    found = one([ANA], [penalised], [OURS])
    assert found.drifts == (Drift(DriftKind.PENALTY, ANA, "SIP/1001", penalised),)
    assert found.actions == (Penalise(QUEUE, "SIP/1001", 0),)
    wanted = msgspec.structs.replace(ANA, penalty=7)
    assert one([wanted], [LIVE], [OURS]).drifts == ()
    assert one([wanted], [LIVE], [OURS]).actions == (Penalise(QUEUE, "SIP/1001", 7),)

    paused = msgspec.structs.replace(LIVE, paused=True)
    assert one([ANA], [paused], [OURS]).drifts == (Drift(DriftKind.PAUSED, ANA, "SIP/1001", paused),)
    row = msgspec.structs.replace(LIVE, membership=Membership.STATIC)
    assert one([ANA], [LIVE, row], [OURS]).drifts == (Drift(DriftKind.DUPLICATED, ANA, "SIP/1001", row),)


def test_an_attempt_that_was_never_confirmed_is_no_drift() -> None:
    intent = Claim(QUEUE, "SIP/1001", added=True)
    assert one([ANA], [], [intent]).drifts == ()
    assert one([ANA], [msgspec.structs.replace(LIVE, penalty=3)], [intent]).drifts == ()


def test_a_pause_declared_for_a_member_that_is_gone_does_not_make_its_addition_unconfirmed() -> None:
    forgotten = msgspec.structs.replace(OURS, paused=None)
    found = plan([ANA], Snapshot({QUEUE: ()}), [forgotten], repair=False)
    assert (found.actions, [drift.kind for drift in found.drifts]) == ((), [DriftKind.REMOVED])
    never = msgspec.structs.replace(forgotten, penalty=None)
    (add,) = plan([ANA], Snapshot({QUEUE: ()}), [never], repair=False).actions
    assert isinstance(add, Add)


def test_what_was_asserted_of_another_agent_says_nothing_of_the_one_who_has_the_phone_now() -> None:
    eva = msgspec.structs.replace(ANA, membername="eva")
    found = plan([eva], Snapshot({QUEUE: ()}), [OURS], repair=False)
    assert (found.drifts, found.actions) == ((), (Add(QUEUE, "SIP/1001", "eva", 0, paused=False),))
    assert found.ours == {OURS.key}
    there = LiveMember("SIP/1001", "eva", penalty=3, paused=True)
    found = plan([eva], Snapshot({QUEUE: (there,)}), [OURS], repair=False)
    assert (found.drifts, found.observed) == ((), ())
    assert found.actions == (Penalise(QUEUE, "SIP/1001", 0), Pause(QUEUE, "SIP/1001", paused=False))


def test_without_repair_drifts_are_told_and_the_rosters_changes_are_made() -> None:
    def observing(desired: Member, live: list[LiveMember]) -> Plan:
        return plan([desired], Snapshot({QUEUE: tuple(live)}), [OURS], repair=False)

    for live in ([], [msgspec.structs.replace(LIVE, penalty=7)]):
        found = observing(ANA, live)
        assert len(found.drifts) == 1
        assert (found.actions, found.claims, found.settled, found.released) == ((), (), (), ())
        assert not found.agreed
    wanted = msgspec.structs.replace(ANA, penalty=1, paused=True)
    assert observing(wanted, [LIVE]).actions == (
        Penalise(QUEUE, "SIP/1001", 1),
        Pause(QUEUE, "SIP/1001", paused=True),
    )


# --- a server that calls the phones otherwise ---


def test_a_mapped_phone_is_added_and_claimed_as_the_server_calls_it_and_tells_what_was_sent() -> None:
    found = one([ANA], phones=RULES)
    assert found.actions == (Add(QUEUE, "PJSIP/1001", "ana", 0, paused=False, sent="SIP/1001"),)
    assert found.claims == (Claim(QUEUE, "PJSIP/1001", added=True, paused=False, penalty=0, membername="ana"),)
    there = LiveMember("PJSIP/1001", "ana", paused=True)
    (observed,) = one([ANA], [there], found.claims, RULES).observed
    assert observed.member == msgspec.structs.replace(ANA, paused=True)
    assert observed.claim.interface == "PJSIP/1001"


def test_every_change_of_a_mapped_phone_tells_what_was_sent() -> None:
    line = Claim(QUEUE, "PJSIP/1001", added=True, paused=False, penalty=0, membername="ana")
    wanted = msgspec.structs.replace(ANA, penalty=3, paused=True)
    assert one([wanted], [LiveMember("PJSIP/1001", "ana")], [line], RULES).actions == (
        Penalise(QUEUE, "PJSIP/1001", 3, sent="SIP/1001"),
        Pause(QUEUE, "PJSIP/1001", paused=True, sent="SIP/1001"),
    )
    other = [LiveMember("PJSIP/1001", "eva")]
    assert one([ANA], other, [line], RULES).actions == (
        Remove(QUEUE, "PJSIP/1001", sent="SIP/1001"),
        Add(QUEUE, "PJSIP/1001", "ana", 0, paused=False, sent="SIP/1001"),
    )
    (blocked,) = one([ANA], other, phones=RULES).blocked
    assert blocked.reason("pbx1").say("en").startswith("pbx1: SIP/1001 -> PJSIP/1001 stands in Ventas-> under")
    assert one([], [LiveMember("PJSIP/1001", "ana")], [line], RULES).actions == (Remove(QUEUE, "PJSIP/1001"),), (
        "the roster does not name it any more"
    )


def test_a_new_rule_takes_the_phone_of_the_old_name_off_once_the_new_one_is_there() -> None:
    assert one([ANA], [LIVE], [OURS], RULES).actions == (
        Add(QUEUE, "PJSIP/1001", "ana", 0, paused=False, sent="SIP/1001"),
        Remove(QUEUE, "SIP/1001"),
    )


def test_of_two_on_one_phone_the_one_who_was_sent_with_it_has_it() -> None:
    eva, luz = Member(QUEUE, "eva", "PJSIP/1001"), Member(QUEUE, "luz", "IAX2/1001")
    for order in ([ANA, eva], [eva, ANA]):
        found = one(order, phones=RULES)
        assert [action.membername for action in found.actions if isinstance(action, Add)] == ["eva"]
        (blocked,) = found.blocked
        assert (blocked.error, blocked.member) == (PhoneShared, ANA)
        assert "SIP/1001 -> PJSIP/1001 in Ventas->" in blocked.reason("pbx1").say("en")
        there = LiveMember("PJSIP/1001", "eva")
        assert one(order, [there], found.claims, RULES).actions == (), "no flapping"
    both = PhoneRules({"SIP/": "PJSIP/", "IAX2/": "PJSIP/"})
    for order in ([ANA, luz], [luz, ANA]):
        assert [blocked.member for blocked in one(order, phones=both).blocked] == [luz]
    assert one([eva, msgspec.structs.replace(ANA, interface="SIP/1002")], phones=RULES).blocked == ()


def test_what_a_rule_makes_too_long_is_in_the_way_only_where_the_queue_is() -> None:
    long = Member(QUEUE, "eva", "SIP/" + "1" * 75)
    found = one([long, ANA], phones=RULES)
    assert [(blocked.error, blocked.interface) for blocked in found.blocked] == [(PhoneNotUsable, long.interface)]
    assert [action.interface for action in found.actions] == ["PJSIP/1001"]
    elsewhere = plan([long], Snapshot({}), [], obliged=lambda _queue: False, phones=RULES)
    assert elsewhere == Plan()
    missing = plan([long], Snapshot({}), [], phones=RULES)
    assert [blocked.error for blocked in missing.blocked] == [QueueMissing]


def test_a_state_interface_is_given_kept_and_mended_where_the_member_is_ours() -> None:
    luz = Member(QUEUE, "luz", "Local/7@agents/n", 2)
    add = Add(QUEUE, luz.interface, "luz", 2, paused=False, state_interface="PJSIP/7")
    found = one([luz], phones=RULES)
    assert found.actions == (add,)
    there = LiveMember(luz.interface, "luz", 2, state_interface="pjsip/7")
    assert one([luz], [there], found.claims, RULES) == Plan()
    other = msgspec.structs.replace(there, state_interface="")
    assert one([luz], [other], found.claims, RULES).actions == (Remove(QUEUE, luz.interface), add)
    assert one([luz], [other], (), RULES).actions == ()
    assert one([luz], [there], found.claims).actions == (), "no rule, no opinion"


# --- the same for any roster, any server, any ledger and any rules -----

names = st.sampled_from(["ana", "eva", "José Ñandú", "x"])
phones = st.sampled_from(["SIP/1", "sip/1", "SIP/2", "PJSIP/1", "PJSIP/3", "Local/4@agents/n"])
rules = st.sampled_from([AS_SENT, RULES])
queues = st.sampled_from(["Ventas->", "VENTAS->", "POWER<-", "Ñ"])
members = st.builds(Member, queues, names, phones, st.integers(0, 3), st.booleans())
rosters = st.lists(members, max_size=8).map(
    lambda found: list(
        {
            (fold(m.campaign), m.membername): m
            for m in {(fold(m.campaign), fold(m.interface)): m for m in found}.values()
        }.values()
    )
)
live_members = st.builds(
    LiveMember,
    phones,
    names,
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from(list(Membership)),
    state_interface=st.sampled_from(["", "PJSIP/4", "SIP/4"]),
    paused_reason=st.sampled_from(["", "lunch", "a|b"]),
)
given_reasons = st.dictionaries(st.tuples(queues.map(fold), names), st.sampled_from(["lunch", "meeting"]), max_size=4)
snapshots = st.dictionaries(
    st.sampled_from(["Ventas->", "POWER<-", "Ñ", "ñ"]),
    st.lists(live_members, max_size=5, unique_by=lambda live: fold(live.interface)).map(tuple),
    max_size=4,
).map(Snapshot)
ledgers = st.lists(
    st.builds(
        Claim,
        queues,
        phones,
        st.booleans(),
        st.none() | st.booleans(),
        st.none() | st.integers(0, 3),
        st.sampled_from(["", "lunch"]),
    ),
    max_size=8,
    unique_by=lambda claim: claim.key,
)


def carried_out(
    desired: list[Member], snapshot: Snapshot, claims: list[Claim], found: Plan
) -> tuple[list[Member], Snapshot, list[Claim]]:
    """What Asterisk, the ledger and the roster are after `found`, if everything succeeds."""
    queues = {queue: {fold(one.interface): one for one in live} for queue, live in snapshot.queues.items()}
    for action in found.actions:
        phone = fold(action.interface)
        match action:
            case Add():
                assert phone not in queues[action.queue], "Already there"
                queues[action.queue][phone] = LiveMember(
                    action.interface,
                    action.membername,
                    action.penalty,
                    action.paused,
                    state_interface=action.state_interface,
                )
            case Remove():
                assert queues[action.queue].pop(phone).membership is Membership.DYNAMIC, "Member not dynamic"
            case Penalise():
                there = queues[action.queue][phone]
                queues[action.queue][phone] = msgspec.structs.replace(there, penalty=action.penalty)
            case Pause():
                there = queues[action.queue][phone]
                queues[action.queue][phone] = msgspec.structs.replace(
                    there, paused=action.paused, paused_reason=action.reason
                )
    ledger = {claim.key: claim for claim in claims}
    for action in found.actions:
        if isinstance(action, Remove):
            ledger.pop((fold(action.queue), fold(action.interface)), None)
    for claim in found.released:
        ledger.pop(claim.key, None)
    for claim in (*found.claims, *found.settled, *(seen.claim for seen in found.observed)):
        ledger[claim.key] = claim
    seen = {(fold(one.member.campaign), one.member.membername): one.member for one in found.observed}
    roster = [seen.get((fold(member.campaign), member.membername), member) for member in desired]
    return roster, Snapshot({queue: tuple(live.values()) for queue, live in queues.items()}), list(ledger.values())


@given(rosters, snapshots, ledgers, rules, given_reasons)
def test_a_plan_carried_out_leaves_nothing_to_do(
    desired: list[Member], snapshot: Snapshot, claims: list[Claim], phones: PhoneRules, reasons: dict[Agent, str]
) -> None:
    found = plan(desired, snapshot, claims, phones=phones, reasons=reasons)
    now = reasons | {(fold(one.member.campaign), one.member.membername): one.reason for one in found.observed}
    again = plan(*carried_out(desired, snapshot, claims, found), phones=phones, reasons=now)
    assert again.actions == ()
    assert again.observed == ()
    assert again.released == ()


@given(rosters, snapshots, ledgers, rules)
def test_what_plantel_did_not_add_is_never_removed(
    desired: list[Member], snapshot: Snapshot, claims: list[Claim], phones: PhoneRules
) -> None:
    ours = {claim.key for claim in claims if claim.added}
    for action in plan(desired, snapshot, claims, phones=phones).actions:
        if isinstance(action, Remove):
            assert (fold(action.queue), fold(action.interface)) in ours


@given(rosters, snapshots, ledgers, rules)
def test_strangers_that_the_roster_does_not_name_stay_as_they_are(
    desired: list[Member], snapshot: Snapshot, claims: list[Claim], phones: PhoneRules
) -> None:
    known = {claim.key for claim in claims if claim.added} | {
        (fold(m.campaign), fold(phones.called(m.interface))) for m in desired
    }
    _, after, _ = carried_out(desired, snapshot, claims, plan(desired, snapshot, claims, phones=phones))
    for queue, live in snapshot.queues.items():
        for one_there in live:
            if (fold(queue), fold(one_there.interface)) not in known:
                assert one_there in after.queues[queue]


@given(rosters, snapshots, ledgers, rules, given_reasons)
def test_afterwards_the_server_shows_the_roster(
    desired: list[Member], snapshot: Snapshot, claims: list[Claim], phones: PhoneRules, reasons: dict[Agent, str]
) -> None:
    found = plan(desired, snapshot, claims, phones=phones, reasons=reasons)
    in_the_way = {(fold(one.member.campaign), one.member.membername) for one in found.blocked}
    roster, after, _ = carried_out(desired, snapshot, claims, found)
    now = reasons | {(fold(one.member.campaign), one.member.membername): one.reason for one in found.observed}
    live = {(fold(queue), fold(one.interface)): one for queue, there in after.queues.items() for one in there}
    for member in roster:
        agent = (fold(member.campaign), member.membername)
        if agent not in in_the_way:
            there = live[fold(member.campaign), fold(phones.called(member.interface))]
            assert (there.membername, there.penalty, there.paused) == (
                member.membername,
                member.penalty,
                member.paused,
            )
            if member.paused:
                assert as_reason(there.paused_reason) == now.get(agent, "")


PAUSED = msgspec.structs.replace(ANA, paused=True)
ASSERTED = msgspec.structs.replace(OURS, paused=True, reason="lunch")
LUNCH = {("ventas->", "ana"): "lunch"}


def with_reason(live: LiveMember | None, claims: Iterable[Claim], reasons: dict[Agent, str]) -> Plan:
    return plan([PAUSED], Snapshot({QUEUE: () if live is None else (live,)}), claims, reasons=reasons)


def paused(reason: str) -> LiveMember:
    return msgspec.structs.replace(LIVE, paused=True, paused_reason=reason)


def test_who_is_added_paused_gets_the_reason_after_it() -> None:
    found = with_reason(None, [ASSERTED], LUNCH)
    assert found.actions == (
        Add(QUEUE, "SIP/1001", "ana", 0, paused=True),
        Pause(QUEUE, "SIP/1001", paused=True, reason="lunch"),
    )
    assert found.claims == (ASSERTED,)


def test_a_reason_declared_later_goes_to_the_server_and_one_given_there_later_to_the_roster() -> None:
    unasserted = (msgspec.structs.replace(ASSERTED, paused=None), msgspec.structs.replace(ASSERTED, reason="before"))
    for there in ("", "meeting", "before"):
        for line in unasserted:
            found = with_reason(paused(there), [line], LUNCH)
            assert found.actions == (Pause(QUEUE, "SIP/1001", paused=True, reason="lunch"),)
        found = with_reason(paused(there), [ASSERTED], LUNCH)
        assert [(seen.member, seen.reason) for seen in found.observed] == [(PAUSED, there)]
        assert (found.actions, found.drifts) == ((), ())


def test_a_reason_that_would_harm_asterisks_own_list_is_taken_over_without_what_harms() -> None:
    there = paused("lunch, at two|three; \udcff")
    (seen,) = with_reason(there, [ASSERTED], LUNCH).observed
    assert seen.reason == "lunch  at two three"
    assert with_reason(there, [seen.claim], {("ventas->", "ana"): seen.reason}) == Plan()


def test_at_the_first_meeting_the_roster_has_its_way_with_the_reason_as_with_the_pause() -> None:
    assert with_reason(paused("meeting"), [], {}).actions == (Pause(QUEUE, "SIP/1001", paused=True),)
    assert with_reason(paused("meeting"), [], LUNCH).actions == (Pause(QUEUE, "SIP/1001", paused=True, reason="lunch"),)
