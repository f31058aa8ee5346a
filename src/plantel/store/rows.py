"""Between the values of the domain and the columns of `schema`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Row

from plantel.access import Role, Token, User
from plantel.batch import CLOCKS_APART, Batch, Change, Kind, Problem, Source
from plantel.drift import Done, DriftRecord, Route
from plantel.errors import MoreProblems
from plantel.plan import Claim, DriftKind
from plantel.ports import Entry
from plantel.roster import Campaign, Member, Origin, fold
from plantel.store.connection import ClaimRow
from plantel.tally import PROBLEMS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

APART = CLOCKS_APART // _MICROSECOND
"""`batch.CLOCKS_APART`, as times are stored."""

_problems = msgspec.json.Decoder(tuple[Problem, ...])
_patterns = msgspec.json.Decoder(tuple[str, ...])


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970. Raises TypeError for a time without a zone: it would be a guess."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(microseconds: int) -> datetime:
    """The time, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def json(value: object) -> str:
    """`value` as JSON text."""
    return msgspec.json.encode(value).decode()


def campaign(instance: str, name: str, origin: str) -> Campaign:
    return Campaign(instance, name, Origin(origin))


def batch(row: Row[Any]) -> Batch:
    return msgspec.structs.replace(_batch(row), problems=_told(_problems.decode(row.problems)))


def batch_line(row: Row[Any]) -> Batch:
    """Without its problems; `refused` tells whether there are any."""
    return msgspec.structs.replace(_batch(row), refused=bool(row.refused))


def _batch(row: Row[Any]) -> Batch:
    return Batch(row.id, row.instance, row.actor, Source(row.source), moment(row.at), row.items)


def _told(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """As `Tally` tells them: batches that were stored by the first releases may have hundreds of thousands."""
    if len(problems) <= PROBLEMS + 1:
        return problems
    return *problems[:PROBLEMS], Problem.of(MoreProblems(count=len(problems) - PROBLEMS))


def entry(row: Row[Any]) -> Entry:
    """From a journal line joined with its batch (`id`, `actor`, `at`) and its campaign (`name`)."""
    before, after = (
        None if interface is None else Member(row.name, row.membername, interface, penalty, bool(paused))
        for interface, penalty, paused in (
            (row.before_interface, row.before_penalty, row.before_paused),
            (row.after_interface, row.after_penalty, row.after_paused),
        )
    )
    return Entry(
        row.revision, row.id, row.actor, moment(row.at), Change(Kind(row.kind), before, after, row.reason or "")
    )


def token_row(token: Token) -> dict[str, object]:
    return {
        "instance": token.instance,
        "name": token.name,
        "digest": token.digest,
        "role": str(token.role),
        "campaigns": json(token.campaigns),
        "created": microseconds(token.created),
        "expires": None if token.expires is None else microseconds(token.expires),
        "user": token.user,
    }


def token(row: Row[Any]) -> Token:
    return Token(
        instance=row.instance,
        name=row.name,
        digest=row.digest,
        role=Role(row.role),
        campaigns=_patterns.decode(row.campaigns),
        created=moment(row.created),
        expires=None if row.expires is None else moment(row.expires),
        user=row.user,
    )


def user_row(user: User) -> dict[str, object]:
    return {
        "instance": user.instance,
        "name": user.name,
        "password": user.password,
        "role": str(user.role),
        "campaigns": json(user.campaigns),
        "created": microseconds(user.created),
    }


def user(row: Row[Any]) -> User:
    return User(
        instance=row.instance,
        name=row.name,
        password=row.password,
        role=Role(row.role),
        campaigns=_patterns.decode(row.campaigns),
        created=moment(row.created),
    )


def claim(row: ClaimRow) -> Claim:
    queue, interface, added, paused, penalty, reason, membername = row
    return Claim(queue, interface, added == 1, None if paused is None else paused == 1, penalty, reason, membername)


def drift_row(instance: str, record: DriftRecord) -> dict[str, object]:
    return {
        "instance": instance,
        "at": microseconds(record.at),
        "server": record.server,
        "campaign": record.campaign,
        "folded_campaign": fold(record.campaign),
        "membername": record.membername,
        "interface": record.interface,
        "kind": str(record.kind),
        "expected": record.expected,
        "found": record.found,
        "route": str(record.route),
        "done": str(record.done),
        "members": record.count,
    }


def drift(row: Row[Any]) -> DriftRecord:
    return DriftRecord(
        at=moment(row.at),
        server=row.server,
        campaign=row.campaign,
        membername=row.membername,
        interface=row.interface,
        kind=DriftKind(row.kind),
        expected=row.expected,
        found=row.found,
        route=Route(row.route),
        done=Done(row.done),
        count=row.members,
    )
