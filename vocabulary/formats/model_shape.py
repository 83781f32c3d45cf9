"""The shape of one model in a deployment file."""

# Defaults are those of the nouns, whose fields are plain texts; the shape says which of them there are.
# pyright: reportAssignmentType=false

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from vocabulary.deployment import ModelSpec, Workload
from vocabulary.formats import later_shapes as later
from vocabulary.formats.elasticity_shape import OnDemandShape
from vocabulary.formats.no_effect import NoEffect
from vocabulary.formats.shapes import Count, Name, NaturalNumber, NonNegative, Number, Positive, Shape, told
from vocabulary.formats.untyped import is_dict, is_list

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

    path: Annotated[str | None, told("One profile. `profile: a.json` for short.")] = None
    paths: Annotated[
        Annotated[tuple[str, ...], Field(min_length=1)] | None,
        told("Several, each of which says its device type. `profile: [a.json, b.json]` for short."),
    ] = None
    by_device_type: Annotated[
        Annotated[dict[Name, str], Field(min_length=1)] | None,
        told(
            "Several by type. `profile: {A100: a.json, V100: b.json}` for short. A model is placed on "
            "types that it has a profile for."
        ),
    ] = None
    estimate: Annotated[Any, NoEffect(), told("How to estimate one.")] = None


def _profile_spelled_out(value: object) -> object:
    """`profile: PATH`, `profile: [PATH, ...]`, and `profile: {DEVICE TYPE: PATH, ...}`."""
    if is_list(value):
        return {"paths": value}
    if not is_dict(value):
        return {"path": value}
    is_by_type = value and not set(value) & set(ProfileReference.model_fields)
    return {"by_device_type": value} if is_by_type else value


class ParallelismShape(Shape):
    """What the search may choose from; all that the profile has when left out."""

    tensor: Annotated[
        Sizes | None,
        told(
            "Devices that share an operator: sizes that the search may choose; all that the profile has "
            "without it."
        ),
    ] = None
    pipeline: Annotated[
        Sizes | None,
        told("Numbers of stages that the search may choose; all that the profile has without it."),
    ] = None
    max_devices: Annotated[Count | None, told("Of one group; as many as there are without it.")] = None
    cross_node: Annotated[bool, told("Whether a group may lie on several hosts.")] = (
        _MODEL.parallelism.cross_node
    )


class ReplicasShape(Shape):
    min: Annotated[
        NaturalNumber, told("A plan with fewer is refused, and so is a drain that leaves fewer.")
    ] = _MODEL.min_replicas
    max: Annotated[Count | None, told("Any number without it.")] = _MODEL.max_replicas


class SloShape(Shape):
    latency_ms: Annotated[
        Positive | None,
        told("From arrival to the end of the answer. Without any objective every answer is good."),
    ] = None
    ttft_ms: Annotated[
        Positive | None, told("From arrival to the first token, of a model that generates.")
    ] = None
    tpot_ms: Annotated[
        Positive | None, told("Mean of each token after the first, of a model that generates.")
    ] = None
    attainment: Annotated[
        Annotated[Number, Field(gt=0, le=1)] | None,
        told(
            "Share of good answers that is asked of this model; comes before the objective. min_devices "
            "and its like must attain it, and 99 % of models that do not ask; where none asks, 99 % of "
            "all requests."
        ),
    ] = None


class LengthsShape(Shape):
    """Tokens of prompts or answers. Only the mean is heeded so far."""

    mean: Annotated[Positive, told("Mean number of tokens.")]
    p50: Annotated[Positive | None, NoEffect(), told("Median.")] = None
    p90: Annotated[Positive | None, NoEffect(), told("90th percentile.")] = None
    p95: Annotated[Positive | None, NoEffect(), told("95th percentile.")] = None
    p99: Annotated[Positive | None, NoEffect(), told("99th percentile.")] = None
    max: Annotated[Positive | None, NoEffect(), told("Largest.")] = None


