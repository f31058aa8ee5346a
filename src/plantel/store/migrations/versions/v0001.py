"""The first schema."""

import secrets
from typing import Any

from alembic import op
from sqlalchemy import (
    VARBINARY,
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None

_Number = BigInteger().with_variant(Integer, "sqlite")
_Json = Text().with_variant(Text(2**32 - 1), "mariadb")
_Digest = LargeBinary(64).with_variant(VARBINARY(64), "mariadb")


def _text(length: int) -> TypeEngine[str]:
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def _table(name: str, *columns: SchemaItem, **options: Any) -> Table:
    return op.create_table(
        name,
        *columns,
        **options,
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_nopad_bin",
    )


def _index(name: str, table: str, *columns: str, by: str) -> None:
    """In SQLite and MariaDB each index ends with the primary key by itself."""
    last = [by] if op.get_bind().dialect.name == "postgresql" else []
    op.create_index(name, table, [*columns, *last])


def upgrade() -> None:
    keys = _table(
        "keys",
        Column("name", _text(255), nullable=False),
        Column("value", LargeBinary, nullable=False),
        PrimaryKeyConstraint("name", name="keys_pk"),
    )
    _table(
        "campaigns",
        Column("id", Integer, nullable=False),
        Column("instance", _text(255), nullable=False),
        Column("name", _text(79), nullable=False),
        Column("folded", _text(79), nullable=False),
        Column("origin", _text(20), nullable=False),
        Column("removed", Integer, nullable=False),
        PrimaryKeyConstraint("id", name="campaigns_pk"),
        UniqueConstraint("instance", "folded", "removed", name="campaigns_instance_key"),
    )
    _table(
        "members",
        Column("campaign", Integer, nullable=False, autoincrement=False),
        Column("membername", _text(79), nullable=False),
        Column("phone", _text(79), nullable=False),
        Column("interface", _text(79), nullable=False),
        Column("penalty", Integer, nullable=False),
        Column("paused", Boolean, nullable=False),
        PrimaryKeyConstraint("campaign", "membername", name="members_pk"),
        UniqueConstraint("campaign", "phone", name="members_campaign_key"),
        sqlite_with_rowid=False,
    )
    _table(
        "batches",
        Column("number", _Number, nullable=False, autoincrement=False),
        Column("id", _text(255), nullable=False),
        Column("instance", _text(255), nullable=False),
        Column("actor", _text(255), nullable=False),
        Column("source", _text(20), nullable=False),
        Column("at", _Number, nullable=False),
        Column("items", Integer, nullable=False),
        Column("problems", _Json, nullable=False),
        Column("revision", _Number, nullable=False),
        Column("changes", Integer, nullable=False),
        PrimaryKeyConstraint("number", name="batches_pk"),
        UniqueConstraint("id", name="batches_id_key"),
    )
    _index("batches_instance", "batches", "instance", by="number")
    _table(
        "journal",
        Column("revision", _Number, nullable=False, autoincrement=False),
        Column("batch", _Number, nullable=False),
        Column("campaign", Integer, nullable=False),
        Column("membername", _text(79), nullable=False),
        Column("kind", _text(20), nullable=False),
        Column("after_interface", _text(79)),
        Column("after_penalty", Integer),
        Column("after_paused", Boolean),
        Column("before_interface", _text(79)),
        Column("before_penalty", Integer),
        Column("before_paused", Boolean),
        Column("reason", _text(255)),
        PrimaryKeyConstraint("revision", name="journal_pk"),
    )
    _index("journal_member", "journal", "campaign", "membername", by="revision")
    _table(
        "tokens",
        Column("id", Integer, nullable=False),
        Column("instance", _text(255), nullable=False),
        Column("name", _text(255), nullable=False),
        Column("digest", _Digest, nullable=False),
        Column("role", _text(20), nullable=False),
        Column("campaigns", _Json, nullable=False),
        Column("created", _Number, nullable=False),
        Column("expires", _Number),
        Column("user", _text(255), nullable=False),
        PrimaryKeyConstraint("id", name="tokens_pk"),
        UniqueConstraint("instance", "name", "digest", name="tokens_instance_key"),
    )
    op.create_index("tokens_user", "tokens", ["instance", "user"])
    _table(
        "users",
        Column("instance", _text(255), nullable=False),
        Column("name", _text(255), nullable=False),
        Column("password", _text(255), nullable=False),
        Column("role", _text(20), nullable=False),
        Column("campaigns", _Json, nullable=False),
        Column("created", _Number, nullable=False),
        PrimaryKeyConstraint("instance", "name", name="users_pk"),
    )
    _table(
        "claims",
        Column("instance", _text(255), nullable=False),
        Column("server", _text(255), nullable=False),
        Column("folded_queue", _text(79), nullable=False),
        Column("phone", _text(79), nullable=False),
        Column("queue", _text(79), nullable=False),
        Column("interface", _text(79), nullable=False),
        Column("added", Boolean, nullable=False),
        Column("paused", Boolean),
        Column("penalty", Integer),
        Column("reason", _text(79), nullable=False),
        Column("membername", _text(79), nullable=False),
        PrimaryKeyConstraint("instance", "server", "folded_queue", "phone", name="claims_pk"),
        sqlite_with_rowid=False,
    )
    _table(
        "drifts",
        Column("number", _Number, nullable=False),
        Column("instance", _text(255), nullable=False),
        Column("at", _Number, nullable=False),
        Column("server", _text(255), nullable=False),
        Column("campaign", _text(79), nullable=False),
        Column("folded_campaign", _text(79), nullable=False),
        Column("membername", _text(79), nullable=False),
        Column("interface", _text(79), nullable=False),
        Column("kind", _text(20), nullable=False),
        Column("expected", _text(20), nullable=False),
        Column("found", _text(20), nullable=False),
        Column("route", _text(20), nullable=False),
        Column("done", _text(20), nullable=False),
        Column("members", Integer, nullable=False),
        PrimaryKeyConstraint("number", name="drifts_pk"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE SEQUENCE commits")
    if op.get_bind().dialect.name == "mariadb":
        turn = op.create_table(
            "turn",
            Column("id", Integer, nullable=False, autoincrement=False),
            Column("version", BigInteger, nullable=False),
            PrimaryKeyConstraint("id"),
            mariadb_engine="InnoDB",
            mariadb_charset="utf8mb4",
        )
        op.bulk_insert(turn, [{"id": 1, "version": 0}])
    op.bulk_insert(
        keys,
        [
            {"name": "token", "value": secrets.token_bytes(32)},
            {"name": "campaigns", "value": secrets.token_bytes(16)},
        ],
    )
