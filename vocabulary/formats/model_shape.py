"""The shape of one model in a deployment file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from vocabulary.deployment import ModelSpec, Workload
from vocabulary.formats import later_shapes as later
from vocabulary.formats.elasticity_shape import OnDemandShape
from vocabulary.formats.no_effect import NoEffect
from vocabulary.formats.shapes import Count, Name, NaturalNumber, NonNegative, Number, Positive, Shape

_MODEL = ModelSpec(name="default")
_WORKLOAD = Workload(rate_rps=0.0)
Sizes = Annotated[
    tuple[Count, ...],
    Field(min_length=1, max_length=64),
    BeforeValidator(lambda value: [value] if isinstance(value, int) else value, json_schema_input_type=Any),
]


class ProfileReference(Shape):
    """Where a model's profile is: a path, or in a cluster of several device types a path for each.

    paths: each profile says its own type. by_device_type: `profile: {V100: a.json}` for short.
    `estimate` is for a later version.
    """

    path: str | None = None
    paths: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    by_device_type: Annotated[dict[Name, str], Field(min_length=1)] | None = None
    estimate: Annotated[Any, NoEffect()] = None


def _profile_spelled_out(value: object) -> object:
    """`profile: PATH`, `profile: [PATH, ...]`, and `profile: {DEVICE TYPE: PATH, ...}`."""
    if isinstance(value, list):
        return {"paths": value}
    if not isinstance(value, dict):
        return {"path": value}
    is_by_type = value and not set(value) & set(ProfileReference.model_fields)
    return {"by_device_type": value} if is_by_type else value


class ParallelismShape(Shape):
    """What the search may choose from; all that the profile has when left out."""

    tensor: Sizes | None = None
    pipeline: Sizes | None = None
    max_devices: Count | None = None
    cross_node: bool = _MODEL.parallelism.cross_node


class ReplicasShape(Shape):
    min: NaturalNumber = _MODEL.min_replicas
    max: Count | None = _MODEL.max_replicas


class SloShape(Shape):
    latency_ms: Positive | None = None
    ttft_ms: Positive | None = None
    tpot_ms: Positive | None = None
    attainment: Annotated[Number, Field(gt=0, le=1)] | None = None


class LengthsShape(Shape):
    """Tokens of prompts or answers. Only the mean is heeded so far."""

    mean: Positive
    p50: Annotated[Positive | None, NoEffect()] = None
    p90: Annotated[Positive | None, NoEffect()] = None
    p95: Annotated[Positive | None, NoEffect()] = None
    p99: Annotated[Positive | None, NoEffect()] = None
    max: Annotated[Positive | None, NoEffect()] = None


class WorkloadShape(Shape):
    rate_rps: NonNegative
    cv: NonNegative = 1.0
    input_tokens: LengthsShape = LengthsShape(mean=_WORKLOAD.input_tokens)
    output_tokens: LengthsShape = LengthsShape(mean=_WORKLOAD.output_tokens)


_AUTO_IS_NONE = BeforeValidator(
    lambda value: None if value == "auto" else value, json_schema_input_type=float | Literal["auto"] | None
)


class ModelBatchingShape(Shape):
    """Of a model that generates: sequences that run at once, tokens that a step computes."""

    max_batch_size: Count | None = None
    max_batch_tokens: Count | None = None
    max_wait_ms: Annotated[NonNegative | None, NoEffect()] = None
    chunked_prompts: bool | None = None


class KvCacheShape(Shape):
    """Of a model that generates. num_pages: on every group, of block_size tokens each.

    Without it: memory_fraction of what the weights of all models of the group leave free, the tightest stage
    deciding; `auto` is an equal part of what is left by models that name theirs. num_host_pages: of as many
    tokens each, in the memory of the host, for the pages of preempted sequences. eviction: which unused pages
    of cached prefixes go first, those used longest ago or those that cost least to compute again.
    """

    memory_fraction: Annotated[Annotated[Number, Field(gt=0, le=1)] | None, _AUTO_IS_NONE] = None
    num_pages: Count | None = None
    block_size: Count | None = None
    prefix_caching: bool | None = None
    reserve_output: bool | None = None
    num_host_pages: NaturalNumber | None = None
    eviction: Literal["lru", "cost"] | None = None


class VersionShape(Shape):
    """What a version of a model has otherwise than the model."""

    source: Annotated[str, Field(min_length=1)] | None = None
    revision: Annotated[str | None, NoEffect()] = None
    architecture: Literal["auto", "bert", "gpt2", "llama", "mistral", "mixtral", "opt", "qwen2", "qwen3"] = (
        _MODEL.architecture
    )
    engine: Literal["jax", "emulated"] = _MODEL.engine
    dtype: Literal["auto", "float32", "bfloat16"] = _MODEL.dtype
    attention: Literal["auto", "xla", "pallas_gpu", "cudnn"] = _MODEL.attention
    quantization: Annotated[str | None, NoEffect(("none",))] = None
    task: Literal["auto", "generate", "one_shot"] = _MODEL.task
    max_model_len: Count | None = _MODEL.max_model_len
    tokenizer: Annotated[str | None, NoEffect(("auto",))] = None
    chat_template: Annotated[str | None, NoEffect(("auto",))] = None
    profile: (
        Annotated[
            ProfileReference,
            BeforeValidator(
                _profile_spelled_out,
                json_schema_input_type=ProfileReference | str | tuple[str, ...] | dict[Name, str],
            ),
        ]
        | None
    ) = None
    parallelism: ParallelismShape = ParallelismShape.model_construct()
    replicas: ReplicasShape = ReplicasShape.model_construct()
    batch_sizes: Sizes = _MODEL.batch_sizes
    sequence_lengths: Sizes = _MODEL.sequence_lengths
    batching: ModelBatchingShape = ModelBatchingShape.model_construct()
    kv_cache: KvCacheShape = KvCacheShape.model_construct()
    slo: SloShape = SloShape.model_construct()
    weight: Positive = _MODEL.weight
    workload: WorkloadShape | None = None
    priority_class: Annotated[str | None, NoEffect()] = None
    adapters: Annotated[tuple[later.Adapter, ...], NoEffect()] = ()
    max_resident_adapters: Annotated[NaturalNumber | None, NoEffect()] = None
    on_demand: OnDemandShape = OnDemandShape.model_construct()


class ModelShape(VersionShape):
    """At least one of `source` and `profile` is needed, of the model or of each of its versions.

    versions: each a model of its own, `name@version`. split: weights of calls that name no version, all to
    the first without it; split_by: whose calls stay together.
    """

    name: Name
    aliases: tuple[Name, ...] = ()
    versions: Annotated[dict[Name, VersionShape], Field(min_length=1, max_length=100)] | None = None
    split: dict[Name, NonNegative] | None = None
    split_by: Literal["request", "tenant"] = "request"
