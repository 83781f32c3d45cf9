"""Deployment YAML -> Deployment (conventions 3.5)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from vocabulary.catalog import LatencyModel
from vocabulary.deployment import (
    Deployment,
    Drain,
    GrpcEndpoint,
    HttpEndpoint,
    MetricsEndpoint,
    ModelSpec,
    Parallelism,
    Policy,
    Slo,
    Workload,
)
from vocabulary.fairness import Fairness
from vocabulary.formats.constraints import reserved_devices, rules_of
from vocabulary.formats.deployment_profiles import (
    ReadProfile,
    mislabelled,
    paths_by_type,
    paths_of,
    profiles_of_models,
    read_profiles,
)
from vocabulary.formats.deployment_shape import (
    DEFAULT_DEVICE_TYPE,
    DEFAULT_MEMORY_BYTES,
    SHORTHANDS,
    ClusterShape,
    DeploymentShape,
    NetworkShape,
)
from vocabulary.formats.deployment_warnings import warnings_of
from vocabulary.formats.document import Document, KeyPath
from vocabulary.formats.interpolation import interpolate
from vocabulary.formats.model_shape import ModelShape, SloShape, WorkloadShape
from vocabulary.formats.no_effect import keys_without_effect
from vocabulary.formats.overrides import override
from vocabulary.formats.security import check_security, security_of
from vocabulary.formats.serving_shape import FairnessShape, ServingShape
from vocabulary.formats.shapes import check
from vocabulary.formats.versions import expanded
from vocabulary.formats.yaml_text import read_yaml
from vocabulary.generation import GenerationSettings
from vocabulary.mesh import Cluster, Links, NodeClass
from vocabulary.profile import Profile

# Schemes of `source`; those of LATER_SCHEMES are valid and cannot be loaded by this version.
SCHEMES = ("file", "random", "package", "python")
LATER_SCHEMES = ("hf", "gs", "s3")
MAX_DEVICES = 1_000_000


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
    written = check(DeploymentShape, document)
    _check_names(written, document)
    whole = expanded(written, document)
    shape, document = whole.shape, whole.document
    _check_models(shape, document)
    _check_nodes(shape.cluster, document)
    _check_fairness(shape.serving.policy.fairness, document)
    check_security(shape, document)
    profiles = read_profiles(shape, document, read_profile, needs_profiles)
    cluster = _cluster(shape, profiles)
    of_models = profiles_of_models(shape, document, profiles, cluster)
    paths = [paths_by_type(model, profiles) for model in shape.models]
    models = tuple(map(_model, shape.models, of_models, paths))
    deployment = _deployment(shape, cluster, models)
    num_spare = shape.cluster.reserve.devices
    reserved = reserved_devices(shape.placement.constraints, num_spare, cluster, document)
    deployment = replace(deployment, cluster=replace(cluster, reserved=reserved))
    return replace(
        deployment,
        rules=rules_of(shape.placement.constraints, deployment, document),
        splits=whole.splits,
        folder=folder,
        accepted_only=_accepted_only(written, document),
        warnings=warnings_of(deployment, mislabelled=list(mislabelled(shape, profiles))),
        document=document.value,
    )


def _check_names(shape: DeploymentShape, document: Document) -> None:
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


def _check_models(shape: DeploymentShape, document: Document) -> None:
    for index, model in enumerate(shape.models):
        path: KeyPath = ("models", index)
        _check_source(model, document, path, allows_python=shape.security.allow_python_models)
        low, high = model.replicas.min, model.replicas.max
        if high is not None and high < low:
            message = f"max is {high}, less than min, {low}"
            raise document.error((*path, "replicas"), message, hint="make max at least min")


def _check_source(model: ModelShape, document: Document, path: KeyPath, *, allows_python: bool) -> None:
    profile = model.profile
    if model.source is None and not paths_of(model) and profile is not None and profile.estimate is not None:
        raise document.error(
            (*path, "profile", "estimate"),
            "estimated profiles are not built yet",
            hint="give the path of a profile, or a `source:` to measure one with `statmux profile`",
        )
    if model.source is None and not paths_of(model):
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
        if scheme == "python" and not allows_python:
            message = f"model {model.name} is Python code that would be run, and this file does not allow it"
            hint = "if you trust the code, write security: {allow_python_models: true}"
            raise document.error((*path, "source"), message, hint=hint)


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


def _check_fairness(fairness: FairnessShape, document: Document) -> None:
    if fairness.cost == "linear" and fairness.input_cost == fairness.output_cost == 0:
        message = "input_cost and output_cost are both 0, so that no service counts"
        raise document.error(
            ("serving", "policy", "fairness"), message, hint="leave them out for the usual 1 and 2"
        )


def _deployment(shape: DeploymentShape, cluster: Cluster, models: tuple[ModelSpec, ...]) -> Deployment:
    grpc, http = shape.endpoints.grpc, shape.endpoints.http
    metrics, search = shape.observability.metrics, shape.placement.search
    drain = shape.serving.drain
    return Deployment(
        name=shape.metadata.name,
        cluster=cluster,
        models=models,
        policy=_policy(shape.serving),
        latency=LatencyModel(shape.simulation.stage_scale_per_stage, shape.simulation.fixed_overhead_s),
        grpc=GrpcEndpoint(grpc.host, grpc.port, grpc.reflection, grpc.max_message),
        http=HttpEndpoint(http.enabled, http.host, http.port, http.max_body, http.live_page),
        metrics=MetricsEndpoint(metrics.host, metrics.port, metrics.compat),
        limits=shape.endpoints.limits.noun(),
        drain=Drain(drain.readiness_lead_s, drain.graceful_shutdown_timeout_s),
        health=shape.serving.health.noun(),
        front_ends=shape.serving.front_ends,
        journal=shape.observability.journal.noun(),
        tracing=shape.observability.tracing.noun(),
        count_activations=shape.placement.count_activations,
        algorithm=search.algorithm,
        beam_width=search.beam_width,
        seed=search.seed,
        time_budget_s=search.time_budget_s,
        objective=shape.placement.objective,
        replanning=shape.placement.replan.noun(),
        autoscaling=shape.serving.autoscaling.noun(),
        ray_address=shape.cluster.address,
        log_format=shape.observability.logs.format,
        log_level=shape.observability.logs.level,
        security=security_of(shape.security),
    )


def _cluster(shape: DeploymentShape, profiles: Mapping[str, Profile]) -> Cluster:
    reserve, links = shape.cluster.reserve.memory_fraction, _links(shape.cluster.network)
    if shape.cluster.nodes is None:
        return Cluster((_default_node(profiles),), reserve, links=links)
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
    return Cluster(tuple(nodes), reserve, links=links)


def _links(network: NetworkShape) -> Links:
    between, inside = (
        math.inf if bandwidth is None else bandwidth
        for bandwidth in (network.inter_node_bandwidth, network.intra_node_bandwidth)
    )
    return Links(between, network.latency, inside, network.intra_node_latency)


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
        fairness=_fairness(policy.fairness),
        max_overtaken=policy.max_overtaken,
    )


def _fairness(shape: FairnessShape) -> Fairness:
    return Fairness(
        weights=shape.weights,
        input_cost=shape.input_cost,
        output_cost=shape.output_cost,
        cost=shape.cost,
        cached_fraction=shape.cached_fraction,
        within=shape.within,
        predicts_output=shape.predicts_output,
    )


def _model(model: ModelShape, profile: Profile | None, by_type: Mapping[str, str]) -> ModelSpec:
    paths = paths_of(model)
    split = model.parallelism
    return ModelSpec(
        name=model.name,
        source=model.source,
        profile=profile,
        profile_path=paths[0][1] if len(paths) == 1 else None,
        profile_paths=by_type,
        architecture=model.architecture,
        engine=model.engine,
        aliases=tuple(model.aliases),
        slo=_slo(model.slo),
        workload=_workload(model.workload),
        parallelism=Parallelism(
            tuple(split.tensor or ()), tuple(split.pipeline or ()), split.max_devices, split.cross_node
        ),
        min_replicas=model.replicas.min,
        max_replicas=model.replicas.max,
        batch_sizes=tuple(sorted(set(model.batch_sizes))),
        sequence_lengths=tuple(sorted(set(model.sequence_lengths))),
        generation=_generation(model),
        weight=model.weight,
        task=model.task,
        max_model_len=model.max_model_len,
        dtype=model.dtype,
        attention=model.attention,
        on_demand=model.on_demand.noun(),
    )


def _workload(workload: WorkloadShape | None) -> Workload | None:
    if workload is None:
        return None
    return Workload(workload.rate_rps, workload.cv, workload.input_tokens.mean, workload.output_tokens.mean)


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
        "num_host_pages": cache.num_host_pages,
        "eviction": cache.eviction,
        "max_sequences": batching.max_batch_size,
        "max_batched_tokens": batching.max_batch_tokens,
        "is_chunked": batching.chunked_prompts,
    }
    return replace(GenerationSettings(), **{key: value for key, value in asked.items() if value is not None})


def _accepted_only(shape: DeploymentShape, document: Document) -> tuple[str, ...]:
    keys = keys_without_effect(shape, document.value)
    schemes = {(model.source or "").partition("://")[0] for model in shape.models}
    return keys + tuple(f"models[].source ({scheme}://)" for scheme in LATER_SCHEMES if scheme in schemes)
