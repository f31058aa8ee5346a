"""What operators and their monitoring look at: `/health` and `/metrics`."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

import msgspec
from prometheus_client import REGISTRY, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from plantel import errors
from plantel.http.instance import Instance
from plantel.reconcile import State

ANSWERS = Counter({"1": 0, "0": 0})
"""Answers of the wire call and its neighbours, by body. Counted on the event loop alone, so that it needs no lock."""

AGREED = Gauge("plantel_server_agreed", "1 where an Asterisk shows the roster, 0 where it lags", ["instance", "server"])

VERIFIES = Gauge(
    "plantel_server_verifies",
    "0 where an Asterisk, when last asked, did not tell whether phones exist",
    ["instance", "server"],
)

STORE_AVAILABLE = Gauge("plantel_store_available", "0 where the node's last look at its database failed, else 1")

LATE_LOOP = Histogram(
    "plantel_late_loop_seconds",
    "By how much the event loop was late, looked at 20 times a second",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

KNOWN_SINCE = Gauge("plantel_history_known_since_seconds", "Since when everything is known of the past, where it ends")


class _Answers(Collector):
    """ANSWERS as a metric."""

    def collect(self) -> Iterable[CounterMetricFamily]:
        text = "Answers of the wire call and its neighbours, by body"
        family = CounterMetricFamily("plantel_answers", text, labels=["answer"])
        for answer, count in ANSWERS.items():
            family.add_metric([answer], count)
        yield family


REGISTRY.register(_Answers())


def health(instance: Instance, trouble: errors.StoreError | None) -> bytes:
    """JSON: the servers of one instance with their states. The process is well when it can answer this; it can serve
    requests while there is no `trouble` with the store, whose code is the status otherwise."""
    servers = {one.name: one.status.state for one in instance.delivery.reconcilers}
    return msgspec.json.encode({"status": "ok" if trouble is None else trouble.code, "servers": servers})


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
