"""The shape of a deployment file (conventions 3.5). Defaults come from the nouns, which have each once."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from vocabulary.catalog import LatencyModel
from vocabulary.deployment import (
    Deployment,
    GrpcEndpoint,
    HttpEndpoint,
    MetricsEndpoint,
)
from vocabulary.formats import later_shapes as later
from vocabulary.formats.constraints_shape import ConstraintRule, ConstraintsShape, one_mapping
from vocabulary.formats.elasticity_shape import ReplanShape
from vocabulary.formats.journal_shape import JournalShape
from vocabulary.formats.limits_shape import LimitsShape
from vocabulary.formats.model_shape import ModelShape, Sizes
from vocabulary.formats.no_effect import NoEffect
from vocabulary.formats.security_shape import SecurityShape
from vocabulary.formats.serving_shape import ServingShape
from vocabulary.formats.shapes import (
    Bandwidth,
    Bytes,
    Count,
    Name,
    NaturalNumber,
    NonNegative,
    Number,
    Port,
    Positive,
    Seconds,
    Shape,
    spelled_out,
    told,
)
from vocabulary.formats.tracing_shape import TracingShape
from vocabulary.mesh import Links

_GRPC = GrpcEndpoint()
_HTTP = HttpEndpoint()
_METRICS = MetricsEndpoint()
_LATENCY = LatencyModel()
_FIELDS = Deployment.__dataclass_fields__
# The machine that a file without `cluster.nodes` gets.
DEFAULT_DEVICE_TYPE = "cpu"
DEFAULT_MEMORY_BYTES = 16 * 2**30


# Key paths with a shorthand, and the key that it stands for ("*" is any position of a list).
SHORTHANDS = {
    ("serving", "policy", "admission"): "mode",
    ("cluster", "reserve"): "memory_fraction",
    ("models", "*", "profile"): "path",
    ("security", "auth"): "mode",
}


class MetadataShape(Shape):
    name: Annotated[
        Name,
        told("Of the fleet: its folder (`.statmux/NAME`) and its actors are called after it."),
    ] = "fleet"
    labels: Annotated[
        dict[str, Any] | None, told("Anything you like to keep with the file; nothing reads it.")
    ] = None


class DevicesShape(Shape):
    type: Annotated[Name, told("What profiles are for. A group has devices of one type.")] = (
        DEFAULT_DEVICE_TYPE
    )
    count: Annotated[Count, Field(le=1024), told("Devices of each host.")] = 1
    memory: Annotated[Bytes, told("Of one device, for weights, pages and activations.")]


class NodeShape(Shape):
    """A class of equal hosts; their devices are `<name>-<host index>:<device index>`."""

    name: Annotated[
        Name,
        told(
            "Of the class. Hosts of class n are `n-0`, `n-1`, ..., devices of the first are `n-0:0`, "
            "`n-0:1`, ..."
        ),
    ]
    count: Annotated[Count, Field(le=100_000), told("Hosts of the class.")] = 1
    devices: Annotated[DevicesShape, told("What each host of the class has.")]
    interconnect: Annotated[
        later.Interconnect | None, NoEffect(), told("Links between the devices of a host.")
    ] = None
    host: Annotated[later.Host | None, NoEffect(), told("What a host has besides its devices.")] = None
    labels: Annotated[
        dict[str, Any] | None, told("Anything you like to keep with the class; nothing reads it.")
    ] = None
    cost_per_hour: Annotated[
        NonNegative | None, told("Of one host, in any currency; the objective min_cost needs it.")
    ] = None


class ReserveShape(Shape):
    memory_fraction: Annotated[
        Number, Field(ge=0, lt=1), told("Of every device's memory, kept free. `reserve: 0.1` for short.")
    ] = 0.0
    devices: Annotated[NaturalNumber, told("The last so many devices are left free.")] = 0


class NetworkShape(Shape):
    """Links between hosts, and inside one; what a transfer between hosts takes longer is added to profiles.

    Without bandwidth or latency, that part costs nothing more than inside a host.
    """

    inter_node_bandwidth: Annotated[
        Bandwidth | None,
        told(
            "Between hosts. A stage whose output goes to another host takes longer by the difference to "
            "inside one."
        ),
    ] = None
    latency: Annotated[Seconds, told("Of one transfer between hosts.")] = Links().inter_node_latency_s
    intra_node_bandwidth: Annotated[
        Bandwidth | None, told("Between devices of one host, which profiles contain already.")
    ] = None
    intra_node_latency: Annotated[Seconds, told("Of one transfer inside a host.")] = (
        Links().intra_node_latency_s
    )


class ClusterShape(Shape):
    backend: Annotated[Literal["ray"], NoEffect(("ray",)), told("What starts the processes on hosts.")] = (
        "ray"
    )
    address: Annotated[
        str,
        told(
            "The Ray cluster: `local` starts one here, `auto` finds the one that runs on this host, "
            "`ray://host:port` or `host:port` names one."
        ),
    ] = _FIELDS["ray_address"].default
    nodes: Annotated[
        Annotated[tuple[NodeShape, ...], Field(min_length=1)] | None,
        told("Classes of equal hosts. Without it, one host with one device of type cpu and 16 GiB."),
    ] = None
    network: Annotated[NetworkShape, told("What crossing a host costs. Without it, nothing.")] = (
        NetworkShape.model_construct()
    )
    reserve: Annotated[ReserveShape, spelled_out("memory_fraction"), told("What the search leaves free.")] = (
        ReserveShape.model_construct()
    )


class SearchShape(Shape):
    algorithm: Annotated[
        str,
        told(
            "`auto`, or a published one: mp-search, sr-greedy, clockwork++ ... (`statmux plan "
            "--algorithm` names them)."
        ),
    ] = _FIELDS["algorithm"].default
    beam_width: Annotated[Count, told("Placements that `beam` keeps at each step.")] = _FIELDS[
        "beam_width"
    ].default
    seed: Annotated[
        NaturalNumber,
        told("Of everything that is drawn; equal seeds give equal plans where no time ends the search."),
    ] = _FIELDS["seed"].default
    time_budget_s: Annotated[
        Positive | None, told("How long a search may take; until it has converged without it.")
    ] = _FIELDS["time_budget_s"].default
    group_sizes: Annotated[Sizes | None, NoEffect(), told("Devices of groups that are looked at.")] = None


class PlacementShape(Shape):
    mode: Annotated[
        Literal["auto", "pinned", "file"], NoEffect(("auto",)), told("How a placement comes about.")
    ] = "auto"
    file: Annotated[str | None, NoEffect(), told("A placement to take.")] = None
    objective: Annotated[
        Literal[
            "slo_attainment",
            "weighted_slo_attainment",
            "min_model_attainment",
            "min_devices",
            "min_cost",
            "max_rate_scale",
        ],
        told(
            "`slo_attainment`: of all requests; `weighted_slo_attainment`: mean of the models' by weight;"
            " `min_model_attainment`: of the worst model; `min_devices`, `min_cost`, `max_rate_scale`: "
            "the fewest devices, the cheapest hosts, the fastest traffic that attain what is asked."
        ),
    ] = _FIELDS["objective"].default
    search: Annotated[SearchShape, told("How it is searched for.")] = SearchShape.model_construct()
    count_activations: Annotated[bool, told("Whether activations count against memory beside weights.")] = (
        _FIELDS["count_activations"].default
    )
    constraints: Annotated[
        ConstraintsShape,
        BeforeValidator(one_mapping, json_schema_input_type=ConstraintsShape | tuple[ConstraintRule, ...]),
        told(
            "What no search may break. Also as a list with one rule an entry: `- {colocate: [a, b]}`, `- "
            "{separate: [a, b], by: host}`."
        ),
    ] = ConstraintsShape.model_construct()
    replan: Annotated[ReplanShape, told("When a running fleet is planned anew.")] = (
        ReplanShape.model_construct()
    )


class GrpcShape(Shape):
    enabled: Annotated[bool, NoEffect((True,)), told("Whether there is a gRPC endpoint.")] = True
    host: Annotated[
        str,
        Field(min_length=1),
        told(
            "Address to listen on. Others than loopback need tokens over TLS, client certificates, or "
            "`serve --insecure`."
        ),
    ] = _GRPC.host
    port: Annotated[Port, told("0 takes a free one, which `status` tells.")] = _GRPC.port
    reflection: Annotated[bool, told("Whether grpc.reflection answers.")] = _GRPC.reflection
    max_message: Annotated[Bytes, told("Of one message, either way.")] = _GRPC.max_message_bytes


class HttpShape(Shape):
    enabled: Annotated[
        bool, told("Whether there is an HTTP endpoint: OpenAI's API, v2 over REST, health, admin.")
    ] = _HTTP.is_enabled
    host: Annotated[str, Field(min_length=1), told("Address to listen on; as of gRPC.")] = _HTTP.host
    port: Annotated[Port, told("0 takes a free one, which `status` tells.")] = _HTTP.port
    max_body: Annotated[Bytes, told("Of a request's body.")] = _HTTP.max_body_bytes
    live_page: Annotated[
        bool,
        Field(description="Serve the live page at / and its document at /live/document; false: neither."),
    ] = _HTTP.has_live_page
    openai: Annotated[bool, NoEffect((True,)), told("Whether OpenAI's API is among the routes.")] = True
    v2_rest: Annotated[bool, NoEffect((True,)), told("Whether v2 over REST is among the routes.")] = True


class EndpointsShape(Shape):
    grpc: Annotated[GrpcShape, told("The v2 inference protocol.")] = GrpcShape.model_construct()
    http: Annotated[HttpShape, told("OpenAI's API and v2 over REST.")] = HttpShape.model_construct()
    limits: Annotated[
        LimitsShape, told("Of each endpoint. Beyond one, a client is refused or its connection ends.")
    ] = LimitsShape.model_construct()


class MetricsShape(Shape):
    host: Annotated[
        str,
        Field(min_length=1),
        told("Address to listen on. Beyond this machine a token with the scope metrics or admin is needed."),
    ] = _METRICS.host
    port: Annotated[Port, told("Further front ends take the ports after it.")] = _METRICS.port
    compat: Annotated[
        tuple[Literal["vllm", "triton"], ...],
        told("Servers whose names for some metrics are given besides, for dashboards made for these."),
    ] = ()


class LogsShape(Shape):
    format: Annotated[
        Literal["auto", "console", "json"], told("`auto`: `console` on a terminal, else `json`.")
    ] = _FIELDS["log_format"].default
    level: Annotated[
        Literal["debug", "info", "warning", "error"], told("The least important that is written.")
    ] = _FIELDS["log_level"].default
    access: Annotated[bool | None, NoEffect(), told("A line for each call.")] = None


class ObservabilityShape(Shape):
    metrics: Annotated[MetricsShape, told("For Prometheus.")] = MetricsShape.model_construct()
    tracing: Annotated[TracingShape, told("Spans of requests, sent to a collector.")] = (
        TracingShape.model_construct()
    )
    logs: Annotated[LogsShape, told("On stderr.")] = LogsShape.model_construct()
    journal: Annotated[
        JournalShape, told("The record of requests and decisions, in .statmux/<fleet>/journal.db.")
    ] = JournalShape.model_construct()
    record: Annotated[later.Record | None, NoEffect(), told("Requests as they were.")] = None


class SimulationShape(Shape):
    """Two terms of the AlpaServe artifact's latency model, on every stage and after the last."""

    stage_scale_per_stage: Annotated[
        NonNegative,
        told(
            "Share that each stage is slower by for every further stage of its pipeline; 0 without "
            "AlpaServe's artifact."
        ),
    ] = _LATENCY.stage_scale_per_stage
    fixed_overhead_s: Annotated[
        NonNegative,
        told(
            "Added after the last stage: network, framing, client. `statmux bench --calibrate` measures it."
        ),
    ] = _LATENCY.fixed_overhead_s


