"""What the fleet's metrics say, by model: the same counters and buckets that Prometheus scrapes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import final

from prometheus_client import CollectorRegistry, Histogram, Metric
from prometheus_client.samples import Sample

# Histograms by what the document calls them, the unit last.
_HISTOGRAMS = {
    "statmux_request_duration_seconds": "latency_s",
    "statmux_time_to_first_token_seconds": "ttft_s",
    "statmux_inter_token_latency_seconds": "tpot_s",
    "statmux_prediction_error_ratio": "prediction_ratio",
}
_COUNTERS = (
    "statmux_requests",
    "statmux_requests_rejected",
    "statmux_requests_retried",
    "statmux_slo_met",
    "statmux_slo_missed",
    "statmux_output_tokens",
)
_GAUGES = ("statmux_plan_predicted_attainment_ratio", "statmux_queue_requests", "statmux_running_requests")
# Told by workers in their heartbeats.
_DEVICES = {
    "statmux_device_memory_used_bytes": "used_bytes",
    "statmux_device_memory_total_bytes": "total_bytes",
    "statmux_device_busy_ratio": "busy_ratio",
}
_OK = "OK"
_ASKED = (
    *_GAUGES,
    *_DEVICES,
    *(f"{name}_total" for name in _COUNTERS),
)


@dataclass(slots=True)
class Buckets:
    """counts: cumulative, by upper bound and then for all, as Prometheus has them."""

    counts: list[float]
    sum: float = 0.0


@dataclass(slots=True)
class ModelCounts:
    """Totals of one model since the start, over all groups; but waiting and running are as of now.

    objectives: met and missed, by objective.
    """

    answered: float = 0.0
    served: float = 0.0
    retried: float = 0.0
    output_tokens: float = 0.0
    waiting: float = 0.0
    running: float = 0.0
    rejected: dict[str, float] = field(default_factory=dict)
    objectives: dict[str, list[float]] = field(default_factory=dict)
    histograms: dict[str, Buckets] = field(default_factory=dict)
    predicted_attainment: float | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """bounds: finite upper bounds of every histogram. models: "" is for calls of no model that is known.

    devices: of each that a worker tells of, used_bytes, total_bytes and busy_ratio.
    """

    bounds: Mapping[str, tuple[float, ...]]
    models: Mapping[str, ModelCounts]
    devices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def counts_of(registry: CollectorRegistry) -> Counts:
    """As of now; on any thread. Only the families that are asked for are read."""
    reading = _Reading()
    for family in registry.restricted_registry(_ASKED).collect():
        reading.take(family)
    for name, called in _HISTOGRAMS.items():
        reading.take_histogram(called, registry._names_to_collectors[f"{name}_bucket"])
    return Counts(reading.bounds, dict(reading.models), dict(reading.devices))


@final
class _Reading:
    def __init__(self) -> None:
        self.models: defaultdict[str, ModelCounts] = defaultdict(ModelCounts)
        self.bounds: dict[str, tuple[float, ...]] = {}
        self.devices: defaultdict[str, dict[str, float]] = defaultdict(dict)

    def take(self, family: Metric) -> None:
        for sample in family.samples:
            if family.name in _DEVICES:
                self.devices[sample.labels["device"]][_DEVICES[family.name]] = sample.value
            elif "model" in sample.labels:
                self._plain(family.name, sample, self.models[sample.labels["model"]])

    def take_histogram(self, called: str, histogram: Histogram) -> None:
        """By the attributes of prometheus_client's own class: what it offers makes an object for each bucket
        and takes twenty times as long, which other threads would feel."""
        with histogram._lock:
            children = list(histogram._metrics.items())
        model_index = histogram._labelnames.index("model")
        for labels, child in children:
            self.bounds[called] = tuple(child._upper_bounds[:-1])
            counts = list(accumulate(bucket.get() for bucket in child._buckets))
            _add(self.models[labels[model_index]].histograms, called, counts, child._sum.get())

    def _plain(self, family: str, sample: Sample, model: ModelCounts) -> None:
        value, labels = sample.value, sample.labels
        match family:
            case "statmux_requests":
                model.answered += value
                model.served += value if labels["code"] == _OK else 0.0
            case "statmux_requests_rejected":
                model.rejected[labels["reason"]] = model.rejected.get(labels["reason"], 0.0) + value
            case "statmux_requests_retried":
                model.retried += value
            case "statmux_slo_met":
                model.objectives.setdefault(labels["objective"], [0.0, 0.0])[0] += value
            case "statmux_slo_missed":
                model.objectives.setdefault(labels["objective"], [0.0, 0.0])[1] += value
            case "statmux_output_tokens":
                model.output_tokens += value
            case "statmux_plan_predicted_attainment_ratio":
                model.predicted_attainment = value
            case "statmux_queue_requests":
                model.waiting += value
            case "statmux_running_requests":
                model.running += value


def _add(histograms: dict[str, Buckets], name: str, counts: list[float], total: float) -> None:
    known = histograms.get(name)
    if known is None:
        histograms[name] = Buckets(counts, total)
        return
    known.counts = [one + more for one, more in zip(known.counts, counts, strict=True)]
    known.sum += total
