"""Stores of any size, filled by SQL in one go."""

from bench import database
from bench.filler import Filler
from bench.raw import INSTANCE

PER_CAMPAIGN = 1_000

SECONDS = 10
"""Between two batches of `fill_journal`, as they are stamped."""


def campaign(number: int) -> str:
    """The name of the campaign of member `number`, who is called `agent(number)` and is on `phone(number)`."""
    return f"Ventas-{number // PER_CAMPAIGN:05d}->"


def agent(number: int) -> str:
    return f"Agente {number % PER_CAMPAIGN:03d}"


def phone(number: int) -> str:
    return f"SIP/{number:09d}"


def fill_roster(url: str, members: int) -> None:
    """A new store of so many members, whole campaigns, each with the line that added it, a campaign in a batch."""
    database.make(url, [])
    with database.of(url).filler().open(url) as filler:
        _add_members(filler, members)
        crew = filler.quotient("i", PER_CAMPAIGN)
        filler.execute(
            f"""INSERT INTO journal
            (revision, batch, campaign, membername, kind, after_interface, after_penalty, after_paused)
            SELECT i + 1, {crew} + 1, {crew} + 1, {filler.text("Agente ", f"i % {PER_CAMPAIGN}", 3)},
            'added', {filler.text("SIP/", "i", 9)}, 0, false FROM {filler.count(members)}"""
        )
        _add_batches(filler, members, PER_CAMPAIGN)


def fill_journal(url: str, members: int, lines: int, each: int) -> None:
    """A new store of so many members, who were changed one after another and again and again, `each` in a batch.

    As many times as they go into `lines`, which are a multiple of `each`, too.
    """
    database.make(url, [])
    with database.of(url).filler().open(url) as filler:
        _add_members(filler, members)
        filler.drop_index()
        who, turn = f"(i % {members})", filler.quotient("i", members)
        interface = filler.text("SIP/", who, 9)
        filler.execute(
            f"""INSERT INTO journal
            (revision, batch, campaign, membername, kind, after_interface, after_penalty, after_paused,
            before_interface, before_penalty, before_paused)
            SELECT i + 1, {filler.quotient("i", each)} + 1, {filler.quotient(who, PER_CAMPAIGN)} + 1,
            {filler.text("Agente ", f"{who} % {PER_CAMPAIGN}", 3)},
            CASE WHEN i < {members} THEN 'added' ELSE 'updated' END, {interface}, {turn} % 5, false,
            CASE WHEN i >= {members} THEN {interface} END, CASE WHEN i >= {members} THEN ({turn} + 4) % 5 END,
            CASE WHEN i >= {members} THEN false END FROM {filler.count(lines)}"""
        )
        filler.make_index()
        _add_batches(filler, lines, each)


def _add_members(filler: Filler, members: int) -> None:
    filler.execute(
        f"""INSERT INTO campaigns (id, instance, name, folded, origin, removed)
        SELECT i + 1, '{INSTANCE}', {filler.text("Ventas-", "i", 5, "->")}, {filler.text("ventas-", "i", 5, "->")},
        'declared', 0 FROM {filler.count(members // PER_CAMPAIGN)}"""
    )
    filler.execute(
        f"""INSERT INTO members (campaign, membername, phone, interface, penalty, paused)
        SELECT {filler.quotient("i", PER_CAMPAIGN)} + 1, {filler.text("Agente ", f"i % {PER_CAMPAIGN}", 3)},
        {filler.text("sip/", "i", 9)}, {filler.text("SIP/", "i", 9)}, 0, false FROM {filler.count(members)}"""
    )


def _add_batches(filler: Filler, lines: int, each: int) -> None:
    filler.execute(
        f"""INSERT INTO batches (number, id, instance, actor, source, at, items, problems, revision, changes)
        SELECT i + 1, {filler.text("", "i", 28)}, '{INSTANCE}', 'bench', 'wire', (i + 1) * {SECONDS * 1_000_000},
        {each}, '[]', (i + 1) * {each}, {each} FROM {filler.count(lines // each)}"""
    )
