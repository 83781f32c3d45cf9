"""Node classes for the nodes that a Ray cluster has, by the resources that they offer. Pure but for `ask`."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.discovery import gpu_memory_mib, tpu_generation
from controller.on_ray.connection import join
from controller.on_ray.hosts import DEVICE_RESOURCE
from controller.on_ray.nouns import RayNode
from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput

_TYPE = "accelerator_type:"


@dataclass(frozen=True, slots=True)
class ProposedNodes:
    """`count` equal hosts. memory_mib: 0 where Ray does not tell, and the type is not known.

    evidence: the resource that they are counted by.
    """

    name: str
    count: int
    device_type: str
    num_devices: int
    memory_mib: int
    evidence: str


def propose(nodes: Sequence[RayNode]) -> tuple[ProposedNodes, ...]:
    """The most hosts first. A node that offers no device, as a head often does, is none.

    Equal nodes have as many devices of one type; where they have more or less memory, the least counts.
    """
    memories: dict[tuple[str, int, str], list[int]] = defaultdict(list)
    for node in nodes:
        if (offer := _offer(node)) is not None:
            device_type, number, memory_mib, evidence = offer
            memories[device_type, number, evidence].append(memory_mib)
    ranked = sorted(memories.items(), key=lambda each: (-len(each[1]), each[0]))
    names: Counter[str] = Counter()
    found = []
    for (device_type, number, evidence), each_mib in ranked:
        names[device_type] += 1
        name = device_type if names[device_type] == 1 else f"{device_type}-{names[device_type]}"
        found.append(ProposedNodes(name, len(each_mib), device_type, number, min(each_mib), evidence))
    return tuple(found)


def as_yaml(proposed: Sequence[ProposedNodes], *, indent: str = "  ") -> str:
    """The lines of `cluster.nodes`. What is not known is a word in angle brackets, which a reader refuses."""
    lines = ["nodes:"]
    for one in proposed:
        memory = f"{one.memory_mib}MiB" if one.memory_mib else "<memory of each>"
        devices = f"{{type: {one.device_type}, count: {one.num_devices}, memory: {memory}}}"
        lines += [
            f"  - name: {one.name}",
            f"    count: {one.count}",
            f"    devices: {devices}  # {one.evidence}",
        ]
    return "\n".join(indent + line for line in lines)


def check_nodes_are_told(deployment: Deployment, nodes: Sequence[RayNode]) -> None:
    """Raises InvalidInput with what to write, for a file that joins a Ray and does not say what of it to use.

    Without `cluster.nodes`, a plan is for one virtual device, which is fine on this machine only.
    """
    cluster = deployment.document.get("cluster") if deployment.document else None
    if deployment.ray_address == "local" or not isinstance(cluster, Mapping) or cluster.get("nodes"):
        return
    proposed = propose(nodes)
    raise InvalidInput(
        f"the deployment joins the Ray at {deployment.ray_address} and does not say what to use of it",
        where="cluster.nodes",
        hint=f"plan again with what this Ray has; under `cluster:` write\n{as_yaml(proposed)}"
        if proposed
        else "its nodes offer no devices: start them with --num-gpus, --num-cpus or --resources",
    )


def ask(address: str, *, timeout_s: float = 30.0) -> tuple[ProposedNodes, ...]:
    """Of the Ray at this address. Raises Unreachable when none answers."""
    with tempfile.TemporaryDirectory(prefix="statmux-") as empty:
        nodes = join(address, empty_folder=Path(empty), timeout_s=timeout_s)
    import ray

    ray.shutdown()
    return propose(nodes.alive)


def _offer(node: RayNode) -> tuple[str, int, int, str] | None:
    """Device type, how many, MiB of each, and what says so."""
    types = [name.removeprefix(_TYPE) for name in sorted(node.resources) if name.startswith(_TYPE)]
    if number := int(node.resources.get("TPU", 0)):
        generation = next((found for name in types if (found := tpu_generation(name))), None)
        if generation is None:
            return "tpu", number, 0, f"TPU: {number}"
        return generation.type, number, generation.memory_mib, f"TPU: {number}"
    if number := int(node.resources.get("GPU", 0)):
        name = next((name for name in types if not name.startswith("TPU")), "gpu").lower()
        return name, number, gpu_memory_mib(name), f"GPU: {number}"
    if number := int(node.resources.get(DEVICE_RESOURCE, 0)):
        return "cpu", number, _share_mib(node, number), f"{DEVICE_RESOURCE}: {number}"
    if number := int(node.resources.get("CPU", 0)):
        return "cpu", number, _share_mib(node, number), f"CPU: {number}"
    return None


def _share_mib(node: RayNode, number: int) -> int:
    """Virtual devices share what Ray counts as the node's memory."""
    return int(node.resources.get("memory", 0) / number / 2**20)