class DeploymentShape(Shape):
    """A fleet: the cluster, the models, and the policies that serve them."""

    kind_name: ClassVar[str] = "deployment"

    api_version: Annotated[Literal["v1alpha1"], told("Of the format.")] = "v1alpha1"
    kind: Annotated[Literal["Deployment"], told("Of the file.")] = "Deployment"
    metadata: Annotated[MetadataShape, told("What the fleet is called.")] = MetadataShape.model_construct()
    cluster: Annotated[ClusterShape, told("Hosts, devices and links.")] = ClusterShape.model_construct()
    models: Annotated[tuple[ModelShape, ...], Field(min_length=1, max_length=10_000), told("What is served.")]
    serving: Annotated[ServingShape, told("Policies, health and draining.")] = ServingShape.model_construct()
    placement: Annotated[PlacementShape, told("What is searched for, and when again.")] = (
        PlacementShape.model_construct()
    )
    endpoints: Annotated[EndpointsShape, told("Where clients come in.")] = EndpointsShape.model_construct()
    observability: Annotated[ObservabilityShape, told("What is told about the fleet.")] = (
        ObservabilityShape.model_construct()
    )
    security: Annotated[SecurityShape, told("Certificates, tokens, and what is trusted.")] = (
        SecurityShape.model_construct()
    )
    simulation: Annotated[SimulationShape, told("Terms of the latency model beside the profile.")] = (
        SimulationShape.model_construct()
    )
