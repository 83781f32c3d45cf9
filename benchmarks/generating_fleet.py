"""One group with one generating model in this process, without sockets: real machines, the real engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.life.fleet_specs import worker_specs
from controller.metrics import FleetMetrics
from controller.server import FleetServer
from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from vocabulary.formats.disk import load_deployment
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from workers.jax_engine import JaxEngine
from workers.link import memory_pair
from workers.server import GroupServer

MODEL = "chat"
_PLACEMENT = Placement((Group("g", ("n-0:0",), ParallelConfig(), (MODEL,)),))
# What is believed of steps decides nothing where there is one group and no admission.
_PROFILE = {
    "api_version": "v1alpha1", "kind": "ModelProfile", "model": MODEL, "device_type": "cpu",
    "provenance": {"kind": "estimated"},
    "entries": [{
        "tensor": 1, "pipeline": 1, "weight_bytes": [2_000_000], "stage_latency_s": {"1": [0.1]},
        "kv_bytes_per_token": [4096],
        "step_times": [{"constant_s": 0.002, "token_s": 0.00005, "kv_token_s": 0.0}],
    }],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GeneratingFleet:
    """`close` when done. One event loop."""

    front: FleetServer
    engine: JaxEngine
    group: GroupScheduler

    def close(self) -> None:
        self.engine.close()


def open_fleet(folder: Path, model_yaml: str, *, overrides: Sequence[str] = ()) -> GeneratingFleet:
    """On the loop that runs; compiles. model_yaml: keys of the model in YAML's flow style, without braces."""
    (folder / "chat.json").write_text(json.dumps(_PROFILE))
    (folder / "fleet.yaml").write_text(
        "metadata: {name: generating}\n"
        "cluster: {nodes: [{name: n, count: 1, devices: {type: cpu, count: 1, memory: 8GiB}}]}\n"
        f"models: [{{name: {MODEL}, task: generate, profile: chat.json, {model_yaml}}}]\n"
        "serving: {policy: {admission: none}}\n"
    )
    deployment = load_deployment(folder / "fleet.yaml", overrides=overrides)
    (spec,) = worker_specs(deployment, _PLACEMENT, key="")
    loop = asyncio.get_running_loop()
    engine = JaxEngine(spec, loop=loop)
    engine.load()
    machine = GroupScheduler(
        spec.group, catalog=spec.catalog, policy=spec.policy, limits=spec.limits, tells_pages=True
    )
    page_tokens = {MODEL: spec.limits[MODEL].page_tokens}
    worker = GroupServer(machine, engine, loop=loop, soon=loop.call_soon, page_tokens=page_tokens)
    front = FleetServer(
        deployment,
        _PLACEMENT,
        ClusterScheduler(_PLACEMENT, catalog=spec.catalog, policy=spec.policy, limits=[spec.limits]),
        clock=loop.time,
        soon=loop.call_soon,
        metrics=FleetMetrics(deployment.model_names),
    )
    down, up = memory_pair(lambda frame: front.receive(0, frame), worker.receive)
    worker.attach(up)
    front.open_group(0, down, engine.interfaces())
    return GeneratingFleet(front, engine, machine)
