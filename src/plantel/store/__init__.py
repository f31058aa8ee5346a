"""The durable roster in SQL. `open_store` is the one way in; `missing_views` and `leftover_parts` tell of its views."""

from plantel.store.opening import leftover_parts, missing_views, open_store, shown

__all__ = ["leftover_parts", "missing_views", "open_store", "shown"]
