"""The durable roster in SQL. `open_store` is the one way in; `missing_views` and `leftover_parts` tell of its views."""

from plantel.store.opening import check_rights, leftover_parts, missing_views, open_store, shown

__all__ = ["check_rights", "leftover_parts", "missing_views", "open_store", "shown"]
