"""Run by tests as a process: one group on a Ray at ADDRESS, until standard input closes.

`ray_driver.py ADDRESS DEVICE` says what it does, after the folder of its sockets, and errors.
"""

from __future__ import annotations

import sys
from pathlib import Path

# At the end: where the user stands, or nothing, comes before the repository.
sys.path.append(str(Path(__file__).parents[2]))

from controller.ray_cluster import RayCluster
from tests.controller.ray_fleet import deployment, group, specs_of
from vocabulary.errors import StatmuxError
from vocabulary.parallel import ParallelConfig


def say(words: str) -> None:
    print(words, flush=True)


def main(address: str, device: str) -> None:
    fleet = deployment(ray_address=address)
    cluster = RayCluster(
        fleet,
        progress=lambda words: say(f"{cluster.socket_folder}: {words}"),
        open_timeout_s=60.0 if address == "local" else 5.0,
    )
    try:
        cluster.open()
        (started,) = cluster.start_groups(specs_of(fleet, group("g", [device], ParallelConfig(1, 1))))
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
