"""Deployment YAML -> Deployment (conventions 3.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from vocabulary.catalog import LatencyModel
from vocabulary.deployment import (
    Deployment,
    Drain,
    GrpcEndpoint,
    MetricsEndpoint,
    ModelSpec,
    Parallelism,
    Policy,
    Security,
    Slo,
    Workload,
)
from vocabulary.formats.constraints import reserved_devices, rules_of
from vocabulary.formats.deployment_shape import (
    DEFAULT_DEVICE_TYPE,
    DEFAULT_MEMORY_BYTES,
    SHORTHANDS,
    ClusterShape,
    DeploymentShape,
    ModelShape,
    ServingShape,
    SloShape,
)
from vocabulary.formats.document import Document, KeyPath
from vocabulary.formats.interpolation import interpolate
from vocabulary.formats.no_effect import keys_without_effect
from vocabulary.formats.overrides import override
from vocabulary.formats.shapes import check
from vocabulary.formats.yaml_text import read_yaml
from vocabulary.generation import GenerationSettings
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.profile import Profile

# Schemes of `source`; those of LATER_SCHEMES are valid and cannot be loaded by this version.
SCHEMES = ("file", "random", "package")
LATER_SCHEMES = ("hf", "gs", "s3")
MAX_DEVICES = 1_000_000

# Reads the profile at a path as the deployment file has it. Raises FileNotFoundError.
ReadProfile = Callable[[str], Profile]


def parse_deployment(
    text: str,
    *,
    name: str,
    read_profile: ReadProfile,
    folder: str = ".",
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    needs_profiles: bool = True,
) -> Deployment:
    """Raises InvalidInput with `name`, line, key path, cause and hint for the first thing that is wrong.

    `folder` is where relative paths start, `overrides` are `PATH=VALUE` of `--set`, `environment` fills
    `${VAR}`. Without `needs_profiles`, the profile of a model with a source may be still to be measured.
    """
    variables = environment or {}
    document = read_yaml(text, name=name, substitute=lambda value: interpolate(value, variables))
    document = override(document, overrides, shorthands=SHORTHANDS)
    shape = check(DeploymentShape, document)
    _check_models(shape, document)
    _check_nodes(shape.cluster, document)
    profiles = _profiles(shape, document, read_profile, needs_profiles)
    deployment = _deployment(shape, profiles)
    reserved = reserved_devices(shape.placement.constraints, deployment.cluster, document)
    return replace(
        deployment,
        cluster=replace(deployment.cluster, reserved=reserved),
        rules=rules_of(shape.placement.constraints, deployment, document),
        folder=folder,
        accepted_only=_accepted_only(shape, document),
        warnings=(*_warnings(deployment), *_live_warnings(shape, document)),
        document=document.value,
    )


def _check_models(shape: DeploymentShape, document: Document) -> None:
    taken: dict[str, str] = {}
    for index, model in enumerate(shape.models):
        path: KeyPath = ("models", index)
        names = [((*path, "name"), model.name)]
        names += [((*path, "aliases", number), alias) for number, alias in enumerate(model.aliases)]
        for where, model_name in names:
            if model_name in taken:
                message = f"name {model_name!r} is taken by {taken[model_name]}"
                raise document.error(where, message, hint="give every model its own name and aliases")
            taken[model_name] = f"models[{index}]"
        _check_source(model, document, path)
        low, high = model.replicas.min, model.replicas.max
        if high is not None and high < low:
            message = f"max is {high}, less than min, {low}"
            raise document.error((*path, "replicas"), message, hint="make max at least min")


def _check_source(model: ModelShape, document: Document, path: KeyPath) -> None:
    profile = model.profile
    if model.source is None and profile is not None and profile.path is None and profile.estimate is not None:
        raise document.error(
            (*path, "profile", "estimate"),
            "estimated profiles are not built yet",
            hint="give the path of a profile, or a `source:` to measure one with `statmux profile`",
        )
    if model.source is None and (profile is None or profile.path is None):
        message = f"model {model.name} has neither profile nor source"
        raise document.error(
            path, message, hint="add `profile: <file>` to plan it, `source:` to serve it, or both"
        )
    if model.source is not None and "://" in model.source:
        scheme = model.source.partition("://")[0]
        if scheme not in SCHEMES + LATER_SCHEMES:
            known = ", ".join(f"{known}://" for known in SCHEMES)
            message = f"unknown scheme {scheme}://"
            raise document.error((*path, "source"), message, hint=f"write a path, or one of {known}")


def _check_nodes(cluster: ClusterShape, document: Document) -> None:
    names: set[str] = set()
    num_devices = 0
    for index, node in enumerate(cluster.nodes or ()):
        path: KeyPath = ("cluster", "nodes", index)
        if node.name in names:
            hint = "one entry stands for `count` equal nodes; name each entry differently"
            raise document.error((*path, "name"), f"name {node.name!r} is taken", hint=hint)
        if ":" in node.name:
            hint = "device ids are <node>-<host>:<device>; use letters, digits and dashes"
            raise document.error((*path, "name"), f"node name {node.name!r} has a colon", hint=hint)
        names.add(node.name)
        num_devices += node.count * node.devices.count
        if num_devices > MAX_DEVICES:
            message = f"the cluster has {num_devices} devices; at most {MAX_DEVICES} are planned"
            raise document.error((*path, "count"), message, hint="check the counts")


def _profiles(
    shape: DeploymentShape, document: Document, read_profile: ReadProfile, needs_profiles: bool
) -> dict[str, Profile]:
    """Profiles by path; a path that several models name is read once."""
    profiles: dict[str, Profile] = {}
    for index, model in enumerate(shape.models):
        path = model.profile.path if model.profile is not None else None
        if path is None or path in profiles:
            continue
        try:
            profiles[path] = read_profile(path)
        except FileNotFoundError as error:
            if model.source is not None and not needs_profiles:
                continue
            hint = error.strerror or "paths are relative to the deployment file"
            if model.source is not None:
                hint = f"`statmux profile {document.name}` measures it and writes it"
            message = f"there is no file {error.filename}"
            raise document.error(("models", index, "profile"), message, hint=hint) from None
    return profiles


def _deployment(shape: DeploymentShape, profiles: Mapping[str, Profile]) -> Deployment:
    grpc, metrics, search = shape.endpoints.grpc, shape.observability.metrics, shape.placement.search
    drain, security = shape.serving.drain, shape.security
    return Deployment(
        name=shape.metadata.name,
        cluster=_cluster(shape, profiles),
        models=tuple(_model(model, profiles) for model in shape.models),
        policy=_policy(shape.serving),
        latency=LatencyModel(shape.simulation.stage_scale_per_stage, shape.simulation.fixed_overhead_s),
        grpc=GrpcEndpoint(grpc.host, grpc.port, grpc.reflection, grpc.max_message),
        metrics=MetricsEndpoint(metrics.host, metrics.port),
        drain=Drain(drain.readiness_lead_s, drain.graceful_shutdown_timeout_s),
        count_activations=shape.placement.count_activations,
        algorithm=search.algorithm,
        beam_width=search.beam_width,
        seed=search.seed,
        objective=shape.placement.objective,
        ray_address=shape.cluster.address,
        log_format=shape.observability.logs.format,
        log_level=shape.observability.logs.level,
        security=Security(
            auth=security.auth.mode,
            num_tokens=len(security.auth.tokens),
            certificate=security.tls.cert,
            client_ca=security.tls.client_ca,
            allow_python_models=security.allow_python_models,
        ),
    )


def _cluster(shape: DeploymentShape, profiles: Mapping[str, Profile]) -> Cluster:
    reserve = shape.cluster.reserve.memory_fraction
    if shape.cluster.nodes is None:
        return Cluster((_default_node(profiles),), reserve)
    nodes = (
        NodeClass(
            node.name,
            node.count,
            node.devices.type,
            node.devices.count,
            node.devices.memory,
            node.cost_per_hour,
        )
        for node in shape.cluster.nodes
    )
    return Cluster(tuple(nodes), reserve)


def _default_node(profiles: Mapping[str, Profile]) -> NodeClass:
    """One device, of the type that all profiles are for, else a CPU."""
    types = {profile.device_type for profile in profiles.values()}
    device_type = types.pop() if len(types) == 1 else DEFAULT_DEVICE_TYPE
    return NodeClass("local", 1, device_type, 1, DEFAULT_MEMORY_BYTES)


def _policy(serving: ServingShape) -> Policy:
    policy = serving.policy
    return Policy(
        router=policy.router,
        queue=policy.queue,
        admission=policy.admission.mode,
        slack_s=policy.admission.slack_ms / 1000,
        batching=policy.batching,
        max_batch_size=policy.max_batch_size,
        max_queued_requests=policy.max_queued_requests,
    )


def _model(model: ModelShape, profiles: Mapping[str, Profile]) -> ModelSpec:
    path = model.profile.path if model.profile is not None else None
    split = model.parallelism
    return ModelSpec(
        name=model.name,
        source=model.source,
        profile=profiles.get(path) if path is not None else None,
        profile_path=path,
        architecture=model.architecture,
        engine=model.engine,
        aliases=tuple(model.aliases),
        slo=_slo(model.slo),
        workload=Workload(model.workload.rate_rps, model.workload.cv) if model.workload else None,
        parallelism=Parallelism(
            tuple(split.tensor or ()), tuple(split.pipeline or ()), split.max_devices, split.cross_node
        ),
        min_replicas=model.replicas.min,
        max_replicas=model.replicas.max,
        batch_sizes=tuple(sorted(set(model.batch_sizes))),
        sequence_lengths=tuple(sorted(set(model.sequence_lengths))),
        generation=_generation(model),
        weight=model.weight,
    )


def _slo(slo: SloShape) -> Slo:
    latency_s, ttft_s, tpot_s = (
        None if milliseconds is None else milliseconds / 1000
        for milliseconds in (slo.latency_ms, slo.ttft_ms, slo.tpot_ms)
    )
    return Slo(latency_s, slo.attainment, ttft_s, tpot_s)


def _generation(model: ModelShape) -> GenerationSettings:
    cache, batching = model.kv_cache, model.batching
    asked = {
        "memory_fraction": cache.memory_fraction,
        "num_pages": cache.num_pages,
        "page_tokens": cache.block_size,
        "has_prefix_cache": cache.prefix_caching,
        "reserves_output": cache.reserve_output,
        "max_sequences": batching.max_batch_size,
        "max_batched_tokens": batching.max_batch_tokens,
        "is_chunked": batching.chunked_prompts,
    }
    return replace(GenerationSettings(), **{key: value for key, value in asked.items() if value is not None})


def _accepted_only(shape: DeploymentShape, document: Document) -> tuple[str, ...]:
    keys = keys_without_effect(shape, document.value)
    schemes = {(model.source or "").partition("://")[0] for model in shape.models}
    return keys + tuple(f"models[].source ({scheme}://)" for scheme in LATER_SCHEMES if scheme in schemes)


def _warnings(deployment: Deployment) -> Iterator[str]:
    types = {node.device_type for node in deployment.cluster.nodes}
    models = deployment.models
    kinds = ", ".join(sorted(types))
    for reason, named in (
        (f"a profile for a device type that the cluster does not have ({kinds})", _foreign(models, types)),
        ("no profile yet, so not planned (`statmux profile`)", [m.name for m in models if m.profile is None]),
        (
            "no slo.latency_ms: every served request is good",
            [m.name for m in models if m.slo.is_empty],
        ),
        (
            "batching, kv_cache, slo.ttft_ms or slo.tpot_ms, but a profile without step_times",
            [m.name for m in models if m.profile is not None and not m.generates and _tells_how(m)],
        ),
    ):
        if named:
            shown = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
            yield f"{reason}: {shown}"


def _tells_how(model: ModelSpec) -> bool:
    """Whether it has settings of a model that generates."""
    return bool(model.slo.ttft_s or model.slo.tpot_s or model.generation != GenerationSettings())


def _live_warnings(shape: DeploymentShape, document: Document) -> Iterator[str]:
    keys = keys_without_effect(shape, document.value, live_only=True)
    if keys:
        yield f"`statmux serve` answers in one shot, only `statmux simulate` heeds {', '.join(keys)}"


def _foreign(models: Sequence[ModelSpec], types: set[str]) -> list[str]:
    return [model.name for model in models if model.profile and model.profile.device_type not in types]
