"""Past rosters, as the store tells them in the end."""

import random
from datetime import timedelta

from plantel.ports import Transaction
from tests.support.history.history import Past


def pasts(transaction: Transaction, instance: str, draw: random.Random, count: int) -> tuple[Past, ...]:
    """At moments around those of batches."""
    batches = transaction.batches(instance, 10**9)
    moments = [draw.choice(batches).at + timedelta(microseconds=draw.choice((-1, 0, 1000))) for _ in range(count)]
    return tuple(Past(moment, tuple(transaction.members_at(instance, moment))) for moment in moments)
