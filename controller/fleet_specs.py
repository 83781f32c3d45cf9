"""What each group's worker is told, from a deployment and a placement. Pure but for the key it is given."""

from __future__ import annotations

from pathlib import Path

from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.errors import InvalidInput
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
        spec = WorkerSpec(
            group=group,
            models=models,
            catalog=catalog,
            policy=deployment.policy,
            engine=_engine(group, models),
            platform=_platform(deployment, group),
            source_folder=str(Path(deployment.folder).resolve()),
            key=key,
            socket_path="",
            allow_python_models=deployment.security.allow_python_models,
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


def _platform(deployment: Deployment, group: Group) -> str:
    if not group.devices:
        return "cpu"
    device_type = deployment.cluster.by_id()[group.devices[0]].device_type.lower()
    if "cpu" in device_type:
        return "cpu"
    return "tpu" if device_type.startswith("tpu") else "cuda"
