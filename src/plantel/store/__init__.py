"""The durable roster in SQL. `open_store` is the one way in; `missing_views` only looks."""

from plantel.store.opening import missing_views, open_store, shown

__all__ = ["missing_views", "open_store", "shown"]
