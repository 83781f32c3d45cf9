"""`serving` of a deployment file: the policies that decide about requests, health and draining."""

# Defaults are those of the nouns, whose fields are plain texts; the shape says which of them there are.
# pyright: reportAssignmentType=false

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from vocabulary.deployment import Deployment, Drain, Policy
from vocabulary.formats import later_shapes as later
from vocabulary.formats.elasticity_shape import AutoscalingShape
from vocabulary.formats.health_shape import HealthShape
from vocabulary.formats.no_effect import NoEffect
from vocabulary.formats.shapes import Count, Name, NonNegative, Number, Positive, Shape, spelled_out, told

_POLICY = Policy()
_FAIRNESS = _POLICY.fairness
_DRAIN = Drain()
_FIELDS = Deployment.__dataclass_fields__


class AdmissionShape(Shape):
    mode: Annotated[
        Literal["none", "slo"],
        told(
            "`slo` refuses at arrival what is predicted to end late; `none` takes everything. `admission:"
            " slo` for short."
        ),
    ] = _POLICY.admission
    slack_ms: Annotated[
        NonNegative, told("Taken off the SLO at admission: what the prediction may be wrong by.")
    ] = _POLICY.slack_s * 1000


class FairnessShape(Shape):
    """Of `queue: vtc`: whose service counts how much."""

    weights: Annotated[
        dict[Name, Positive],
        Field(default_factory=dict),
        told("By tenant; twice the weight is twice the service. 1 for those without."),
    ]
    input_cost: Annotated[
        NonNegative, told("Service that a token of a prompt counts as, with `cost: linear`.")
    ] = _FAIRNESS.input_cost
    output_cost: Annotated[
        NonNegative, told("Service that a token of an answer counts as, with `cost: linear`.")
    ] = _FAIRNESS.output_cost
    cost: Annotated[
        Literal["linear", "profiled", "measured"],
        told(
            "What service is: `linear` in tokens, `profiled` in seconds by the profile, `measured` in "
            "seconds that the devices took."
        ),
    ] = _FAIRNESS.cost
    cached_fraction: Annotated[
        Number,
        Field(ge=0, le=1),
        told("Of what a token of a prompt counts, for one that the prefix cache had."),
    ] = _FAIRNESS.cached_fraction
    within: Annotated[Literal["fcfs", "longest_prefix"], told("The order of a tenant's own requests.")] = (
        _FAIRNESS.within
    )
    predicts_output: Annotated[
        bool,
        told("Whether an answer counts when it begins, as long as is predicted, instead of token by token."),
    ] = _FAIRNESS.predicts_output


class PolicyShape(Shape):
    router: Annotated[
        Literal[
            "round_robin",
            "least_loaded",
            "min_stage_clock",
            "shortest_expected_delay",
            "power_of_two",
            "prefix_affinity",
        ],
        told(
            "Which group takes a request. `prefix_affinity`: where its answer comes first, a cached "
            "prompt helping; `shortest_expected_delay`: the same without the cache; `power_of_two`: the "
            "better of two drawn; `min_stage_clock`, `least_loaded`, `round_robin`."
        ),
    ] = _POLICY.router
    queue: Annotated[
        Literal["fcfs", "edf", "vtc", "longest_prefix", "depth_first"],
        told(
            "Who is next in a group: `fcfs` first come, `edf` what is due first, `vtc` fair among "
            "tenants, `longest_prefix` and `depth_first` by cached prefixes (the last three of models "
            "that generate)."
        ),
    ] = _POLICY.queue
    fairness: Annotated[FairnessShape, told("Of `queue: vtc`.")] = FairnessShape.model_construct()
    max_overtaken: Annotated[
        Count, told("Requests that an order by prefixes may take before one that came earlier.")
    ] = _POLICY.max_overtaken
    admission: Annotated[
        AdmissionShape,
        spelled_out("mode"),
        told("Whether a request that would be late is refused at arrival."),
    ] = AdmissionShape.model_construct()
    batching: Annotated[
        Literal["none", "deadline"],
        told(
            "`deadline`: the largest batch that keeps every deadline in it; `none`: one request at a "
            "time. Of one-shot requests; models that generate batch by steps."
        ),
    ] = _POLICY.batching
    max_batch_size: Annotated[Count, told("Requests of one batch with `batching: deadline`.")] = (
        _POLICY.max_batch_size
    )
    max_queued_requests: Annotated[
        Count, told("Of the fleet; beyond it requests are refused with QUEUE_FULL.")
    ] = _POLICY.max_queued_requests
    default_timeout_s: Annotated[Positive | None, NoEffect(), told("Of calls without one.")] = None
    on_overload: Annotated[later.OnOverload | None, NoEffect(), told("What refused clients are told.")] = None


class DrainShape(Shape):
    graceful_shutdown_timeout_s: Annotated[
        NonNegative, told("For accepted requests to finish; also of a replica or group that leaves.")
    ] = _DRAIN.graceful_shutdown_timeout_s
    readiness_lead_s: Annotated[NonNegative, told("From readiness off to the refusal of new calls.")] = (
        _DRAIN.readiness_lead_s
    )


class ServingShape(Shape):
    policy: Annotated[PolicyShape, told("What decides about requests.")] = PolicyShape.model_construct()
    priority_classes: Annotated[dict[str, Any] | None, NoEffect(), told("Classes that models may name.")] = (
        None
    )
    autoscaling: Annotated[
        AutoscalingShape, told("Whether plans use as many devices as the traffic needs.")
    ] = AutoscalingShape.model_construct()
    drain: Annotated[DrainShape, told("How the fleet, a group or a replica ends.")] = (
        DrainShape.model_construct()
    )
    health: Annotated[HealthShape, told("When something counts as dead, and how it is built again.")] = (
        HealthShape.model_construct()
    )
    front_ends: Annotated[
        Count,
        Field(le=64),
        told(
            "Processes that answer on the fleet's ports, at most 64; from 4 on take `router: power_of_two`."
        ),
    ] = _FIELDS["front_ends"].default
