"""The tables, in one place. `migrations/versions` says how a store of an earlier release becomes one like this.

Names that compare without ASCII case are kept twice: as they were written, and as `roster.fold` folds them. No
database's own idea of case is relied on: NOCASE and the collations of MariaDB and PostgreSQL all differ from
Asterisk's. Times are whole microseconds since 1970 in UTC. Lists are JSON text.

There are no foreign keys: rows of `campaigns` are never deleted, and one of `batches` goes after its last journal line
(`pruning`), so that nothing can dangle, and a look at the parent for every member and journal line would be paid on the
hottest path.
"""

import secrets

from sqlalchemy import (
    VARBINARY,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    insert,
)
from sqlalchemy.schema import CreateSequence
from sqlalchemy.types import TypeEngine

from plantel.roster import NAME_BYTES

VERSION = "0001"
"""What a store made by this release is stamped with; the newest file of `migrations/versions`."""

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ix": "%(table_name)s_%(column_0_name)s",
    }
)

_Number = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER PRIMARY KEY is SQLite's own row number


def _text(length: int) -> TypeEngine[str]:
    """Compared, and ordered, by code points on every database."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


_Name = _text(NAME_BYTES)
_Word = _text(255)
_Kind = _text(20)
_Json = Text().with_variant(Text(2**32 - 1), "mariadb")  # its plain TEXT ends at 64 KiB
_Digest = LargeBinary(64).with_variant(VARBINARY(64), "mariadb")  # it makes no index of a whole BLOB


def _ordered(name: str, *columns: str, by: str) -> tuple[Index, ...]:
    """An index of `columns` that ends with the primary key: but in PostgreSQL each does so by itself."""
    ends = {"sqlite": (), "mariadb": (), "postgresql": (by,)}
    return tuple(Index(name, *columns, *end).ddl_if(dialect=dialect) for dialect, end in ends.items())


alembic_version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32)),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),  # as Alembic itself would make it
)

keys = Table(
    "keys",
    metadata,
    Column("name", _Word, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance", _Word, nullable=False),
    Column("name", _Name, nullable=False),
    Column("folded", _Name, nullable=False),
    Column("origin", _Kind, nullable=False),
    # 0 while the campaign lives, its own id afterwards: the journal keeps its name, and the name may come back.
    Column("removed", Integer, nullable=False),
    UniqueConstraint("instance", "folded", "removed"),
)

members = Table(
    "members",
    metadata,
    Column("campaign", Integer, primary_key=True, autoincrement=False),
    Column("membername", _Name, primary_key=True),
    Column("phone", _Name, nullable=False),  # the interface, folded
    Column("interface", _Name, nullable=False),
    Column("penalty", Integer, nullable=False),
    Column("paused", Boolean, nullable=False),
    UniqueConstraint("campaign", "phone"),
    sqlite_with_rowid=False,
)

batches = Table(
    "batches",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=False),  # in the order of commits
    Column("id", _Word, nullable=False, unique=True),
    Column("instance", _Word, nullable=False),
    Column("actor", _Word, nullable=False),
    Column("source", _Kind, nullable=False),
    Column("at", _Number, nullable=False),
    Column("items", Integer, nullable=False),
    Column("problems", _Json, nullable=False),
    # Its journal lines are the `changes` ones that end with `revision`, so that the journal needs no index by batch.
    Column("revision", _Number, nullable=False),
    Column("changes", Integer, nullable=False),
    *_ordered("batches_instance", "instance", by="number"),
)

journal = Table(
    "journal",
    metadata,
    Column("revision", _Number, primary_key=True, autoincrement=False),
    Column("batch", _Number, nullable=False),
    Column("campaign", Integer, nullable=False),
    Column("membername", _Name, nullable=False),
    Column("kind", _Kind, nullable=False),
    Column("after_interface", _Name),
    Column("after_penalty", Integer),
    Column("after_paused", Boolean),
    Column("before_interface", _Name),
    Column("before_penalty", Integer),
    Column("before_paused", Boolean),
    Column("reason", _Word),  # NULL where the line says nothing of one
    # One index for all questions, also those about an agent in whatever campaign: each more costs every single add.
    *_ordered("journal_member", "campaign", "membername", by="revision"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance", _Word, nullable=False),
    Column("name", _Word, nullable=False),
    Column("digest", _Digest, nullable=False),
    Column("role", _Kind, nullable=False),
    Column("campaigns", _Json, nullable=False),
    Column("created", _Number, nullable=False),
    Column("expires", _Number),
    Column("user", _Word, nullable=False),
    UniqueConstraint("instance", "name", "digest"),
    Index("tokens_user", "instance", "user"),
)

users = Table(
    "users",
    metadata,
    Column("instance", _Word, primary_key=True),
    Column("name", _Word, primary_key=True),
    Column("password", _Word, nullable=False),
    Column("role", _Kind, nullable=False),
    Column("campaigns", _Json, nullable=False),
    Column("created", _Number, nullable=False),
)

claims = Table(
    "claims",
    metadata,
    Column("instance", _Word, primary_key=True),
    Column("server", _Word, primary_key=True),
    Column("folded_queue", _Name, primary_key=True),
    Column("phone", _Name, primary_key=True),  # the interface, folded
    Column("queue", _Name, nullable=False),
    Column("interface", _Name, nullable=False),
    Column("added", Boolean, nullable=False),
    Column("paused", Boolean),
    Column("penalty", Integer),
    Column("reason", _Name, nullable=False),
    Column("membername", _Name, nullable=False),
    sqlite_with_rowid=False,
)

drifts = Table(
    "drifts",
    metadata,
    Column("number", _Number, primary_key=True),
    Column("instance", _Word, nullable=False),
    Column("at", _Number, nullable=False),
    Column("server", _Word, nullable=False),
    Column("campaign", _Name, nullable=False),
    Column("folded_campaign", _Name, nullable=False),
    Column("membername", _Name, nullable=False),
    Column("interface", _Name, nullable=False),
    Column("kind", _Kind, nullable=False),
    Column("expected", _Kind, nullable=False),
    Column("found", _Kind, nullable=False),
    Column("route", _Kind, nullable=False),
    Column("done", _Kind, nullable=False),
    Column("members", Integer, nullable=False),
)

# Counts the transactions that wrote something, so that each node knows when another has. SQLite counts by itself.
commits = Sequence("commits")
event.listen(metadata, "after_create", CreateSequence(commits).execute_if(dialect="postgresql"))

for _table in metadata.tables.values():
    # By code points, and blanks at the end count: what the database's administrator chose may do neither.
    _table.dialect_kwargs.update(
        mariadb_engine="InnoDB", mariadb_charset="utf8mb4", mariadb_collate="utf8mb4_nopad_bin"
    )

turn = Table(
    "turn",
    MetaData(),
    Column("id", Integer, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
    mariadb_engine="InnoDB",
    mariadb_charset="utf8mb4",
)
"""In MariaDB only: one row, which whoever writes locks first, and counts up when it has changed something."""


@event.listens_for(metadata, "after_create")
def _make_turn(_: MetaData, connection: Connection, **_options: object) -> None:
    if connection.dialect.name == "mariadb":
        turn.create(connection)
        connection.execute(insert(turn).values(id=1, version=0))


CAMPAIGNS = "campaigns"
"""The row of `keys` whose value is another after each change of the campaigns."""


MIGRATING = "migrating"
"""The row of `keys` that names the version to which the store is being migrated; in MariaDB only, where a migration is
not one transaction."""

FORGOTTEN = "forgotten"
"""The row of `keys` that says up to where `pruning` has forgotten the past; none where all is kept."""

TRIAL = "trial"
"""The row of `keys` that is there while it is tried whether the database stores anything."""


def new_stamp() -> bytes:
    """A value that `CAMPAIGNS` never had."""
    return secrets.token_bytes(16)


def create(connection: Connection) -> None:
    """Make all tables in an empty database, and stamp it last. The caller commits."""
    metadata.create_all(connection, checkfirst=False)
    connection.execute(insert(keys).values(name="token", value=secrets.token_bytes(32)))
    connection.execute(insert(keys).values(name=CAMPAIGNS, value=new_stamp()))
    connection.execute(insert(alembic_version).values(version_num=VERSION))
