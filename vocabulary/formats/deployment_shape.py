"""The shape of a deployment file (conventions 3.5). Defaults come from the nouns, which have each once."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from vocabulary.catalog import LatencyModel
from vocabulary.deployment import (
    Deployment,
    Drain,
    GrpcEndpoint,
    HttpEndpoint,
    MetricsEndpoint,
    Policy,
)
from vocabulary.formats import later_shapes as later
from vocabulary.formats.constraints_shape import ConstraintRule, ConstraintsShape, one_mapping
from vocabulary.formats.elasticity_shape import AutoscalingShape, ReplanShape
from vocabulary.formats.health_shape import HealthShape
from vocabulary.formats.journal_shape import JournalShape
from vocabulary.formats.limits_shape import LimitsShape
from vocabulary.formats.model_shape import ModelShape, Sizes
from vocabulary.formats.no_effect import NoEffect
from vocabulary.formats.security_shape import SecurityShape
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
)
from vocabulary.mesh import Links

_POLICY = Policy()
_FAIRNESS = _POLICY.fairness
_GRPC = GrpcEndpoint()
_HTTP = HttpEndpoint()
_METRICS = MetricsEndpoint()
_DRAIN = Drain()
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
    name: Name = "fleet"
    labels: dict[str, Any] | None = None


class DevicesShape(Shape):
    type: Name = DEFAULT_DEVICE_TYPE
    count: Annotated[Count, Field(le=1024)] = 1
    memory: Bytes


class NodeShape(Shape):
    """A class of equal hosts; their devices are `<name>-<host index>:<device index>`."""

    name: Name
    count: Annotated[Count, Field(le=100_000)] = 1
    devices: DevicesShape
    interconnect: Annotated[later.Interconnect | None, NoEffect()] = None
    host: Annotated[later.Host | None, NoEffect()] = None
    labels: dict[str, Any] | None = None
    cost_per_hour: NonNegative | None = None


class ReserveShape(Shape):
    memory_fraction: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    devices: NaturalNumber = 0


class NetworkShape(Shape):
    """Links between hosts, and inside one; what a transfer between hosts takes longer is added to profiles.

    Without bandwidth or latency, that part costs nothing more than inside a host.
    """

    inter_node_bandwidth: Bandwidth | None = None
    latency: Seconds = Links().inter_node_latency_s
    intra_node_bandwidth: Bandwidth | None = None
    intra_node_latency: Seconds = Links().intra_node_latency_s


class ClusterShape(Shape):
    backend: Annotated[Literal["ray"], NoEffect(("ray",))] = "ray"
    address: str = _FIELDS["ray_address"].default
    nodes: Annotated[tuple[NodeShape, ...], Field(min_length=1)] | None = None
    network: NetworkShape = NetworkShape.model_construct()
    reserve: Annotated[ReserveShape, spelled_out("memory_fraction")] = ReserveShape.model_construct()


class AdmissionShape(Shape):
    mode: Literal["none", "slo"] = _POLICY.admission
    slack_ms: NonNegative = _POLICY.slack_s * 1000


class FairnessShape(Shape):
    """Of `queue: vtc`: whose service counts how much."""

    weights: Annotated[dict[Name, Positive], Field(default_factory=dict)]
    input_cost: NonNegative = _FAIRNESS.input_cost
    output_cost: NonNegative = _FAIRNESS.output_cost
    cost: Literal["linear", "profiled", "measured"] = _FAIRNESS.cost
    cached_fraction: Annotated[Number, Field(ge=0, le=1)] = _FAIRNESS.cached_fraction
    within: Literal["fcfs", "longest_prefix"] = _FAIRNESS.within
    predicts_output: bool = _FAIRNESS.predicts_output


class PolicyShape(Shape):
    router: Literal[
        "round_robin",
        "least_loaded",
        "min_stage_clock",
        "shortest_expected_delay",
        "power_of_two",
        "prefix_affinity",
    ] = _POLICY.router
    queue: Literal["fcfs", "edf", "vtc", "longest_prefix", "depth_first"] = _POLICY.queue
    fairness: FairnessShape = FairnessShape.model_construct()
    max_overtaken: Count = _POLICY.max_overtaken
    admission: Annotated[AdmissionShape, spelled_out("mode")] = AdmissionShape.model_construct()
    batching: Literal["none", "deadline"] = _POLICY.batching
    max_batch_size: Count = _POLICY.max_batch_size
    max_queued_requests: Count = _POLICY.max_queued_requests
    default_timeout_s: Annotated[Positive | None, NoEffect()] = None
    on_overload: Annotated[later.OnOverload | None, NoEffect()] = None


class DrainShape(Shape):
    graceful_shutdown_timeout_s: NonNegative = _DRAIN.graceful_shutdown_timeout_s
    readiness_lead_s: NonNegative = _DRAIN.readiness_lead_s


class ServingShape(Shape):
    policy: PolicyShape = PolicyShape.model_construct()
    priority_classes: Annotated[dict[str, Any] | None, NoEffect()] = None
    autoscaling: AutoscalingShape = AutoscalingShape.model_construct()
    drain: DrainShape = DrainShape.model_construct()
    health: HealthShape = HealthShape.model_construct()
    front_ends: Annotated[Count, Field(le=64)] = _FIELDS["front_ends"].default


class SearchShape(Shape):
    algorithm: str = _FIELDS["algorithm"].default
    beam_width: Count = _FIELDS["beam_width"].default
    seed: NaturalNumber = _FIELDS["seed"].default
    time_budget_s: Positive | None = _FIELDS["time_budget_s"].default
    group_sizes: Annotated[Sizes | None, NoEffect()] = None


class PlacementShape(Shape):
    mode: Annotated[Literal["auto", "pinned", "file"], NoEffect(("auto",))] = "auto"
    file: Annotated[str | None, NoEffect()] = None
    objective: Literal[
        "slo_attainment",
        "weighted_slo_attainment",
        "min_model_attainment",
        "min_devices",
        "min_cost",
        "max_rate_scale",
    ] = _FIELDS["objective"].default
    search: SearchShape = SearchShape.model_construct()
    count_activations: bool = _FIELDS["count_activations"].default
    constraints: Annotated[
        ConstraintsShape,
        BeforeValidator(one_mapping, json_schema_input_type=ConstraintsShape | tuple[ConstraintRule, ...]),
    ] = ConstraintsShape.model_construct()
    replan: ReplanShape = ReplanShape.model_construct()


class GrpcShape(Shape):
    enabled: Annotated[bool, NoEffect((True,))] = True
    host: Annotated[str, Field(min_length=1)] = _GRPC.host
    port: Port = _GRPC.port
    reflection: bool = _GRPC.reflection
    max_message: Bytes = _GRPC.max_message_bytes


class HttpShape(Shape):
    enabled: bool = _HTTP.is_enabled
    host: Annotated[str, Field(min_length=1)] = _HTTP.host
    port: Port = _HTTP.port
    max_body: Bytes = _HTTP.max_body_bytes
    live_page: Annotated[
        bool,
        Field(description="Serve the live page at / and its document at /live/document; false: neither."),
    ] = _HTTP.has_live_page
    openai: Annotated[bool, NoEffect((True,))] = True
    v2_rest: Annotated[bool, NoEffect((True,))] = True


class EndpointsShape(Shape):
    grpc: GrpcShape = GrpcShape.model_construct()
    http: HttpShape = HttpShape.model_construct()
    limits: LimitsShape = LimitsShape.model_construct()


class MetricsShape(Shape):
    host: Annotated[str, Field(min_length=1)] = _METRICS.host
    port: Port = _METRICS.port
    compat: Annotated[tuple[str, ...], NoEffect()] = ()


class LogsShape(Shape):
    format: Literal["auto", "console", "json"] = _FIELDS["log_format"].default
    level: Literal["debug", "info", "warning", "error"] = _FIELDS["log_level"].default
    access: Annotated[bool | None, NoEffect()] = None


class ObservabilityShape(Shape):
    metrics: MetricsShape = MetricsShape.model_construct()
    tracing: Annotated[later.Tracing | None, NoEffect((None,), by="otlp_endpoint")] = None
    logs: LogsShape = LogsShape.model_construct()
    journal: JournalShape = JournalShape.model_construct()
    record: Annotated[later.Record | None, NoEffect()] = None


class SimulationShape(Shape):
    """Two terms of the AlpaServe artifact's latency model, on every stage and after the last."""

    stage_scale_per_stage: NonNegative = _LATENCY.stage_scale_per_stage
    fixed_overhead_s: NonNegative = _LATENCY.fixed_overhead_s


class DeploymentShape(Shape):
    """A fleet: the cluster, the models, and the policies that serve them."""

    kind_name: ClassVar[str] = "deployment"

    api_version: Literal["v1alpha1"] = "v1alpha1"
    kind: Literal["Deployment"] = "Deployment"
    metadata: MetadataShape = MetadataShape.model_construct()
    cluster: ClusterShape = ClusterShape.model_construct()
    models: Annotated[tuple[ModelShape, ...], Field(min_length=1, max_length=10_000)]
    serving: ServingShape = ServingShape.model_construct()
    placement: PlacementShape = PlacementShape.model_construct()
    endpoints: EndpointsShape = EndpointsShape.model_construct()
    observability: ObservabilityShape = ObservabilityShape.model_construct()
    security: SecurityShape = SecurityShape.model_construct()
    simulation: SimulationShape = SimulationShape.model_construct()
