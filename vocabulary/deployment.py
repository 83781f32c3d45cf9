"""A deployment as decisions need it: the fleet's models, cluster and policies, every default in one place.

Parsed from YAML by `vocabulary.formats`; field names are the keys of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vocabulary.catalog import Catalog, LatencyModel
from vocabulary.elasticity import Autoscaling, OnDemand, Replanning
from vocabulary.fairness import Fairness
from vocabulary.generation import GenerationSettings
from vocabulary.limits import Limits
from vocabulary.mesh import Cluster
from vocabulary.profile import Profile
from vocabulary.rules import PlacementRules
from vocabulary.security import Security
from vocabulary.steps import RestartPolicy
from vocabulary.tracing import Tracing
from vocabulary.units import NEVER_S
from vocabulary.versions import Split

# What a plan is asked for (`placement.objective`). The first three value a placement on a given cluster and
# trace (`placement/objectives.py`); the others look for the cluster or the traffic (`placement/minimise.py`).
VALUED_OBJECTIVES = ("slo_attainment", "weighted_slo_attainment", "min_model_attainment")
OBJECTIVES = (*VALUED_OBJECTIVES, "min_devices", "min_cost", "max_rate_scale")


@dataclass(frozen=True, slots=True)
class Policy:
    """What `serving.policy` chooses. `slack_s` is subtracted from the SLO at admission.

    max_overtaken: requests that an order by prefixes takes before one that came earlier.
    """

    router: str = "prefix_affinity"
    queue: str = "fcfs"
    admission: str = "slo"
    slack_s: float = 0.0
    batching: str = "none"
    max_batch_size: int = 16
    max_queued_requests: int = 100_000
    fairness: Fairness = Fairness()
    max_overtaken: int = 1000

    @property
    def one_shot_router(self) -> str:
        """What routes requests that find nothing in a cache: there, affinity is the shortest delay."""
        return "shortest_expected_delay" if self.router == "prefix_affinity" else self.router


@dataclass(frozen=True, slots=True)
class Parallelism:
    """Configurations that the search may choose; empty tuples allow whatever the profile has."""

    tensor: tuple[int, ...] = ()
    pipeline: tuple[int, ...] = ()
    max_devices: int | None = None
    cross_node: bool = True


@dataclass(frozen=True, slots=True)
class Slo:
    """What a good answer keeps; None is no objective. attainment: the share of good answers asked for.

    latency_s: from arrival to the end; of a model that generates also ttft_s, to the first token, and tpot_s,
    the mean time of each token after it.
    """

    latency_s: float | None = None
    attainment: float | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None

    def scaled(self, scale: float) -> Slo:
        """Every objective that there is, multiplied."""
        latency_s, ttft_s, tpot_s = (
            None if seconds is None else seconds * scale
            for seconds in (self.latency_s, self.ttft_s, self.tpot_s)
        )
        return Slo(latency_s, self.attainment, ttft_s, tpot_s)

    @property
    def is_empty(self) -> bool:
        """Whether every served request is good."""
        return self.latency_s is None and self.ttft_s is None and self.tpot_s is None


@dataclass(frozen=True, slots=True)
class Workload:
    """What is known about the traffic when no trace is given: a Gamma process per model.

    input_tokens, output_tokens: means, of a model that generates.
    """

    rate_rps: float
    cv: float = 1.0
    input_tokens: float = 128.0
    output_tokens: float = 64.0


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model of the fleet. At least one of `profile` and `source` is there.

    profile_path: where the profile is, or is to be; profile_paths: of several, by device type, instead.
    weight: what its attainment counts for under the objective weighted_slo_attainment. task: "generate",
    "one_shot", or "auto": it generates if its profile says what a step costs. max_model_len: tokens of a
    prompt and its answer together; None: as many as the model has positions. dtype: of weights, activations
    and pages, "bfloat16" only where it generates, "auto" is "float32". attention: the backend that a model
    that generates computes it with, "auto" is the best that works.
    """

    name: str
    source: str | None = None
    profile: Profile | None = None
    profile_path: str | None = None
    architecture: str = "auto"
    engine: str = "jax"
    aliases: tuple[str, ...] = ()
    slo: Slo = Slo()
    workload: Workload | None = None
    parallelism: Parallelism = Parallelism()
    min_replicas: int = 0
    max_replicas: int | None = None
    batch_sizes: tuple[int, ...] = (1,)
    sequence_lengths: tuple[int, ...] = (64,)
    generation: GenerationSettings = GenerationSettings()
    weight: float = 1.0
    task: str = "auto"
    max_model_len: int | None = None
    profile_paths: Mapping[str, str] = field(default_factory=dict[str, str])
    dtype: str = "auto"
    attention: str = "auto"
    on_demand: OnDemand = OnDemand()

    @property
    def number_format(self) -> str:
        """What `dtype` comes to."""
        return "float32" if self.dtype == "auto" else self.dtype

    @property
    def is_function(self) -> bool:
        """Whether its source is the user's own Python code."""
        return self.source is not None and self.source.startswith("python://")

    @property
    def generates(self) -> bool:
        """Whether it answers token by token: its profile says what a step costs in every configuration."""
        has_step_times = self.profile is not None and all(
            entry.step_times for entry in self.profile.entries.values()
        )
        return has_step_times and self.task != "one_shot"

    def slo_s(self, latency: LatencyModel) -> float:
        """The latency objective in seconds, infinite without one."""
        return NEVER_S if self.slo.latency_s is None else latency.rounded_s(self.slo.latency_s)


