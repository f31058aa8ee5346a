"""`settle` and `decide_add` against the plainest possible model of a roster."""

from hypothesis import given
from hypothesis import strategies as st

from plantel.batch import Change, Kind, decide_add, settle
from plantel.roster import Member, fold

CAMPAIGNS = ["Ventas->", "Cobros"]
AGENTS = ["Ana", "ana", "Bea", "Ñ", "ñ"]
PHONES = ["SIP/1", "sip/1", "SIP/2", "PJSIP/1", "SIP/a", "SIP/A"]

members = st.builds(
    Member,
    st.sampled_from(CAMPAIGNS),
    st.sampled_from(AGENTS),
    st.sampled_from(PHONES),
    st.integers(0, 2),
    st.booleans(),
)
batches = st.lists(members, max_size=8)

Roster = dict[tuple[str, str], Member]
"""By campaign and agent."""


def put(roster: Roster, items: list[Member]) -> Roster:
    """What adding distinct items means: whoever is in their way, by agent or by phone, goes; then they are there."""
    agents = {(item.campaign, item.membername) for item in items}
    phones = {(item.campaign, fold(item.interface)) for item in items}
    kept = {
        key: member
        for key, member in roster.items()
        if key not in agents and (member.campaign, fold(member.interface)) not in phones
    }
    return kept | {(item.campaign, item.membername): item for item in items}


def apply(roster: Roster, changes: list[Change]) -> Roster:
    """Carry out changes as a store does; fails where they do not fit."""
    after = dict(roster)
    for change in changes:
        if change.before is not None:
            assert after.pop((change.before.campaign, change.before.membername)) == change.before
    for change in changes:
        if change.after is not None:
            assert (change.after.campaign, change.after.membername) not in after
            after[change.after.campaign, change.after.membername] = change.after
    phones = [(member.campaign, fold(member.interface)) for member in after.values()]
    assert len(set(phones)) == len(phones)
    return after


def a_roster(items: list[Member]) -> Roster:
    roster: Roster = {}
    for item in items:
        roster = put(roster, [item])
    return roster


@given(batches, batches)
def test_the_changes_bring_every_item_about_and_touch_nobody_else(there: list[Member], wanted: list[Member]) -> None:
    roster = a_roster(there)
    distinct, clashes = settle(wanted)
    if clashes:
        return
    changes = decide_add(distinct, roster.values())
    assert apply(roster, changes) == put(roster, distinct)
    assert decide_add(distinct, put(roster, distinct).values()) == []


@given(batches, batches)
def test_only_members_that_share_agent_or_phone_matter(there: list[Member], wanted: list[Member]) -> None:
    roster = a_roster(there)
    distinct, clashes = settle(wanted)
    if clashes:
        return
    like = [
        member
        for member in roster.values()
        if any(
            member.campaign == item.campaign
            and (member.membername == item.membername or fold(member.interface) == fold(item.interface))
            for item in distinct
        )
    ]
    assert decide_add(distinct, like) == decide_add(distinct, roster.values())


@given(batches, batches)
def test_the_kind_says_what_happened(there: list[Member], wanted: list[Member]) -> None:
    distinct, clashes = settle(wanted)
    if clashes:
        return
    for change in decide_add(distinct, a_roster(there).values()):
        before, after = change.before, change.after
        match change.kind:
            case Kind.ADDED:
                assert before is None
                assert after in distinct
            case Kind.REPLACED:
                assert after is None
                assert before is not None
                assert fold(before.interface) in {fold(item.interface) for item in distinct}
            case Kind.MOVED:
                assert before is not None
                assert after in distinct
                assert before.interface != after.interface
            case Kind.UPDATED:
                assert before is not None
                assert after in distinct
                assert before.interface == after.interface
                assert before != after
            case Kind.REMOVED:
                raise AssertionError("adding removes nobody")


@given(batches)
def test_settled_items_are_distinct_or_named(items: list[Member]) -> None:
    distinct, clashes = settle(items)
    assert len({(item.campaign, item.membername) for item in distinct}) == len(distinct)
    assert len({(item.campaign, fold(item.interface)) for item in distinct}) == len(distinct)
    for number, item in enumerate(items, 1):
        assert (
            item in distinct
            or any(clash.item == number for clash in clashes)
            or any(_same(item, other) for other in distinct)
        )
    for clash in clashes:
        assert clash.item is not None
        this, other = items[clash.item - 1], items[clash.params["other"] - 1]
        assert clash.params["other"] < clash.item
        assert not _same(this, other)
        assert this.campaign == other.campaign
        assert this.membername == other.membername or fold(this.interface) == fold(other.interface)


@given(batches)
def test_a_batch_twice_over_is_the_batch(items: list[Member]) -> None:
    distinct, clashes = settle(items)
    again, clashes_again = settle([*items, *items])
    assert again == distinct
    assert bool(clashes_again) == bool(clashes)


def _same(one: Member, other: Member) -> bool:
    return (one.campaign, one.membername, fold(one.interface), one.penalty, one.paused) == (
        other.campaign,
        other.membername,
        fold(other.interface),
        other.penalty,
        other.paused,
    )
