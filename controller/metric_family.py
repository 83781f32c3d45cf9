"""What a family of metrics is: its name, words, labels and buckets, and who knows its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Kind = Literal["counter", "gauge", "histogram"]
# counted: by the front end that answers, of its own calls; watched: read from heartbeats and from the state
# of groups, and the same on every front end; fleet: only the fleet's own process knows it.
Source = Literal["counted", "watched", "fleet"]
Counted = Counter | Gauge | Histogram
Watched = CounterMetricFamily | GaugeMetricFamily


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """name: as it is queried, a histogram's without `_bucket`, `_sum`, `_count`. words: stand alone.

    values: those that a label can have, where they are few. Compared by identity: it is a key of every call.
    """

    name: str
    kind: Kind
    words: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    source: Source = "counted"
    values: Mapping[str, tuple[str, ...]] | None = None

    def __post_init__(self) -> None:
        assert (self.kind == "counter") == self.name.endswith("_total"), self.name
        assert (self.kind == "histogram") == bool(self.buckets), self.name

    def made(self, registry: CollectorRegistry) -> Counted:
        """To be counted as things happen."""
        if self.kind == "histogram":
            return Histogram(self.name, self.words, self.labels, buckets=self.buckets, registry=registry)
        kind = Counter if self.kind == "counter" else Gauge
        return kind(self.name, self.words, self.labels, registry=registry)

    def read(self) -> Watched:
        """To be filled when it is scraped."""
        assert self.kind != "histogram", self.name
        kind = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        return kind(self.name, self.words, labels=self.labels)
