"""What the fleet counts: Prometheus families, and the totals that clients ask for per model."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import final

from prometheus_client import CollectorRegistry

from controller.calls import InferReply, ModelStatistics, Reason, Refusal
from controller.compat_metrics import CompatMetrics
from controller.grpc_v2.refusals import STATUS
from controller.metric_families import (
    BATCH_SIZE,
    BUILD,
    DURATION,
    EXECUTE_DURATION,
    FIRST_TOKEN,
    INPUT_TOKENS,
    INTER_TOKEN,
    LOAD_DURATION,
    MET,
    MISSED,
    OBJECTIVES,
    OUTPUT_TOKENS,
    PLAN,
    PREDICTED,
    PREDICTION_ERROR,
    QUEUE_DURATION,
    REJECTED,
    REQUESTS,
    RESHARD_BYTES,
    RETRIED,
    WEIGHTS_LOAD,
    counted,
)
from controller.metric_family import Family
from controller.plan_facts import PlanFacts
from controller.token_streams import Ended
from controller.watched_groups import Watched, WatchedGroups
from vocabulary.deployment import Deployment
from vocabulary.request import Request
from vocabulary.units import NEVER_S, TIME_TOLERANCE_S
from workers.frames import Done
from workers.multicast import STORE, Load

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
    Reason.INVALID_REQUEST: "invalid",
    Reason.CONTEXT_LENGTH_EXCEEDED: "invalid",
    Reason.UNKNOWN_MODEL: "invalid",
    Reason.UNKNOWN_VERSION: "invalid",
    Reason.UNSUPPORTED: "invalid",
    Reason.UNAUTHENTICATED: "auth",
    Reason.PERMISSION_DENIED: "auth",
}
# What says nothing of how well the fleet keeps its objectives.
_CLIENTS_FAULT = (
    Reason.CANCELLED,
    Reason.INVALID_TENSOR,
    Reason.INVALID_PARAMETER,
    Reason.CONTEXT_LENGTH_EXCEEDED,
)


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


@dataclass(frozen=True, slots=True)
class Judged:
    """How many requests met their objective, and how many did not."""

    num_met: int = 0
    num_missed: int = 0

    @property
    def attainment(self) -> float | None:
        """Share of those that met it; None without any."""
        num_judged = self.num_met + self.num_missed
        return self.num_met / num_judged if num_judged else None

    def __add__(self, other: Judged) -> Judged:
        return Judged(self.num_met + other.num_met, self.num_missed + other.num_missed)


@final
class FleetMetrics:
    """One per fleet, with a registry of its own. Labels hold models, groups and codes, never ids."""

    def __init__(self, model_names: Sequence[str]) -> None:
        self.registry = CollectorRegistry()
        self._totals = defaultdict(_Totals, {name: _Totals() for name in model_names})
        self._children: dict[tuple[object, ...], object] = {}
        self._made = {family: family.made(self.registry) for family in counted()}
        # Of each group, how often it was lost.
        self._losses: Counter[str] = Counter()
        # Of each group, the loads that were counted: workers tell of all that they had.
        self._loads: dict[str, frozenset[Load]] = {}
        versions = (version("statmux"), _version("jax"), _version("ray"), python_version())
        self._child(BUILD, *versions).set(1)

    def answered(
        self,
        request: Request,
        answer: InferReply | Ended | Refusal,
        *,
        done: object,
        group: str,
        predicted_finish_s: float,
        now_s: float,
        protocol: str = "grpc_v2",
    ) -> None:
        """Count one finished request. `done` is the worker's answer, None when no worker had it.

        predicted_finish_s: when the last stage was to end, as predicted when the request was forwarded.
        """
        latency_s = now_s - request.arrival_s
        model = request.model
        if isinstance(answer, Refusal):
            self._refused(request, answer, latency_s)
            self._count(model, protocol, STATUS[answer.reason].name)
            return
        self._served(request, latency_s, group)
        if isinstance(done, Done):
            self._executed(request, done, group, predicted_finish_s)
        self._count(model, protocol, "OK")

    def turned_away(self, model: str, refusal: Refusal, *, protocol: str = "grpc_v2") -> None:
        """Count a call that was refused for its form: it says nothing of latency or objectives.

        model: "" where it is not known.
        """
        self._rejected(model, refusal)
        self._count(model, protocol, STATUS[refusal.reason].name)

    def token_came(self, model: str, gap_s: float) -> None:
        """A step gave a request more, so long after the one before."""
        self._child(INTER_TOKEN, model).observe(gap_s)

    def generated(
        self,
        request: Request,
        answer: Ended | Refusal,
        *,
        first_token_s: float,
        last_token_s: float,
        num_tokens: int,
        now_s: float,
    ) -> None:
        """Count what a request of a model that generates was given, after `answered`."""
        model = request.model
        if num_tokens:
            self._child(FIRST_TOKEN, model).observe(first_token_s - request.arrival_s)
            self._child(OUTPUT_TOKENS, model).inc(num_tokens)
        if isinstance(answer, Ended):
            self._child(INPUT_TOKENS, model).inc(request.input_tokens)
            num_gaps = num_tokens // request.num_samples - 1
            pace_s = (last_token_s - first_token_s) / num_gaps if num_gaps > 0 else 0.0
            took = (now_s - request.arrival_s, first_token_s - request.arrival_s, pace_s)
        elif answer.reason in _CLIENTS_FAULT:
            return
        else:
            took = (NEVER_S, NEVER_S, NEVER_S)
        asked = (request.slo_s, request.ttft_s, request.tpot_s)
        self._judge(model, dict(zip(("latency", "ttft", "tpot"), zip(took, asked, strict=True), strict=True)))

    def retried(self, model: str) -> None:
        """A request whose group was lost before it began was given to another."""
        self._child(RETRIED, model).inc()

    def group_lost(self, group: str) -> None:
        self._losses[group] += 1

    def weights_loaded(self, group: str, loads: Sequence[Load]) -> None:
        """How long the group's models took to get their weights and to be ready, and from where.

        loads: all that the group's worker had since it started; each is counted once.
        """
        for load in loads:
            if load not in self._loads.get(group, ()):
                self._loaded(group, load)
        self._loads[group] = frozenset(loads)

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

    def judged(self, model: str) -> Judged:
        """The model's requests that had an objective."""
        totals = self._totals[model]
        return Judged(totals.num_met, totals.num_missed)

    def attainment(self, model: str) -> float | None:
        """Share of the model's requests that met their objective so far; None before the first with one."""
        return self.judged(model).attainment

    def prediction_error(self, model: str) -> float | None:
        """Mean of observed over predicted time until the last stage ended; None before the first."""
        totals = self._totals[model]
        return totals.prediction_error_sum / totals.num_predicted if totals.num_predicted else None

    def watch(self, groups: Watched) -> None:
        """Families that read each group's last heartbeat and its models' states when they are scraped."""
        self.expect(groups.deployment)
        self.registry.register(WatchedGroups(groups, losses=self._losses))
        compat = groups.deployment.metrics.compat
        if compat:
            self.registry.register(CompatMetrics(self.registry, compat))

    def expect(self, deployment: Deployment) -> None:
        """Rates see no first step from nothing: what alerts are made of is there before it happens."""
        for model in deployment.models:
            self._child(RETRIED, model.name)
            slo = model.slo
            asked = zip(OBJECTIVES, (slo.latency_s, slo.ttft_s, slo.tpot_s), strict=True)
            for objective in (name for name, seconds in asked if seconds is not None):
                self._child(MET, model.name, objective)
                self._child(MISSED, model.name, objective)

    def plan(self, facts: PlanFacts) -> None:
        """What is served from now on: the plan's identity and what it promised per model."""
        for family in (PLAN, PREDICTED):
            self._made[family].clear()
        self._made[PLAN].labels(facts.id, facts.algorithm).set(1)
        for model, attainment in facts.predicted.items():
            self._made[PREDICTED].labels(model).set(attainment)

    def _loaded(self, group: str, load: Load) -> None:
        is_stored = load.origin == STORE
        self._child(WEIGHTS_LOAD, load.model, group, STORE if is_stored else "replica").set(load.seconds)
        self._child(LOAD_DURATION, load.model, group).observe(load.seconds + load.compile_s)
        self._child(RESHARD_BYTES, load.model, group).inc(0 if is_stored else load.num_bytes)

    def _served(self, request: Request, latency_s: float, group: str) -> None:
        self._child(DURATION, request.model, group).observe(latency_s)
        totals = self._totals[request.model]
        totals.num_served += 1
        totals.served_s += latency_s
        totals.last_unix_s = time.time()
        if not request.generates:
            self._judge(request.model, {"latency": (latency_s, request.slo_s)})

    def _executed(self, request: Request, done: Done, group: str, predicted_finish_s: float) -> None:
        queue_s, execute_s = done.start_s - request.arrival_s, done.finish_s - done.start_s
        totals = self._totals[request.model]
        totals.queue_s += queue_s
        totals.execute_s += execute_s
        self._child(QUEUE_DURATION, request.model, group).observe(queue_s)
        self._child(EXECUTE_DURATION, request.model, group).observe(execute_s)
        self._child(BATCH_SIZE, request.model, group).observe(done.batch_size)
        predicted_s = predicted_finish_s - request.arrival_s
        if 0 < predicted_s < NEVER_S:
            observed_s = done.finish_s - request.arrival_s
            ratio = observed_s / predicted_s
            totals.num_predicted += 1
            totals.prediction_error_sum += ratio
            self._child(PREDICTION_ERROR, request.model, group).observe(ratio)

    def _refused(self, request: Request, refusal: Refusal, latency_s: float) -> None:
        totals = self._totals[request.model]
        totals.num_failed += 1
        totals.failed_s += latency_s
        self._rejected(request.model, refusal)
        if not request.generates and refusal.reason not in _CLIENTS_FAULT:
            self._judge(request.model, {"latency": (NEVER_S, request.slo_s)})

    def _rejected(self, model: str, refusal: Refusal) -> None:
        if refusal.reason in _REJECTED:
            self._child(REJECTED, model, _REJECTED[refusal.reason]).inc()

    def _count(self, model: str, protocol: str, code: str) -> None:
        self._child(REQUESTS, model, protocol, code, "default").inc()

    def _judge(self, model: str, objectives: Mapping[str, tuple[float, float]]) -> None:
        """objectives: how long it took and what was asked for, infinite for nothing. A request that keeps all
        that it has is one that met them."""
        is_met = [
            (name, took_s <= asked_s + TIME_TOLERANCE_S)
            for name, (took_s, asked_s) in objectives.items()
            if asked_s != NEVER_S
        ]
        if not is_met:
            return
        for name, one in is_met:
            # Both are there from the first on: a ratio of one that is there and one that is not is none.
            met, missed = self._child(MET, model, name), self._child(MISSED, model, name)
            (met if one else missed).inc()
        totals = self._totals[model]
        if all(one for _, one in is_met):
            totals.num_met += 1
        else:
            totals.num_missed += 1

    def _child(self, family: Family, *labels: str):
        """What counts under these labels, remembered: the look-up in prometheus_client takes a lock."""
        key = (family, *labels)
        child = self._children.get(key)
        if child is None:
            made = self._made[family]
            child = self._children[key] = made.labels(*labels) if labels else made
        return child


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
