"""How the journal does, for Prometheus: read when it is scraped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from controller.journal.journal import AbstractJournal


@final
class JournalMetrics:
    """A collector of prometheus_client."""

    def __init__(self, journal: AbstractJournal) -> None:
        self._journal = journal

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks of a collector; on a thread of its own."""
        writes, lost = float(not self._journal.problem), self._journal.num_lost
        yield GaugeMetricFamily("statmux_journal_writes", "1 while the journal is written", value=writes)
        yield CounterMetricFamily("statmux_journal_lost_lines", "Lines that were never written", value=lost)
