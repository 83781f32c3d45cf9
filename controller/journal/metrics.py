"""How the journal does, for Prometheus: read when it is scraped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from prometheus_client.core import Metric

from controller.journal.journal import AbstractJournal
from controller.metric_families import JOURNAL_LOST, JOURNAL_WRITES


@final
class JournalMetrics:
    """A collector of prometheus_client."""

    def __init__(self, journal: AbstractJournal) -> None:
        self._journal = journal

    def describe(self) -> list[Metric]:
        """Without a look at the journal."""
        return [JOURNAL_WRITES.read(), JOURNAL_LOST.read()]

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks of a collector; on a thread of its own."""
        writes, lost = JOURNAL_WRITES.read(), JOURNAL_LOST.read()
        writes.add_metric((), float(not self._journal.problem))
        lost.add_metric((), self._journal.num_lost)
        yield from (writes, lost)