class WorkloadShape(Shape):
    rate_rps: Annotated[NonNegative, told("Requests per second.")]
    cv: Annotated[
        NonNegative,
        told("Coefficient of variation of the gaps between requests: 1 is Poisson, more is bursty."),
    ] = 1.0
    input_tokens: Annotated[
        LengthsShape, told("Tokens of prompts, of a model that generates; 128 on average without it.")
    ] = LengthsShape(mean=_WORKLOAD.input_tokens)
    output_tokens: Annotated[
        LengthsShape, told("Tokens of answers, of a model that generates; 64 on average without it.")
    ] = LengthsShape(mean=_WORKLOAD.output_tokens)


_AUTO_IS_NONE = BeforeValidator(
    lambda value: None if value == "auto" else value, json_schema_input_type=float | Literal["auto"] | None
)


class ModelBatchingShape(Shape):
    """Of a model that generates: sequences that run at once, tokens that a step computes."""

    max_batch_size: Annotated[Count | None, told("Sequences that run at once; 256 without it.")] = None
    max_batch_tokens: Annotated[Count | None, told("Tokens that a step computes; 2048 without it.")] = None
    max_wait_ms: Annotated[NonNegative | None, NoEffect(), told("How long a batch may wait for more.")] = None
    chunked_prompts: Annotated[
        bool | None, told("Whether a prompt may be computed in several steps; true without it.")
    ] = None


class KvCacheShape(Shape):
    """Of a model that generates. num_pages: on every group, of block_size tokens each.

    Without it: memory_fraction of what the weights of all models of the group leave free, the tightest stage
    deciding; `auto` is an equal part of what is left by models that name theirs. num_host_pages: of as many
    tokens each, in the memory of the host, for the pages of preempted sequences. eviction: which unused pages
    of cached prefixes go first, those used longest ago or those that cost least to compute again.
    """

    memory_fraction: Annotated[
        Annotated[Number, Field(gt=0, le=1)] | None,
        _AUTO_IS_NONE,
        told(
            "Of what the weights of all models of a group leave free, the tightest stage deciding. "
            "`auto`: an equal part of what is left by models that name theirs."
        ),
    ] = None
    num_pages: Annotated[Count | None, told("On every group, instead of a fraction.")] = None
    block_size: Annotated[Count | None, told("Tokens of a page; 16 without it.")] = None
    prefix_caching: Annotated[
        bool | None, told("Whether full pages are kept for prompts that begin alike; true without it.")
    ] = None
    reserve_output: Annotated[
        bool | None,
        told(
            "Whether pages for the whole answer are taken at admission, so that nothing is preempted; "
            "false without it."
        ),
    ] = None
    num_host_pages: Annotated[
        NaturalNumber | None,
        told("Pages in memory of the host for what is preempted; without room there it is computed again."),
    ] = None
    eviction: Annotated[
        Literal["lru", "cost"] | None,
        told(
            "Which unused cached pages go first: `lru` those used longest ago, `cost` those that cost "
            "least to compute again."
        ),
    ] = None


