"""What the fleet counts: Prometheus families, and the totals that clients ask for per model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily

from controller.calls import InferReply, ModelState, ModelStatistics, Reason, Refusal
from controller.grpc_v2.refusals import STATUS
from controller.plan_facts import PlanFacts
from vocabulary.placement import Placement
from vocabulary.request import Request
from vocabulary.units import NEVER_S, TIME_TOLERANCE_S
from workers.frames import Done
from workers.multicast import STORE, Load

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
_RATIOS = (0.5, 0.8, 0.9, 0.95, 0.98, 1.0, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 5.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
# Reasons whose refusals are counted as rejected, with the value of the `reason` label.
_REJECTED = {
    Reason.QUEUE_FULL: "queue_full",
    Reason.SLO_INFEASIBLE: "slo_infeasible",
    Reason.NOT_PLACED: "not_placed",
    Reason.NOT_LOADED: "not_loaded",
    Reason.UNAVAILABLE: "not_ready",
    Reason.DRAINING: "draining",
    Reason.INVALID_TENSOR: "invalid",
    Reason.INVALID_PARAMETER: "invalid",
    Reason.UNSUPPORTED: "invalid",
}
# What says nothing of how well the fleet keeps its objectives.
_CLIENTS_FAULT = (Reason.CANCELLED, Reason.INVALID_TENSOR)


@dataclass(slots=True)
class _Totals:
    num_served: int = 0
    num_failed: int = 0
    served_s: float = 0.0
    failed_s: float = 0.0
    queue_s: float = 0.0
    execute_s: float = 0.0
    last_unix_s: float = 0.0
    num_met: int = 0
    num_missed: int = 0
    num_predicted: int = 0
    prediction_error_sum: float = 0.0


@final
class FleetMetrics:
    """One per fleet, with a registry of its own. Labels hold models, groups and codes, never ids."""

    def __init__(self, model_names: Sequence[str], *, protocol: str = "grpc_v2") -> None:
        self.registry = CollectorRegistry()
        self._protocol = protocol
        self._totals = {name: _Totals() for name in model_names}
        self._children: dict[tuple[object, ...], object] = {}
        new = _Families(self.registry)
        self._families = new
        new.build.labels(version("statmux"), _version("jax"), _version("ray"), python_version()).set(1)

    def answered(
        self,
        request: Request,
        answer: InferReply | Refusal,
        *,
        done: object,
        group: str,
        predicted_finish_s: float,
        now_s: float,
    ) -> None:
        """Count one finished request. `done` is the worker's answer, None when no worker had it.

        predicted_finish_s: when the last stage was to end, as predicted when the request was forwarded.
        """
        latency_s = now_s - request.arrival_s
        model = request.model
        if isinstance(answer, InferReply):
            self._served(request, latency_s, group)
            if isinstance(done, Done):
                self._executed(request, done, group, predicted_finish_s)
        else:
            self._refused(request, answer, latency_s)
        self._count(model, "OK" if isinstance(answer, InferReply) else STATUS[answer.reason].name)

    def turned_away(self, model: str, refusal: Refusal) -> None:
        """Count a call that was refused for its form: it says nothing of latency or objectives."""
        self._rejected(model, refusal)
        self._count(model, STATUS[refusal.reason].name)

    def group_lost(self, group: str) -> None:
        self._child(self._families.groups_lost, group).inc()

    def weights_loaded(self, group: str, loads: Sequence[Load]) -> None:
        """How long the group's models took to get their weights, and from where."""
        for load in loads:
            origin = STORE if load.origin == STORE else "replica"
            self._families.weights.labels(load.model, group, origin).set(load.seconds)

    def statistics(self, model: str) -> ModelStatistics:
        totals = self._totals[model]
        return ModelStatistics(
            num_served=totals.num_served,
            num_failed=totals.num_failed,
            num_batches=totals.num_served,
            served_s=totals.served_s,
            failed_s=totals.failed_s,
            queue_s=totals.queue_s,
            execute_s=totals.execute_s,
            last_inference_s=totals.last_unix_s,
        )

    def attainment(self, model: str) -> float | None:
        """Share of the model's requests that met their objective so far; None before the first with one."""
        totals = self._totals[model]
        num_judged = totals.num_met + totals.num_missed
        return totals.num_met / num_judged if num_judged else None

    def prediction_error(self, model: str) -> float | None:
        """Mean of observed over predicted time until the last stage ended; None before the first."""
        totals = self._totals[model]
        return totals.prediction_error_sum / totals.num_predicted if totals.num_predicted else None

    def watch_groups(
        self,
        placement: Placement,
        *,
        waiting: Callable[[int], float],
        running: Callable[[int], float],
        stage_busy_s: Callable[[int], Sequence[float]],
    ) -> None:
        """Families that read the group's last heartbeat when they are scraped."""
        self.registry.register(_StageBusy(placement, stage_busy_s))
        for index, group in enumerate(placement.groups):
            self._families.queue.labels(group.id).set_function(lambda index=index: waiting(index))
            self._families.running.labels(group.id).set_function(lambda index=index: running(index))

    def watch_models(self, placement: Placement, state: Callable[[str], ModelState]) -> None:
        """One gauge a model, group and state: 1 for the state that it is in."""
        for group in placement.groups:
            for model in group.models:
                for each in ModelState:
                    gauge = self._families.model_state.labels(model, group.id, each.value)
                    gauge.set_function(lambda model=model, each=each: float(state(model) is each))

    def plan(self, facts: PlanFacts) -> None:
        """What is served: the plan's identity and what it promised per model."""
        self._families.plan.labels(facts.id, facts.algorithm).set(1)
        for model, attainment in facts.predicted.items():
            self._families.predicted.labels(model).set(attainment)

    def _served(self, request: Request, latency_s: float, group: str) -> None:
        self._child(self._families.duration, request.model, group).observe(latency_s)
        totals = self._totals[request.model]
        totals.num_served += 1
        totals.served_s += latency_s
        totals.last_unix_s = time.time()
        if request.slo_s != NEVER_S:
            self._objective(request, latency_s <= request.slo_s + TIME_TOLERANCE_S)

    def _executed(self, request: Request, done: Done, group: str, predicted_finish_s: float) -> None:
        queue_s, execute_s = done.start_s - request.arrival_s, done.finish_s - done.start_s
        totals = self._totals[request.model]
        totals.queue_s += queue_s
        totals.execute_s += execute_s
        families = self._families
        self._child(families.queue_duration, request.model, group).observe(queue_s)
        self._child(families.execute_duration, request.model, group).observe(execute_s)
        self._child(families.batch_size, request.model, group).observe(done.batch_size)
        predicted_s = predicted_finish_s - request.arrival_s
        if 0 < predicted_s < NEVER_S:
            observed_s = done.finish_s - request.arrival_s
            ratio = observed_s / predicted_s
            totals.num_predicted += 1
            totals.prediction_error_sum += ratio
            self._child(families.prediction_error, request.model, group).observe(ratio)

    def _refused(self, request: Request, refusal: Refusal, latency_s: float) -> None:
        totals = self._totals[request.model]
        totals.num_failed += 1
        totals.failed_s += latency_s
        self._rejected(request.model, refusal)
        if request.slo_s != NEVER_S and refusal.reason not in _CLIENTS_FAULT:
            self._objective(request, False)

    def _rejected(self, model: str, refusal: Refusal) -> None:
        if refusal.reason in _REJECTED:
            self._child(self._families.rejected, model, _REJECTED[refusal.reason]).inc()

    def _count(self, model: str, code: str) -> None:
        self._child(self._families.requests, model, self._protocol, code, "default").inc()

    def _objective(self, request: Request, is_met: bool) -> None:
        totals = self._totals[request.model]
        if is_met:
            totals.num_met += 1
            self._child(self._families.met, request.model, "latency").inc()
        else:
            totals.num_missed += 1
            self._child(self._families.missed, request.model, "latency").inc()

    def _child(self, family, *labels: str):
        """`family.labels(*labels)`, remembered: the look-up in prometheus_client takes a lock and a join."""
        key = (family, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = family.labels(*labels)
        return child


@final
class _StageBusy:
    """statmux_group_stage_busy_seconds_total: what workers count themselves."""

    def __init__(self, placement: Placement, stage_busy_s: Callable[[int], Sequence[float]]) -> None:
        self._placement = placement
        self._stage_busy_s = stage_busy_s

    def collect(self) -> Iterator[CounterMetricFamily]:
        """What prometheus_client asks of a collector."""
        words = "Seconds that the stage has worked"
        family = CounterMetricFamily("statmux_group_stage_busy_seconds", words, labels=("group", "stage"))
        for index, group in enumerate(self._placement.groups):
            for stage, busy_s in enumerate(self._stage_busy_s(index)):
                family.add_metric((group.id, str(stage)), busy_s)
        yield family


@final
class _Families:
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
        self.queue = gauge("queue_requests", "Requests that wait in the group", "group")
        self.running = gauge("running_requests", "Requests that run in the group", "group")
        self.model_state = gauge("model_state", "1 for the state a model is in", "model", "group", "state")
        self.weights = gauge(
            "weights_load_seconds", "Time in which a model's weights came", "model", "group", "origin"
        )
        self.plan = gauge("plan_info", "The plan that is served", "plan_id", "algorithm")
        self.predicted = gauge("plan_predicted_attainment_ratio", "SLO attainment the plan promised", "model")
        self.build = gauge("build_info", "Versions", "version", "jax", "ray", "python")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
