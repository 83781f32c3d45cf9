"""The Prometheus families of a fleet: names, words, labels, buckets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# OpenTelemetry's GenAI duration buckets, with finer ones below for small models.
_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
)
# The same conventions' buckets of the time to the first token, and of each token after it.
_TTFT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_TPOT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_RATIOS = (0.5, 0.8, 0.9, 0.95, 0.98, 1.0, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 5.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


@final
class Families:
    """All families that are counted as things happen."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"statmux_{name}", words, labels, registry=registry)

        def gauge(name: str, words: str, *labels: str) -> Gauge:
            return Gauge(f"statmux_{name}", words, labels, registry=registry)

        def histogram(name: str, words: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(f"statmux_{name}", words, labels, buckets=buckets, registry=registry)

        per_group = ("model", "group")
        self.requests = counter("requests", "Answered requests", "model", "protocol", "code", "slo_class")
        self.rejected = counter("requests_rejected", "Requests refused before they ran", "model", "reason")
        self.retried = counter(
            "requests_retried", "Requests given to another group, since theirs was lost", "model"
        )
        self.met = counter("slo_met", "Requests served within their objective", "model", "objective")
        self.missed = counter(
            "slo_missed", "Requests not served within their objective", "model", "objective"
        )
        self.groups_lost = counter("groups_lost", "Times that a group's worker was lost", "group")
        self.duration = histogram("request_duration_seconds", "Arrival to answer", _SECONDS, *per_group)
        self.queue_duration = histogram("queue_duration_seconds", "Arrival to start", _SECONDS, *per_group)
        self.execute_duration = histogram("execute_duration_seconds", "Start to end", _SECONDS, *per_group)
        self.batch_size = histogram("batch_size", "Requests that ran together", _SIZES, *per_group)
        self.prediction_error = histogram(
            "prediction_error_ratio", "Observed over predicted time from arrival to end", _RATIOS, *per_group
        )
        self.first_token = histogram("time_to_first_token_seconds", "Arrival to first token", _TTFT, "model")
        self.inter_token = histogram(
            "inter_token_latency_seconds", "From one token of an answer to the next", _TPOT, "model"
        )
        self.input_tokens = counter("input_tokens", "Tokens of prompts that were answered", "model")
        self.output_tokens = counter("output_tokens", "Tokens of answers", "model")
        self.weights = gauge(
            "weights_load_seconds", "Time in which a model's weights came", "model", "group", "origin"
        )
        self.plan = gauge("plan_info", "The plan that is served", "plan_id", "algorithm")
        self.predicted = gauge("plan_predicted_attainment_ratio", "SLO attainment the plan promised", "model")
        self.build = gauge("build_info", "Versions", "version", "jax", "ray", "python")
