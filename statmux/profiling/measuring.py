"""Which models of a deployment are profiled, on which configurations, into which files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.errors import InvalidInput
from vocabulary.mesh import NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile

POWERS = (1, 2, 4, 8)


def chosen_models(deployment: Deployment, names: Sequence[str]) -> list[ModelSpec]:
    """The named models, or all that have a source. Raises InvalidInput for one that has none."""
    unknown = [name for name in names if name not in deployment.model_names]
    if unknown:
        raise InvalidInput(
            f"no model {unknown[0]!r} in the deployment", hint=f"models: {', '.join(deployment.model_names)}"
        )
    chosen = [model for model in deployment.models if model.name in names or not names]
    without = [model.name for model in chosen if model.source is None]
    if without and names:
        raise InvalidInput(f"model {without[0]} has no source to measure", hint="add `source:` to it")
    chosen = [model for model in chosen if model.source is not None]
    if not chosen:
        raise InvalidInput("no model of the deployment has a source to measure", hint="add `source:` to one")
    return chosen


def target_of(model: ModelSpec, deployment: Deployment, out: Path | None) -> Path:
    """The file of a model's profile, of several that for the first node class.

    Raises InvalidInput if neither deployment nor user says which.
    """
    if out is not None:
        return out / f"{model.name}.json"
    path = model.profile_paths.get(deployment.cluster.nodes[0].device_type, model.profile_path)
    if path is None:
        raise InvalidInput(
            f"model {model.name} does not say where its profile is",
            hint=f"add `profile: profiles/{model.name}.json` to it, or give --out FOLDER",
        )
    return Path(deployment.folder) / path


def prepare_jax(node: NodeClass) -> None:
    """Virtual CPU devices must be asked for before jax is imported, and where compiled programs are kept."""
    from workers.compile_cache import compile_cache_environment

    os.environ.update(compile_cache_environment(os.environ))
    if "cpu" in node.device_type.lower():
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["JAX_NUM_CPU_DEVICES"] = str(node.devices_per_host)


def measured_profile(
    model: ModelSpec,
    deployment: Deployment,
    *,
    num_rounds: int,
    progress: Callable[[str], None],
) -> Profile:
    """On this machine, which is a host of the deployment's first node class."""
    from workers.profiler import Effort, profile_generating, profile_model

    node = deployment.cluster.nodes[0]
    if model.task == "generate" or model.generates:
        return profile_generating(
            model,
            device_type=node.device_type,
            configs=configs_of(model, node),
            source_folder=Path(deployment.folder).resolve(),
            effort=Effort(num_rounds=num_rounds),
            progress=progress,
        )
    return profile_model(
        model,
        device_type=node.device_type,
        configs=configs_of(model, node),
        source_folder=Path(deployment.folder).resolve(),
        effort=Effort(num_rounds=num_rounds),
        progress=progress,
        allow_python_models=deployment.security.allow_python_models,
    )


def configs_of(model: ModelSpec, node: NodeClass) -> list[ParallelConfig]:
    """Every allowed (tensor, pipeline) that fits one host; powers of two where the file does not say."""
    split = model.parallelism
    configs = [
        ParallelConfig(tensor, pipeline)
        for tensor in split.tensor or POWERS
        for pipeline in split.pipeline or POWERS
    ]
    most = min(split.max_devices or node.devices_per_host, node.devices_per_host)
    fitting = [config for config in configs if config.num_devices <= most]
    if not fitting:
        raise InvalidInput(
            f"model {model.name} allows no (tensor, pipeline) of at most {most} devices",
            hint="allow smaller values under its `parallelism`",
        )
    return fitting
