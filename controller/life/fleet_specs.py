"""What each group's worker is told, from a deployment and a placement. Pure but for the key it is given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.errors import InvalidInput
from vocabulary.generation import GenerationLimits
from vocabulary.page_budget import generation_limits
from vocabulary.placement import Group, Placement
from workers.spec import WorkerSpec, host_stages


def worker_specs(deployment: Deployment, placement: Placement, *, key: str) -> tuple[WorkerSpec, ...]:
    """One spec a group, in plan order; where each listens is the cluster's to say.

    Raises InvalidInput when a group cannot be served as asked.
    """
    catalog = deployment.catalog()
    specs = []
    for group in placement.groups:
        models = tuple(deployment.model(name) for name in group.models)
        engine = _engine(group, models)
        limits = generation_limits(group, deployment)
        _check_generating(group, models, limits, engine=engine)
        spec = WorkerSpec(
            group=group,
            models=models,
            catalog=catalog,
            policy=deployment.policy,
            engine=engine,
            platform=_platform(deployment, group),
            source_folder=str(Path(deployment.folder).resolve()),
            key=key,
            socket_path="",
            beat_interval_s=deployment.health.beat_interval_s,
            orphan_grace_s=deployment.health.orphan_grace_s,
            allow_python_models=deployment.security.allow_python_models,
            limits=limits,
        )
        specs.append(spec)
    return tuple(specs)


def _engine(group: Group, models: tuple[ModelSpec, ...]) -> str:
    engines = sorted({model.engine for model in models})
    if len(engines) > 1:
        raise InvalidInput(
            f"group {group.id} holds models of the engines {' and '.join(engines)}",
            hint="a group runs one engine: set the same `engine` on all its models, or use --engine",
        )
    engine = engines[0] if engines else "emulated"
    if engine == "jax":
        host_stages(group)
    for model in models:
        if engine == "jax" and model.source is None:
            raise InvalidInput(
                f"model {model.name} has no source, so there is nothing to run on group {group.id}",
                hint="add `source:` to the model, or serve profiles only with `--engine emulated`",
            )
    return engine


def _check_generating(
    group: Group, models: tuple[ModelSpec, ...], limits: Mapping[str, GenerationLimits], *, engine: str
) -> None:
    for model in models:
        if model.task == "generate" and model.name not in limits:
            raise InvalidInput(
                f"model {model.name} is to generate, and its profile does not say what a step costs",
                hint="profile it again (`statmux profile`), or write `task: one_shot`",
            )
        if model.name in limits:
            _check_length(group, model, limits[model.name])
    if engine == "jax" and limits and len(host_stages(group)) > 1:
        raise InvalidInput(
            f"group {group.id} spans hosts and holds {', '.join(limits)}, which generate",
            hint="keep groups of models that generate on one host: parallelism.cross_node: false",
        )


def _check_length(group: Group, model: ModelSpec, limits: GenerationLimits) -> None:
    num_tokens = limits.num_pages * limits.page_tokens
    if model.max_model_len is not None and model.max_model_len > num_tokens:
        raise InvalidInput(
            f"max_model_len of {model.name} is {model.max_model_len}, its cache on group {group.id} holds "
            f"{num_tokens} tokens, in {limits.num_pages} pages of {limits.page_tokens}",
            hint=f"lower max_model_len to {num_tokens}, or give it more pages: kv_cache",
        )


def _platform(deployment: Deployment, group: Group) -> str:
    if not group.devices:
        return "cpu"
    device_type = deployment.cluster.by_id()[group.devices[0]].device_type.lower()
    if "cpu" in device_type:
        return "cpu"
    return "tpu" if device_type.startswith("tpu") else "cuda"