class VersionShape(Shape):
    """What a version of a model has otherwise than the model."""

    source: Annotated[
        Annotated[str, Field(min_length=1)] | None,
        told(
            "A folder with config.json and safetensors, `random://gpt2-tiny?seed=2`, "
            "`package://name/folder`, or `python://module:function`, your own JAX function "
            "(security.allow_python_models)."
        ),
    ] = None
    revision: Annotated[str | None, NoEffect(), told("Of a model hub.")] = None
    architecture: Annotated[
        Literal["auto", "bert", "gpt2", "llama", "mistral", "mixtral", "opt", "qwen2", "qwen3"],
        told("Family; `auto` reads it from config.json."),
    ] = _MODEL.architecture
    engine: Annotated[
        Literal["jax", "emulated"],
        told("`emulated`: real processes and sockets, stages that sleep for their profiled latency."),
    ] = _MODEL.engine
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"],
        told("Of weights, activations and pages. `auto` is float32; bfloat16 only of models that generate."),
    ] = _MODEL.dtype
    attention: Annotated[
        Literal["auto", "xla", "pallas_gpu", "cudnn"],
        told("Backend of a model that generates; `auto` is the best that works here."),
    ] = _MODEL.attention
    quantization: Annotated[str | None, NoEffect(("none",)), told("Of weights.")] = None
    task: Annotated[
        Literal["auto", "generate", "one_shot"],
        told("`auto`: it generates if its profile says what a step costs."),
    ] = _MODEL.task
    max_model_len: Annotated[
        Count | None,
        told("Tokens of a prompt and its answer together; as many as the model has positions without it."),
    ] = _MODEL.max_model_len
    tokenizer: Annotated[str | None, NoEffect(("auto",)), told("Another than the checkpoint's.")] = None
    chat_template: Annotated[str | None, NoEffect(("auto",)), told("Another than the checkpoint's.")] = None
    profile: Annotated[
        Annotated[
            ProfileReference,
            BeforeValidator(
                _profile_spelled_out,
                json_schema_input_type=ProfileReference | str | tuple[str, ...] | dict[Name, str],
            ),
        ]
        | None,
        told("What it costs, written by `statmux profile`; paths are relative to this file."),
    ] = None
    parallelism: Annotated[ParallelismShape, told("What the search may choose from.")] = (
        ParallelismShape.model_construct()
    )
    replicas: Annotated[ReplicasShape, told("How many groups may hold it.")] = ReplicasShape.model_construct()
    batch_sizes: Annotated[
        Sizes, told("Compiled before the model is ready; others are padded. Of one-shot requests.")
    ] = _MODEL.batch_sizes
    sequence_lengths: Annotated[
        Sizes, told("Compiled before the model is ready; others are padded. Of one-shot requests.")
    ] = _MODEL.sequence_lengths
    batching: Annotated[ModelBatchingShape, told("What a step may hold, of a model that generates.")] = (
        ModelBatchingShape.model_construct()
    )
    kv_cache: Annotated[KvCacheShape, told("Pages of keys and values, of a model that generates.")] = (
        KvCacheShape.model_construct()
    )
    slo: Annotated[SloShape, told("What a good answer keeps.")] = SloShape.model_construct()
    weight: Annotated[Positive, told("Of its attainment, for the objective weighted_slo_attainment.")] = (
        _MODEL.weight
    )
    workload: Annotated[
        WorkloadShape | None,
        told(
            "What to plan for without a trace, a Gamma process; and what re-planning takes redrawn "
            "traffic from."
        ),
    ] = None
    priority_class: Annotated[str | None, NoEffect(), told("One of serving.priority_classes.")] = None
    adapters: Annotated[tuple[later.Adapter, ...], NoEffect(), told("Low-rank adapters.")] = ()
    max_resident_adapters: Annotated[
        NaturalNumber | None, NoEffect(), told("Adapters that are in memory at once.")
    ] = None
    on_demand: Annotated[OnDemandShape, told("Loaded when somebody asks, unloaded when nobody does.")] = (
        OnDemandShape.model_construct()
    )


class ModelShape(VersionShape):
    """At least one of `source` and `profile` is needed, of the model or of each of its versions.

    versions: each a model of its own, `name@version`. split: weights of calls that name no version, all to
    the first without it; split_by: whose calls stay together.
    """

    name: Annotated[Name, told("As clients call it.")]
    aliases: Annotated[tuple[Name, ...], told("Other names that clients may use.")] = ()
    versions: Annotated[
        Annotated[dict[Name, VersionShape], Field(min_length=1, max_length=100)] | None,
        told(
            "By name, what each has otherwise than the model: any key of a model but `name`, `aliases`, "
            "`versions`, `split`."
        ),
    ] = None
    split: Annotated[
        dict[Name, NonNegative] | None,
        told("Weight of each version, of calls that name none; without it all go to the first."),
    ] = None
    split_by: Annotated[
        Literal["request", "tenant"],
        told("Whose calls stay together: each `request` alone, or a `tenant`'s."),
    ] = "request"
