"""The catalogue: every Prometheus family of a fleet. docs/reference/metrics.md is written from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controller.metric_family import Family

# OpenTelemetry's GenAI duration buckets, with finer ones below for small models.
SECONDS = (
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
TTFT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
TPOT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
# From a file in the page cache to hundreds of gigabytes over a slow network, which take minutes.
LOADS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
RATIOS = (0.5, 0.8, 0.9, 0.95, 0.98, 1.0, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 5.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)

OBJECTIVES = ("latency", "ttft", "tpot")
PROTOCOLS = ("grpc_v2", "http_v2", "openai")
REASONS = (
    "queue_full",
    "slo_infeasible",
    "not_ready",
    "not_placed",
    "not_loaded",
    "draining",
    "auth",
    "invalid",
)  # fmt: skip
STATES = ("READY", "LOADING", "UNLOADING", "FAILED", "UNAVAILABLE")
_PER_GROUP = ("model", "group")
_PER_DEVICE = ("node", "device", "group")

REQUESTS = Family(
    "statmux_requests_total",
    "counter",
    "Calls that were answered, well or with an error. code is the gRPC name of the status, OK for a good "
    "one, whatever the protocol; slo_class is always default, since there are no classes of priority.",
    ("model", "protocol", "code", "slo_class"),
    values={"protocol": PROTOCOLS, "slo_class": ("default",)},
)
REJECTED = Family(
    "statmux_requests_rejected_total",
    "counter",
    "Calls refused before anything ran, by reason; model is empty where it was not known. slo_infeasible: no "
    "group was expected to answer in time.",
    ("model", "reason"),
    values={"reason": REASONS},
)
RETRIED = Family(
    "statmux_requests_retried_total",
    "counter",
    "Requests given to another group, since theirs was lost before it had begun with them.",
    ("model",),
)
MET = Family(
    "statmux_slo_met_total",
    "counter",
    "Requests that kept an objective of their model: the whole latency, the time to the first token (ttft) "
    "or the mean time of each token after it (tpot).",
    ("model", "objective"),
    values={"objective": OBJECTIVES},
)
MISSED = Family(
    "statmux_slo_missed_total",
    "counter",
    "Requests that did not keep an objective, refused ones included unless the fault was the client's. "
    "Attainment is met / (met + missed).",
    ("model", "objective"),
    values={"objective": OBJECTIVES},
)
TARGET = Family(
    "statmux_slo_target_ratio",
    "gauge",
    "The share of requests that is to keep the model's objectives, where the deployment says one "
    "(models[].slo.attainment).",
    ("model",),
    source="watched",
)
DURATION = Family(
    "statmux_request_duration_seconds",
    "histogram",
    "Seconds from arrival to the answer of requests that were served; of a model that generates, to its last "
    "token.",
    _PER_GROUP,
    SECONDS,
)
QUEUE_DURATION = Family(
    "statmux_queue_duration_seconds",
    "histogram",
    "Seconds from arrival until the group began to work on the request.",
    _PER_GROUP,
    SECONDS,
)
EXECUTE_DURATION = Family(
    "statmux_execute_duration_seconds",
    "histogram",
    "Seconds from when the group began to work on the request until its last stage was done.",
    _PER_GROUP,
    SECONDS,
)
BATCH_SIZE = Family(
    "statmux_batch_size",
    "histogram",
    "Requests in the batch that a request ran in; of a model that generates, in its last step. Each request "
    "counts once, so a batch of 4 counts 4 times.",
    _PER_GROUP,
    SIZES,
)
PREDICTION_ERROR = Family(
    "statmux_prediction_error_ratio",
    "histogram",
    "Observed over predicted seconds from arrival until the last stage was done; the prediction is the one "
    "by which the request was admitted and sent to its group. 1 is exact, 2 is twice as slow as promised.",
    _PER_GROUP,
    RATIOS,
)
FIRST_TOKEN = Family(
    "statmux_time_to_first_token_seconds",
    "histogram",
    "Seconds from arrival to the first token of the answer.",
    ("model",),
    TTFT,
)
INTER_TOKEN = Family(
    "statmux_inter_token_latency_seconds",
    "histogram",
    "Seconds from one token of an answer to the next.",
    ("model",),
    TPOT,
)
INPUT_TOKENS = Family(
    "statmux_input_tokens_total", "counter", "Tokens of prompts that were answered to their end.", ("model",)
)
OUTPUT_TOKENS = Family(
    "statmux_output_tokens_total",
    "counter",
    "Tokens that were generated, also for answers that did not come to their end.",
    ("model",),
)
CACHE_USAGE = Family(
    "statmux_kv_cache_usage_ratio",
    "gauge",
    "Pages of keys and values in use, of all that the model has on the group.",
    _PER_GROUP,
    source="watched",
)
PREFIX_QUERIES = Family(
    "statmux_prefix_cache_queries_total",
    "counter",
    "Tokens of prompts that the group began to work on.",
    _PER_GROUP,
    source="watched",
)
PREFIX_HITS = Family(
    "statmux_prefix_cache_hits_total",
    "counter",
    "Of statmux_prefix_cache_queries_total, those that the cache of prefixes had already.",
    _PER_GROUP,
    source="watched",
)
PREEMPTIONS = Family(
    "statmux_preemptions_total",
    "counter",
    "Times that an answer gave its pages back to others and waited.",
    _PER_GROUP,
    source="watched",
)
QUEUE = Family(
    "statmux_queue_requests",
    "gauge",
    "Requests that wait in the group: nothing has been computed for them, or they were preempted.",
    _PER_GROUP,
    source="watched",
)
RUNNING = Family(
    "statmux_running_requests",
    "gauge",
    "Requests that the group has begun to work on and not answered.",
    _PER_GROUP,
    source="watched",
)
STAGE_BUSY = Family(
    "statmux_group_stage_busy_seconds_total",
    "counter",
    "Seconds that the stage has computed since its worker started; its rate is the stage's utilisation.",
    ("group", "stage"),
    source="watched",
)
DEVICE_BUSY = Family(
    "statmux_device_busy_ratio",
    "gauge",
    "Share of the last 10 s in which the device's stage computed. What runs on the device besides is not in "
    "it, nor how well the device is used meanwhile.",
    _PER_DEVICE,
    source="watched",
)
MEMORY_USED = Family(
    "statmux_device_memory_used_bytes",
    "gauge",
    "Bytes in use on the device. An accelerator's allocator measures them; of CPU devices, and where the "
    "engine is emulated, they are what the group's models have reserved for weights and pages, and no more.",
    _PER_DEVICE,
    source="watched",
)
MEMORY_TOTAL = Family(
    "statmux_device_memory_total_bytes",
    "gauge",
    "Bytes that the device has for us: what its allocator may take, or where it does not say the memory of "
    "the deployment. group is empty for a device that no group holds.",
    _PER_DEVICE,
    source="watched",
)
GROUP_UP = Family(
    "statmux_group_up",
    "gauge",
    "1 while heartbeats of the group come, 0 while it is lost or starts.",
    ("group",),
    source="watched",
)
GROUPS_LOST = Family(
    "statmux_groups_lost_total",
    "counter",
    "Times that the group's worker was lost.",
    ("group",),
    source="watched",
)
MODEL_STATE = Family(
    "statmux_model_state",
    "gauge",
    "1 for the state that a model is in on a group, 0 for the others. FAILED: the group is lost. "
    "UNAVAILABLE: somebody took the model out of service.",
    (*_PER_GROUP, "state"),
    source="watched",
    values={"state": STATES},
)
LOAD_DURATION = Family(
    "statmux_model_load_duration_seconds",
    "histogram",
    "Seconds in which a model became ready on a group: its weights came, and it was compiled.",
    _PER_GROUP,
    LOADS,
    source="fleet",
)
WEIGHTS_LOAD = Family(
    "statmux_weights_load_seconds",
    "gauge",
    "Seconds in which a model's weights came when it was loaded last, from the store or from a replica on "
    "another group.",
    (*_PER_GROUP, "origin"),
    source="fleet",
    values={"origin": ("store", "replica")},
)
RESHARD_BYTES = Family(
    "statmux_reshard_bytes_total",
    "counter",
    "Bytes of weights that came to the group from replicas on other groups, cut anew for its own devices.",
    _PER_GROUP,
    source="fleet",
)
PLAN = Family(
    "statmux_plan_info",
    "gauge",
    "1 for the plan that is served now; equal placements have equal plan_id.",
    ("plan_id", "algorithm"),
    source="fleet",
)
PREDICTED = Family(
    "statmux_plan_predicted_attainment_ratio",
    "gauge",
    "SLO attainment that the plan promised, by simulation. None of a placement that came while serving.",
    ("model",),
    source="fleet",
)
JOURNAL_WRITES = Family(
    "statmux_journal_writes",
    "gauge",
    "1 while the journal of requests and decisions is written, 0 while it cannot be.",
    source="fleet",
)
JOURNAL_LOST = Family(
    "statmux_journal_lost_lines_total", "counter", "Lines of the journal that were never written.",
    source="fleet",
)  # fmt: skip
SPANS_SENT = Family(
    "statmux_spans_sent_total",
    "counter",
    "Spans of traces that the collector took (observability.tracing); 0 where no traces are made.",
)
SPANS_DROPPED = Family(
    "statmux_spans_dropped_total",
    "counter",
    "Spans of traces that no collector will see: too many waited, or it did not take them in time.",
)
BUILD = Family(
    "statmux_build_info",
    "gauge",
    "1; the versions of statmux, JAX, Ray and Python that answer here, none for what is not installed.",
    ("version", "jax", "ray", "python"),
)

# By the parts of the page.
PARTS: Mapping[str, tuple[Family, ...]] = {
    "Requests": (
        REQUESTS,
        REJECTED,
        RETRIED,
        MET,
        MISSED,
        TARGET,
        DURATION,
        QUEUE_DURATION,
        EXECUTE_DURATION,
        BATCH_SIZE,
        PREDICTION_ERROR,
    ),
    "Models that generate": (
        FIRST_TOKEN,
        INTER_TOKEN,
        INPUT_TOKENS,
        OUTPUT_TOKENS,
        CACHE_USAGE,
        PREFIX_QUERIES,
        PREFIX_HITS,
        PREEMPTIONS,
    ),
    "Groups and devices": (
        QUEUE,
        RUNNING,
        STAGE_BUSY,
        DEVICE_BUSY,
        MEMORY_USED,
        MEMORY_TOTAL,
        GROUP_UP,
        GROUPS_LOST,
        MODEL_STATE,
        LOAD_DURATION,
        WEIGHTS_LOAD,
        RESHARD_BYTES,
    ),
    "The fleet": (PLAN, PREDICTED, JOURNAL_WRITES, JOURNAL_LOST, SPANS_SENT, SPANS_DROPPED, BUILD),
}
_READ_ELSEWHERE = (JOURNAL_WRITES, JOURNAL_LOST, SPANS_SENT, SPANS_DROPPED)


def catalogue() -> tuple[Family, ...]:
    """Every family that a fleet has, but the aliases of `controller.compat_metrics`."""
    return tuple(family for part in PARTS.values() for family in part)


def counted() -> Iterable[Family]:
    """Those that are counted as things happen."""
    return [one for one in catalogue() if one.source != "watched" and one not in _READ_ELSEWHERE]
