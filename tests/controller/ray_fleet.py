"""A small fleet for tests with a real Ray: two hosts of four virtual devices, models that only take time."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from controller.life.fleet_specs import worker_specs
from vocabulary.deployment import Deployment, Health, ModelSpec
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from workers.spec import WorkerSpec

KEY = "a secret of this test"
CONFIGS = (ParallelConfig(1, 1), ParallelConfig(1, 2), ParallelConfig(2, 1), ParallelConfig(1, 4))


def deployment(
    *,
    ray_address: str = "local",
    count: int = 2,
    device_type: str = "cpu",
    engine: str = "emulated",
    weight_bytes: int = 1,
    orphan_grace_s: float = 600.0,
) -> Deployment:
    entries = [
        ProfileEntry(config, (weight_bytes,) * config.pipeline, {}, {1: (0.002,) * config.pipeline})
        for config in CONFIGS
    ]
    models = tuple(
        ModelSpec(
            name,
            profile=profile_of(name, "cpu", entries, provenance=Provenance("imported")),
            engine=engine,
            source="random://bert-tiny?seed=1",
        )
        for name in ("a", "b")
    )
    cluster = Cluster((NodeClass("n", count, device_type, 4, 100),))
    health = Health(orphan_grace_s=orphan_grace_s)
    return Deployment("test", cluster, models, ray_address=ray_address, health=health)


def group(group_id: str, devices: Sequence[str], config: ParallelConfig, models: str = "a") -> Group:
    return Group(group_id, tuple(devices), config, tuple(models))


def specs_of(fleet: Deployment, *groups: Group) -> tuple[WorkerSpec, ...]:
    return worker_specs(fleet, Placement(groups), key=KEY)


def make_shadows(folder: Path) -> Path:
    """Packages named as ours that must not be imported; `folder` is where a user could stand."""
    for name in ("controller", "simulator", "vocabulary", "workers"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise ImportError('this is the package of the user')")
    return folder


def processes_of(folder: str) -> list[int]:
    """Every process that Ray started under `folder`: it is in their environment or command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            words = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            if state != "Z" and folder.encode() in words:
                found.append(int(entry.name))
    return found
