"""Why a phone does not ring, purely: from facts to findings."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Formatter

import msgspec
import pytest

from plantel.batch import Change, Kind
from plantel.device import DeviceState
from plantel.errors import PlantelError, PrivilegeMissing, SwitchUnreachable
from plantel.plan import LiveMember, Membership
from plantel.ports import Entry
from plantel.roster import Member
from plantel.why.closeup import Closeup, QueueRules, Seat
from plantel.why.facts import Facts, Sight, Trace
from plantel.why.findings import Cause, Effect, Finding
from plantel.why.report import Report, Verdict
from plantel.why.weighing import weigh

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANA = Member("Ventas->", "ana", "SIP/1001", 1)
RULES = QueueRules()
DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "why.md", DOCS / "porque.md"]


def line(kind: Kind, before: Member | None, after: Member | None, revision: int = 1, by: str = "crm") -> Entry:
    return Entry(revision, f"b{revision}", by, NOW + timedelta(minutes=revision), Change(kind, before, after))


ADDED = line(Kind.ADDED, None, ANA)
TRACE = Trace("ana", "Ventas->", "SIP/1001", ANA, (ADDED,))


def seat(
    name: str = "ana",
    phone: str = "SIP/1001",
    penalty: int = 1,
    *,
    paused: bool = False,
    state: DeviceState = DeviceState.NOT_INUSE,
    membership: Membership = Membership.DYNAMIC,
    last_call: datetime | None = None,
    wrapup: int = 0,
) -> Seat:
    reason = "Almuerzo" if paused else ""
    member = LiveMember(phone, name, penalty, paused, membership, state, paused_reason=reason)
    return Seat(member, NOW, NOW, last_call, wrapup)


def sight(
    *seats: Seat,
    strategy: str = "ringall",
    callers: int = 1,
    ring_in_use: bool | None = False,
    rules: QueueRules | None = RULES,
    device: DeviceState | None = None,
    lag: PlantelError | None = None,
) -> Sight:
    """A server that shows these members."""
    return Sight("pbx1", None, Closeup("Ventas->", strategy, callers, seats, NOW, ring_in_use, rules), device, lag=lag)


def report(*sights: Sight, trace: Trace = TRACE, servers: int | None = None) -> Report:
    return weigh(Facts(trace, sights, len(sights) if servers is None else servers))


def codes(found: Report) -> list[str]:
    return [finding.cause.code for finding in found.findings]


# --- the roster ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        (Trace("eva", None), ["unknown_agent"]),
        (Trace("eva", "Ventas->"), ["never_added"]),
        (Trace("eva", "Ventas->", similar=("Eva",)), ["never_added", "similar_names"]),
        (
            msgspec.structs.replace(TRACE, member=None, history=(ADDED, line(Kind.REMOVED, ANA, None, 2))),
            ["removed"],
        ),
        (
            msgspec.structs.replace(
                TRACE, member=None, history=(ADDED, line(Kind.REPLACED, ANA, None, 2)), holder="eva"
            ),
            ["replaced", "phone_taken"],
        ),
        (
            Trace(
                "SIP/1001",
                "Ventas->",
                "SIP/1001",
                history=(ADDED, line(Kind.MOVED, ANA, Member("Ventas->", "ana", "SIP/1002"), 2)),
            ),
            ["moved"],
        ),
    ],
)
def test_who_is_not_in_the_roster_does_not_ring_and_the_journal_says_why(trace: Trace, expected: list[str]) -> None:
    found = report(sight(), trace=trace)
    assert found.verdict is Verdict.NO
    assert [code for code in codes(found) if code != "nobody_waiting"] == expected


def test_a_removal_names_who_when_and_the_batch() -> None:
    gone = msgspec.structs.replace(TRACE, member=None, history=(ADDED, line(Kind.REMOVED, ANA, None, 5, by="jefa")))
    assert report(sight(), trace=gone).conclude("es") == (
        "No suena: ana no está en Ventas->: lo sacó jefa, 2026-01-01 12:05:00 UTC (lote b5)."
    )


def test_who_was_moved_and_changed_later_left_at_the_move() -> None:
    other = Member("Ventas->", "ana", "SIP/1002")
    history = (
        ADDED,
        line(Kind.MOVED, ANA, other, 2, by="jefa"),
        line(Kind.UPDATED, other, msgspec.structs.replace(other, penalty=5), 3),
    )
    (finding,) = report(sight(), trace=Trace("SIP/1001", "Ventas->", "SIP/1001", history=history)).findings
    assert (finding.params["by"], finding.params["other"], finding.params["batch"]) == ("jefa", "SIP/1002", "b2")


def test_the_newest_addition_is_since_when() -> None:
    history = (ADDED, line(Kind.REMOVED, ANA, None, 2), line(Kind.ADDED, None, ANA, 3, by="jefa"))
    found = report(sight(seat()), trace=msgspec.structs.replace(TRACE, history=history))
    (there,) = [one for one in found.findings if one.cause is Cause.IN_ROSTER]
    assert (there.params["at"], there.params["by"]) == (NOW + timedelta(minutes=3), "jefa")


# --- servers ---------------------------------------------------------------------------------------------------------


def test_without_servers_or_without_one_for_the_campaign() -> None:
    assert codes(report())[0] == "no_server"
    assert codes(report(servers=2))[0] == "not_carried"
    assert report(servers=2).verdict is Verdict.NO


def test_a_free_phone_in_the_queue_rings() -> None:
    found = report(sight(seat()))
    assert found.verdict is Verdict.YES
    assert codes(found) == ["phone_free", "in_roster", "live"]
    assert found.conclude("en") == "Nothing that can be seen keeps it from ringing."


def test_what_stops_it_on_one_server_only_stops_it_there() -> None:
    away = Sight("pbx2", SwitchUnreachable(server="pbx2", detail="refused"))
    found = report(sight(seat()), away)
    assert (found.verdict, codes(found)[0], found.findings[0].server) == (Verdict.PARTLY, "server_away", "pbx2")
    assert report(away).verdict is Verdict.NO


def test_a_missing_queue_counts_unless_it_is_another_servers_share() -> None:
    lacking = Sight("pbx2", obliged=False)
    assert "queue_missing" not in codes(report(sight(seat()), lacking))
    assert report(sight(seat()), lacking).verdict is Verdict.YES
    assert codes(report(lacking))[0] == "queue_missing"
    assert report(sight(seat()), Sight("pbx2", obliged=True)).verdict is Verdict.PARTLY


def test_a_member_that_is_not_live_is_on_its_way_or_refused() -> None:
    assert codes(report(sight(device=DeviceState.NOT_INUSE)))[:2] == ["not_live", "phone_free"]
    lag = PrivilegeMissing(server="pbx1", action="QueueAdd")
    refused = report(sight(lag=lag))
    assert codes(refused)[0] == "not_delivered"
    assert refused.findings[0].values()["reason"] == "privilege_missing"
    assert "al usuario de AMI le falta permiso" in refused.conclude("es")


def test_who_is_live_without_the_roster_is_a_stray_found_by_phone_or_by_name() -> None:
    for trace in (Trace("SIP/1001", "Ventas->", "SIP/1001"), Trace("Sam", "Ventas->")):
        found = report(sight(seat("Sam", membership=Membership.STATIC)), trace=trace)
        assert (found.verdict, codes(found)[0]) == (Verdict.MAYBE, "stray")
        assert found.findings[0].params["membership"] == "static"


def test_another_name_on_the_phone_and_another_penalty() -> None:
    assert codes(report(sight(seat("Sam"))))[0] == "other_name"
    differs = report(sight(seat(penalty=4)))
    assert (codes(differs)[0], differs.findings[0].values()) == ("penalty_differs", {"live": 4, "wanted": 1})


# --- pause, phone, rest ----------------------------------------------------------------------------------------------


def paused_trace(by: str = "jefa") -> Trace:
    resting = msgspec.structs.replace(ANA, paused=True)
    again = msgspec.structs.replace(resting, penalty=1)
    history = (ADDED, line(Kind.UPDATED, ANA, resting, 2, by=by), line(Kind.UPDATED, resting, again, 3))
    return msgspec.structs.replace(TRACE, member=again, history=history)


def test_a_pause_of_the_roster_names_who_began_it() -> None:
    found = report(sight(seat(paused=True)), trace=paused_trace())
    assert (found.verdict, codes(found)[0]) == (Verdict.NO, "paused")
    params = found.findings[0].params
    assert (params["by"], params["at"], params["reason"]) == ("jefa", NOW + timedelta(minutes=2), "Almuerzo")


def test_a_pause_is_told_where_no_server_shows_the_phone() -> None:
    found = report(trace=paused_trace())
    assert found.verdict is Verdict.NO
    assert "paused_in_roster" in codes(found)
    assert "paused_in_roster" not in codes(report(sight(seat(paused=True)), trace=paused_trace()))


def test_a_pause_of_one_side_only() -> None:
    there = report(sight(seat(paused=True)))
    assert (there.verdict, codes(there)[0]) == (Verdict.NO, "paused_at_server")
    here = report(sight(seat()), trace=paused_trace())
    assert (here.verdict, codes(here)[0]) == (Verdict.MAYBE, "pause_differs")


@pytest.mark.parametrize(
    ("state", "ring_in_use", "code", "verdict"),
    [
        (DeviceState.UNKNOWN, False, "state_unknown", Verdict.YES),
        (DeviceState.NOT_INUSE, False, "phone_free", Verdict.YES),
        (DeviceState.INUSE, False, "phone_in_use", Verdict.NO),
        (DeviceState.INUSE, True, "rings_in_use", Verdict.YES),
        (DeviceState.INUSE, None, "phone_maybe_in_use", Verdict.MAYBE),
        (DeviceState.BUSY, False, "phone_in_use", Verdict.NO),
        (DeviceState.INVALID, True, "phone_invalid", Verdict.NO),
        (DeviceState.UNAVAILABLE, False, "phone_unavailable", Verdict.NO),
        (DeviceState.RINGING, False, "phone_ringing", Verdict.YES),
        (DeviceState.RINGINUSE, False, "phone_in_use", Verdict.NO),
        (DeviceState.ONHOLD, True, "rings_in_use", Verdict.YES),
    ],
)
def test_every_state_of_the_phone(state: DeviceState, ring_in_use: bool | None, code: str, verdict: Verdict) -> None:
    found = report(sight(seat(state=state), ring_in_use=ring_in_use))
    assert code in codes(found)
    assert found.verdict is verdict


def test_a_phone_in_no_queue_is_told_by_its_device_alone() -> None:
    trace = Trace("SIP/1001", None, "SIP/1001")
    assert codes(report(Sight("pbx1", device=DeviceState.INVALID), trace=trace)) == ["unknown_agent", "phone_invalid"]
    assert codes(report(Sight("pbx1"), trace=trace)) == ["unknown_agent", "state_unseen"]


def test_the_rest_after_a_call_by_the_members_own_time_before_the_queues() -> None:
    call = NOW - timedelta(seconds=30)
    rests = report(sight(seat(last_call=call, wrapup=40)))
    assert (rests.verdict, codes(rests)[0]) == (Verdict.NO, "wrapping_up")
    assert rests.findings[0].params["until"] == NOW + timedelta(seconds=10)
    assert report(sight(seat(last_call=call, wrapup=20))).verdict is Verdict.YES


def test_a_rest_that_cannot_be_seen_is_a_maybe_for_a_while() -> None:
    recent = report(sight(seat(last_call=NOW - timedelta(minutes=1)), rules=None))
    assert (recent.verdict, codes(recent)[0]) == (Verdict.MAYBE, "maybe_wrapping_up")
    old = report(sight(seat(last_call=NOW - timedelta(hours=1)), rules=None))
    assert old.verdict is Verdict.YES
    assert "rules_unseen" in codes(old)


# --- others, and callers ---------------------------------------------------------------------------------------------


def test_only_others_who_are_free_ring_first() -> None:
    eva = seat("eva", "SIP/1002", 0)
    assert codes(report(sight(seat(), eva)))[0] == "lower_penalty_first"
    for other in (
        seat("eva", "SIP/1002", 0, paused=True),
        seat("eva", "SIP/1002", 0, state=DeviceState.INUSE),
        seat("eva", "SIP/1002", 0, last_call=NOW, wrapup=9),
        seat("eva", "SIP/1002", 2),
    ):
        assert report(sight(seat(), other)).verdict is Verdict.YES


def test_equals_share_the_calls_unless_all_ring() -> None:
    eva = seat("eva", "SIP/1002", 1)
    assert report(sight(seat(), eva)).verdict is Verdict.YES
    assert codes(report(sight(seat(), eva, strategy="leastrecent")))[0] == "one_at_a_time"


@pytest.mark.parametrize(
    ("rule", "member", "away"),
    [
        ("", seat(state=DeviceState.INVALID), False),
        ("yes", seat(state=DeviceState.INVALID), False),
        ("no", seat(state=DeviceState.UNAVAILABLE), False),
        ("no", seat(paused=True), True),
        ("strict", seat(state=DeviceState.UNAVAILABLE), True),
        ("loose", seat(paused=True), False),
        ("loose", seat(state=DeviceState.INVALID), True),
        ("paused, inuse", seat(state=DeviceState.INUSE), True),
        ("paused,inuse", seat(state=DeviceState.RINGING), False),
        ("ringing", seat(state=DeviceState.RINGING), True),
        ("unknown", seat(state=DeviceState.UNKNOWN), True),
        ("wrapup", seat(last_call=NOW, wrapup=5), True),
        ("wrapup", seat(), False),
    ],
)
def test_the_rule_by_which_callers_are_turned_away(rule: str, member: Seat, away: bool) -> None:
    assert ("callers_turned_away" in codes(report(sight(member, rules=QueueRules(join_empty=rule))))) is away


def test_that_nobody_is_calling_is_told() -> None:
    assert "nobody_waiting" in codes(report(sight(seat(), callers=0)))
    assert "nobody_waiting" not in codes(report(sight(seat(), callers=1)))


# --- words -----------------------------------------------------------------------------------------------------------


def test_what_stops_comes_before_what_limits_and_what_tells() -> None:
    found = report(sight(seat(paused=True, state=DeviceState.UNAVAILABLE, penalty=3), seat("eva", "SIP/2", 0)))
    effects = [finding.cause.effect for finding in found.findings]
    assert effects == sorted(effects, key=list(Effect).index)
    assert codes(found)[:2] == ["paused_at_server", "phone_unavailable"]


def placeholders(wording: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(wording) if name}


@pytest.mark.parametrize("cause", Cause)
def test_both_wordings_of_a_cause_hold_the_same_placeholders(cause: Cause) -> None:
    assert placeholders(cause.text.en) == placeholders(cause.text.es)
    assert cause.text.en != cause.text.es


def test_an_explanation_is_json_with_errors_as_codes_and_moments_as_text() -> None:
    found = report(Sight("pbx1", SwitchUnreachable(server="pbx1", detail="refused")))
    told = msgspec.json.decode(msgspec.json.encode(found.explain("en")))
    assert (told["agent"], told["campaign"], told["rings"]) == ("ana", "Ventas->", "no")
    away, there = told["findings"]
    assert (away["code"], away["effect"], away["server"]) == ("server_away", "stops", "pbx1")
    assert away["params"] == {"reason": "switch_unreachable"}
    assert away["message"] == "pbx1 cannot be asked: pbx1: no AMI connection: refused"
    assert there["params"]["at"] == "2026-01-01T12:01:00Z"


def test_what_is_not_known_is_a_question_mark() -> None:
    assert Finding(Cause.LIVE, "pbx1", {"at": None}).say("en") == "in the queue at pbx1 since ?"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_cause_is_documented_with_its_effect(page: Path) -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (stops|limits|tells) \|", page.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted((cause.code, str(cause.effect)) for cause in Cause)
