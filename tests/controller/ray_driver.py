"""Run by tests as a process: one group on a Ray at ADDRESS, until standard input closes.

`ray_driver.py ADDRESS DEVICE [GRACE_S]` says what it does, after the folder of its sockets, and errors. With
a grace, it has the keys of the folder where it stands, and says what another needs to take over.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

# At the end: where the user stands, or nothing, comes before the repository.
sys.path.append(str(Path(__file__).parents[2]))

from controller.keys import ensure_keys
from controller.on_ray.cluster import RayCluster
from tests.controller.ray_fleet import deployment, group, specs_of
from vocabulary.errors import StatmuxError
from vocabulary.parallel import ParallelConfig


def say(words: str) -> None:
    print(words, flush=True)


def main(address: str, device: str, grace_s: str = "0.2") -> None:
    fleet = deployment(ray_address=address, orphan_grace_s=float(grace_s))
    cluster = RayCluster(
        fleet,
        progress=lambda words: say(f"{cluster.socket_folder}: {words}"),
        keys=ensure_keys(fleet.name) if float(grace_s) > 1.0 else None,
        open_timeout_s=60.0 if address == "local" else 5.0,
    )
    try:
        cluster.open()
        (started,) = cluster.start_groups(specs_of(fleet, group("g", [device], ParallelConfig(1, 1))))
        say(f"memory {json.dumps(cluster.memory())}")
        say(f"ready on {started.host}")
        sys.stdin.read()
    finally:
        cluster.close()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except StatmuxError as error:
        say(f"error: {error}\nhint: {error.hint}")
        sys.exit(error.exit_code)