@dataclass(frozen=True, slots=True)
class GrpcEndpoint:
    host: str = "127.0.0.1"
    port: int = 8001
    reflection: bool = True
    max_message_bytes: int = 64 * 2**20


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """The OpenAI-compatible endpoint, the v2 protocol over REST, and the live page at `/`."""

    is_enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 8000
    max_body_bytes: int = 64 * 2**20
    has_live_page: bool = True


@dataclass(frozen=True, slots=True)
class MetricsEndpoint:
    """compat: further names for some families, `vllm` or `triton`."""

    host: str = "127.0.0.1"
    port: int = 8002
    compat: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drain:
    readiness_lead_s: float = 0.0
    graceful_shutdown_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Health:
    """When something counts as dead. beat_timeout_s: without a beat for so long, a worker is killed.

    orphan_grace_s: workers, and a Ray of ours, wait so long for another controller when theirs has died.
    node_timeout_s: a group whose host is gone for so long is planned anew, on the others.
    """

    beat_interval_s: float = 0.2
    beat_timeout_s: float = 5.0
    orphan_grace_s: float = 30.0
    node_timeout_s: float = 10.0
    restarts: RestartPolicy = RestartPolicy()


@dataclass(frozen=True, slots=True)
class Journaling:
    """What goes into the journal. requests: lines of "all" requests, of the "refused" (all that were not
    served), or of "none". max_rows: of requests, and of events; the oldest go."""

    requests: str = "all"
    max_rows: int = 1_000_000


@dataclass(frozen=True)
class Deployment:
    """Everything a file says, defaulted. `accepted_only` names keys that are read but have no effect yet.

    `folder` is where relative paths of the file start; `document` is the file with variables and `--set`
    filled in; `warnings` are sentences about what is valid but looks unintended. `splits`: of models that
    have versions, each of which is one of `models`.
    """

    name: str
    cluster: Cluster
    models: tuple[ModelSpec, ...]
    policy: Policy = Policy()
    latency: LatencyModel = LatencyModel()
    grpc: GrpcEndpoint = GrpcEndpoint()
    http: HttpEndpoint = HttpEndpoint()
    metrics: MetricsEndpoint = MetricsEndpoint()
    limits: Limits = Limits()
    drain: Drain = Drain()
    health: Health = Health()
    front_ends: int = 1
    journal: Journaling = Journaling()
    tracing: Tracing = Tracing()
    count_activations: bool = False
    algorithm: str = "auto"
    beam_width: int = 3
    seed: int = 0
    time_budget_s: float | None = None
    objective: str = "slo_attainment"
    rules: PlacementRules = PlacementRules()
    replanning: Replanning = Replanning()
    autoscaling: Autoscaling = Autoscaling()
    splits: tuple[Split, ...] = ()
    ray_address: str = "local"
    log_format: str = "auto"
    log_level: str = "info"
    security: Security = Security()
    folder: str = "."
    accepted_only: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    document: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)

    @property
    def model_names(self) -> tuple[str, ...]:
        return tuple(model.name for model in self.models)

    def model(self, name: str) -> ModelSpec:
        found = next((model for model in self.models if model.name == name), None)
        if found is None:  # a StopIteration would end whatever is iterated round it
            raise KeyError(name)
        return found

    def catalog(self) -> Catalog:
        """Costs of the models that have a profile."""
        profiles = {model.name: model.profile for model in self.models if model.profile is not None}
        return Catalog(profiles, self.latency, self.cluster.links)
