"""A fleet that is hit: two models with two replicas each, quick to notice a death and to build anew."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tests.live.fleet_files import write_profile
from tests.live.fleet_process import ServedFleet

# So long a stage of `steady` takes: in the middle of it is easily met.
STEADY_S = 0.5
# Of a second, a busy machine makes dead workers of living ones, and now and then of three.
BEAT_TIMEOUT_S = 6.0

_DEPLOYMENT = """\
api_version: v1alpha1
kind: Deployment
metadata: {{name: hit}}
cluster:
  nodes:
  - {{name: n, count: {hosts}, devices: {{type: cpu, count: {devices}, memory: 1GiB}}}}
models:
- {{name: quick, engine: emulated, profile: quick.json}}
- {{name: steady, engine: emulated, profile: steady.json}}
serving:
  health:
    beat_interval_s: 0.1
    beat_timeout_s: {beat_timeout_s}
    node_timeout_s: 1.0
    restarts: {{backoff_s: 0.1, max_restarts: 20}}
"""
_MODELS = ("quick", "quick", "steady", "steady")


def write_fault_fleet(folder: Path, *, num_hosts: int = 1) -> Path:
    """quick on g0 and g1, steady on g2 and g3, each group on a device of its own, hosts filled in order."""
    write_profile(folder / "quick.json", stage_s=0.002)
    write_profile(folder / "steady.json", stage_s=STEADY_S)
    per_host = len(_MODELS) // num_hosts
    words = {"hosts": num_hosts, "devices": per_host, "beat_timeout_s": BEAT_TIMEOUT_S}
    (folder / "deployment.yaml").write_text(_DEPLOYMENT.format(**words))
    groups = [
        f'- {{id: g{index}, devices: ["n-{index // per_host}:{index % per_host}"], models: [{model}]}}\n'
        for index, model in enumerate(_MODELS)
    ]
    (folder / "plan.yaml").write_text(
        "api_version: v1alpha1\nkind: PlacementPlan\ngroups:\n" + "".join(groups)
    )
    return folder


def until_back(fleet: ServedFleet, group_id: str, *, not_pids: Collection[int]) -> int:
    """Wait until the group is open in another process; its id."""

    def is_back() -> bool:
        group = fleet.group(group_id)
        return group["state"] == "open" and group["pid"] not in not_pids

    fleet.until(is_back)
    return fleet.group(group_id)["pid"]


def workers_of(fleet: ServedFleet) -> set[int]:
    """Processes of Ray's that lead groups, or are about to."""
    return {pid for pid in fleet.marked_processes() if command_of(pid).startswith("ray::GroupWorker")}


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
