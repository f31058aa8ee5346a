"""The durable roster in SQL. `open_store` is the one way in."""

from plantel.store.opening import open_store, shown

__all__ = ["open_store", "shown"]
