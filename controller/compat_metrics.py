"""The numbers of a fleet under the names of other servers, for dashboards and scalers made for these.

Read from the fleet's own families when they are scraped: a request costs nothing more. Off unless the
deployment asks for them (`observability.metrics.compat`).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

from controller.metric_families import (
    CACHE_USAGE,
    DURATION,
    FIRST_TOKEN,
    QUEUE,
    QUEUE_DURATION,
    REQUESTS,
    RUNNING,
)
from controller.metric_family import Family
from vocabulary.versions import parted

# gRPC status -> Triton's reason, for the others OTHER.
_REASONS = {
    "RESOURCE_EXHAUSTED": "REJECTED",
    "UNAVAILABLE": "REJECTED",
    "DEADLINE_EXCEEDED": "REJECTED",
    "FAILED_PRECONDITION": "REJECTED",
    "CANCELLED": "CANCELED",
    "INTERNAL": "BACKEND",
    "ABORTED": "BACKEND",
}
_US_PER_S = 1e6


@final
class CompatMetrics:
    """A collector of prometheus_client. kinds: of `KINDS`."""

    def __init__(self, registry: CollectorRegistry, kinds: Collection[str]) -> None:
        """registry: where the fleet's own families are."""
        self._registry = registry
        self._kinds = tuple(kinds)

    def describe(self) -> list[Metric]:
        """Nothing: what is read must not be asked to read itself."""
        return []

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks of a collector; on a thread of its own."""
        for kind in self._kinds:
            families, made = KINDS[kind]
            yield from made(_Samples(self._registry, families))


@final
class _Samples:
    """What the fleet's families say at one moment, by model."""

    def __init__(self, registry: CollectorRegistry, families: Collection[Family]) -> None:
        names = [f"{one.name}{end}" for one in families for end in _ends(one)]
        found = registry.restricted_registry(names).collect()
        self._samples = [sample for family in found for sample in family.samples]

    def of_models(self, name: str) -> Mapping[str, list[float]]:
        """All values of a sample's name, of each model."""
        found: dict[str, list[float]] = defaultdict(list)
        for sample in self._samples:
            if sample.name == name:
                found[sample.labels["model"]].append(sample.value)
        return found

    def buckets(self, family: Family) -> Mapping[str, Mapping[str, float]]:
        """Cumulative counts by upper bound, of each model over all its groups."""
        found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for sample in self._samples:
            if sample.name == f"{family.name}_bucket":
                found[sample.labels["model"]][sample.labels["le"]] += sample.value
        return found

    def answered(self) -> Iterator[tuple[str, str, float]]:
        """(model, code, calls)"""
        for sample in self._samples:
            if sample.name == REQUESTS.name and sample.labels["model"]:
                yield sample.labels["model"], sample.labels["code"], sample.value


def _ends(family: Family) -> tuple[str, ...]:
    return ("_bucket", "_sum") if family.kind == "histogram" else ("",)


def _vllm(samples: _Samples) -> Iterator[Metric]:
    waiting, running = samples.of_models(QUEUE.name), samples.of_models(RUNNING.name)
    yield _by_name("vllm:num_requests_waiting", "Requests that wait.", waiting, sum)
    yield _by_name("vllm:num_requests_running", "Requests that run.", running, sum)
    usage = samples.of_models(CACHE_USAGE.name)
    words = "Pages of keys and values in use, of all; 1 is all. The mean over the model's groups."
    yield _by_name("vllm:kv_cache_usage_perc", words, usage, lambda values: sum(values) / len(values))
    adapters = GaugeMetricFamily(
        "vllm:lora_requests_info",
        "Adapters in use: none, since there are none. The value is the time of the scrape.",
        labels=("max_lora", "running_lora_adapters", "waiting_lora_adapters"),
    )
    adapters.add_metric(("0", "", ""), time.time())
    yield adapters
    words = "Seconds to the first token."
    yield _histogram("vllm:time_to_first_token_seconds", words, samples, FIRST_TOKEN)
    words = "Seconds from arrival to the whole answer."
    yield _histogram("vllm:e2e_request_latency_seconds", words, samples, DURATION)


def _triton(samples: _Samples) -> Iterator[Metric]:
    good: dict[tuple[str, ...], float] = defaultdict(float)
    bad: dict[tuple[str, ...], float] = defaultdict(float)
    for model, code, value in samples.answered():
        if code == "OK":
            good[_versioned(model)] += value
        else:
            bad[(*_versioned(model), _REASONS.get(code, "OTHER"))] += value
    queued_s = samples.of_models(f"{QUEUE_DURATION.name}_sum")
    queued_us = {_versioned(model): int(sum(values) * _US_PER_S) for model, values in queued_s.items()}
    pending = {_versioned(model): sum(values) for model, values in samples.of_models(QUEUE.name).items()}
    yield _bare("nv_inference_request_success", "Calls that were answered well.", good)
    yield _bare("nv_inference_request_failure", "Calls that were not, by reason.", bad, "reason")
    yield _bare("nv_inference_pending_request_count", "Requests that wait.", pending)
    yield _bare("nv_inference_queue_duration_us", "Microseconds that requests have waited.", queued_us)


def _by_name(
    name: str, words: str, found: Mapping[str, list[float]], together: Callable[[list[float]], float]
) -> Metric:
    family = GaugeMetricFamily(name, words, labels=("model_name",))
    for model, values in found.items():
        family.add_metric((model,), together(values))
    return family


def _histogram(name: str, words: str, samples: _Samples, origin: Family) -> Metric:
    family = HistogramMetricFamily(name, words, labels=("model_name",))
    sums = samples.of_models(f"{origin.name}_sum")
    for model, counts in samples.buckets(origin).items():
        family.add_metric((model,), list(counts.items()), sum(sums[model]))
    return family


def _bare(name: str, words: str, found: Mapping[tuple[str, ...], float], *more_labels: str) -> Metric:
    """Triton's counters have no `_total`, which our library would give to a counter: so they have no type."""
    family = Metric(name, words, "unknown")
    for labels, value in found.items():
        named = dict(zip(("model", "version", *more_labels), labels, strict=True))
        family.add_sample(name, named, value)
    return family


def _versioned(model: str) -> tuple[str, str]:
    """As Triton has them: a model without versions has version 1."""
    name, version = parted(model)
    return name, version or "1"


# What may be asked for, and what it is read from.
KINDS: Mapping[str, tuple[tuple[Family, ...], Callable[[_Samples], Iterator[Metric]]]] = {
    "vllm": ((QUEUE, RUNNING, CACHE_USAGE, FIRST_TOKEN, DURATION), _vllm),
    "triton": ((QUEUE, REQUESTS, QUEUE_DURATION), _triton),
}
