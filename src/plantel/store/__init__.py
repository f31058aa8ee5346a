"""The durable roster in SQL. `open_store` is the one way in; the others tell of a database without opening it."""

from plantel.store.node import Node
from plantel.store.opening import (
    check_rights,
    check_sessions,
    leftover_parts,
    missing_views,
    nodes,
    open_store,
    shown,
)

__all__ = ["Node", "check_rights", "check_sessions", "leftover_parts", "missing_views", "nodes", "open_store", "shown"]
