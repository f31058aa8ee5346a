"""What operators and their monitoring look at: `/health` and `/metrics`."""

from collections.abc import Iterable

import msgspec
from prometheus_client import Counter, Gauge, generate_latest

from plantel.http.instance import Instance
from plantel.reconcile import State

ANSWERS = Counter("plantel_answers_total", "Answers of the wire call and its neighbours, by body", ["answer"])
AGREED = Gauge("plantel_server_agreed", "1 where an Asterisk shows the roster, 0 where it lags", ["instance", "server"])


def health(instance: Instance) -> bytes:
    """JSON: the servers of one instance with their states. Plantel itself is well when it can answer this."""
    servers = {one.name: one.status.state for one in instance.delivery.reconcilers}
    return msgspec.json.encode({"status": "ok", "servers": servers})


def metrics(instances: Iterable[Instance]) -> bytes:
    """The metrics in Prometheus' text format."""
    for instance in instances:
        for one in instance.delivery.reconcilers:
            AGREED.labels(instance.name, one.name).set(one.status.state is State.AGREED)
    return generate_latest()
