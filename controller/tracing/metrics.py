"""What became of spans, for Prometheus: read when it is scraped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from prometheus_client.core import Metric

from controller.metric_families import SPANS_DROPPED, SPANS_SENT
from controller.tracing.outbox import Outbox


@final
class TracingMetrics:
    """A collector of prometheus_client. outbox: None where no traces are made."""

    def __init__(self, outbox: Outbox | None) -> None:
        self._outbox = outbox

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks of a collector; on a thread of its own."""
        sent, dropped = SPANS_SENT.read(), SPANS_DROPPED.read()
        sent.add_metric((), 0 if self._outbox is None else self._outbox.num_sent)
        dropped.add_metric((), 0 if self._outbox is None else self._outbox.num_dropped)
        yield from (sent, dropped)
