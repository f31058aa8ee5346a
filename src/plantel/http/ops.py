"""What operators and their monitoring look at: `/health` and `/metrics`."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from prometheus_client import REGISTRY, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from plantel import errors, logs
from plantel.http.connections import Reason
from plantel.http.instance import Instance
from plantel.reconcile import State

ANSWERS = Counter({"1": 0, "0": 0})
"""Answers of the wire call and its neighbours, by body. Counted on the event loop alone, so that it needs no lock."""

CLOSED: Counter[str] = Counter(dict.fromkeys(Reason, 0))
"""Connections that had to go. Counted by the thread that closes them alone."""

AGREED = Gauge("plantel_server_agreed", "1 where an Asterisk shows the roster, 0 where it lags", ["instance", "server"])

VERIFIES = Gauge(
    "plantel_server_verifies",
    "0 where an Asterisk, when last asked, did not tell whether phones exist",
    ["instance", "server"],
)

STORE_AVAILABLE = Gauge("plantel_store_available", "0 where the node's last look at its database failed, else 1")

CONNECTIONS = Gauge("plantel_http_connections", "Open HTTP connections at the last look")

LATE_LOOP = Histogram(
    "plantel_late_loop_seconds",
    "By how much the event loop was late, looked at 20 times a second",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

KNOWN_SINCE = Gauge("plantel_history_known_since_seconds", "Since when everything is known of the past, where it ends")


class _Counts(Collector):
    """What is counted elsewhere, as metrics."""

    def collect(self) -> Iterable[CounterMetricFamily]:
        yield _counted("plantel_answers", "Answers of the wire call and its neighbours, by body", "answer", ANSWERS)
        yield _counted(
            "plantel_http_connections_closed", "HTTP connections that had to go, by reason", "reason", CLOSED
        )
        yield CounterMetricFamily(
            "plantel_log_lines_dropped",
            "Lines that the log did not take: too many at once, nobody reads",
            logs.dropped(),
        )


def _counted(name: str, text: str, label: str, counts: Mapping[Any, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


REGISTRY.register(_Counts())


def health(instance: Instance, trouble: errors.StoreError | None) -> bytes:
    """JSON: the servers of one instance with their states. The process is well when it can answer this; it can serve
    requests while there is no `trouble` with the store, whose code is the status otherwise."""
    servers = {one.name: one.status.state for one in instance.delivery.reconcilers}
    return msgspec.json.encode({"status": "ok" if trouble is None else trouble.code, "servers": servers})


def connections(count: int) -> None:
    """Have the metrics say that so many are open."""
    CONNECTIONS.set(count)


def closed(reason: Reason) -> None:
    """Have the metrics count one more."""
    CLOSED[reason] += 1


def known_since(moment: datetime) -> None:
    """Have the metrics say so."""
    KNOWN_SINCE.set(moment.timestamp())


def verifies(instance: str, server: str, told: bool) -> None:
    """Have the metrics say so."""
    VERIFIES.labels(instance, server).set(told)


def metrics(instances: Iterable[Instance], trouble: errors.StoreError | None) -> bytes:
    """The metrics in Prometheus' text format. `trouble` as `health` has it."""
    STORE_AVAILABLE.set(trouble is None)
    for instance in instances:
        for one in instance.delivery.reconcilers:
            AGREED.labels(instance.name, one.name).set(one.status.state is State.AGREED)
    return generate_latest()
