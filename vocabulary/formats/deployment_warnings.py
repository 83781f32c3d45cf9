"""Sentences about what is valid in a deployment file but looks unintended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.fairness import Fairness
from vocabulary.generation import GenerationSettings

# From so many front ends on, those that look for the best of all herd.
_MANY_FRONT_ENDS = 4
_OF_ALL = frozenset({"least_loaded", "min_stage_clock", "shortest_expected_delay", "prefix_affinity"})


def warnings_of(deployment: Deployment, *, mislabelled: Sequence[str]) -> tuple[str, ...]:
    """mislabelled: models with a profile under a device type that is not its own."""
    return tuple(_warnings(deployment, mislabelled=mislabelled))


def _warnings(deployment: Deployment, *, mislabelled: Sequence[str]) -> Iterator[str]:
    types = deployment.cluster.device_types
    models = deployment.models
    kinds = ", ".join(types)
    for reason, named in (
        (f"a profile for a device type that the cluster does not have ({kinds})", _foreign(models, types)),
        ("a profile under a device type that it was not made for", mislabelled),
        (
            "no output_bytes in the profile: a pipeline between hosts pays cluster.network.latency only",
            [] if deployment.cluster.links.is_uniform else [m.name for m in models if _tells_no_output(m)],
        ),
        ("no profile yet, so not planned (`statmux profile`)", [m.name for m in models if m.profile is None]),
        (
            "no slo.latency_ms: every served request is good",
            [m.name for m in models if m.slo.is_empty],
        ),
        (
            "task, batching, kv_cache, slo.ttft_ms or slo.tpot_ms, but a profile without step_times",
            [m.name for m in models if m.profile is not None and not m.generates and _tells_how(m)],
        ),
        (
            "dtype or attention where requests are one-shot, which are computed in float32",
            [m.name for m in models if m.profile is not None and not m.generates and _tells_precision(m)],
        ),
    ):
        if named:
            shown = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
            yield f"{reason}: {shown}"
    yield from _of_queue(deployment)
    yield from _of_front_ends(deployment)


def _of_front_ends(deployment: Deployment) -> Iterator[str]:
    """What several front ends do on beliefs as old as heartbeats (docs/decisions/0038-front-ends.md)."""
    router = deployment.policy.router
    if deployment.front_ends >= _MANY_FRONT_ENDS and router in _OF_ALL:
        yield (
            f"{deployment.front_ends} front ends with router: {router} all send to the group that was best "
            "at its last heartbeat: use router: power_of_two"
        )


def _of_queue(deployment: Deployment) -> Iterator[str]:
    policy = deployment.policy
    if policy.queue != "vtc" and policy.fairness != Fairness():
        yield f"serving.policy.fairness says nothing under queue: {policy.queue}, only under vtc"
    has_slos = any(model.generates and not model.slo.is_empty for model in deployment.models)
    if policy.queue == "vtc" and policy.admission == "slo" and has_slos:
        yield (
            "queue: vtc with admission: slo refuses by predictions that know no tenants, so that a flood has "
            "others refused: use admission: none"
        )
    may_generate = any(model.generates or model.profile is None for model in deployment.models)
    if policy.queue not in ("fcfs", "edf") and not may_generate:
        yield f"queue: {policy.queue} orders models that generate, and there is none: as fcfs"


def _tells_how(model: ModelSpec) -> bool:
    """Whether it has settings of a model that generates."""
    asks = model.task == "generate" or model.generation != GenerationSettings()
    return bool(asks or model.slo.ttft_s or model.slo.tpot_s)


def _tells_precision(model: ModelSpec) -> bool:
    return model.number_format != "float32" or model.attention != "auto"


def _foreign(models: Sequence[ModelSpec], types: tuple[str, ...]) -> list[str]:
    """Models with a profile for none of the types, or with one for others beside them."""
    if len(types) == 1:
        return [model.name for model in models if model.profile and model.profile.device_type not in types]
    profiled = [model for model in models if model.profile]
    return [
        m.name for m in profiled if m.profile and any(c.device_type not in types for c in m.profile.entries)
    ]


def _tells_no_output(model: ModelSpec) -> bool:
    """Whether some pipeline of its profile does not say what its stages give on."""
    if model.profile is None:
        return False
    return any(e.config.pipeline > 1 and not e.output_bytes for e in model.profile.entries.values())
