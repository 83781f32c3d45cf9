"""What a fleet of 1,000 hosts, 8,000 devices, 500 models and 100,000 requests/s asks of the controller.

    python -m benchmarks.scale --out scale.json                  # dispatcher, heartbeats, reconciliation
    python -m benchmarks.scale --parts search --out search.json  # minutes: searches of growing fleets

Seconds are of the processor (process time), so that other work on the machine counts little. What was not run
at full size is fitted by a power law and called estimated.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.scale_fleet import DEVICES_PER_HOST, MODELS_PER_GROUP
from benchmarks.scale_measures import Search, dispatcher, heartbeat, power_law, reconciled, searched
from benchmarks.tables import markdown, table

NUM_HOSTS, NUM_MODELS, RATE_RPS = 1000, 500, 100_000
ROUTERS = ("power_of_two", "shortest_expected_delay")
# Of the endpoint in all, not only its scheduler, measured with benchmarks/endpoint.py on one core.
FRONT_RPS = 3000
BEAT_INTERVALS_S = (0.2, 0.5, 2.0)
DISPATCHERS = ((10, 50), (100, 500), (NUM_HOSTS, NUM_MODELS))
RECONCILERS = ((100, 50), (400, 200), (NUM_HOSTS, NUM_MODELS))
# Hosts and models; a published algorithm takes no time budget, and is the fast one.
SEARCHES = {
    "sr-greedy": ((4, 16), (8, 32), (16, 64), (32, 128)),
    "mp-search": ((1, 4), (2, 8), (4, 16)),
    "auto": ((1, 4), (2, 8), (4, 16)),
}
PARTS = ("dispatcher", "heartbeats", "reconcile", "search")


def dispatchers() -> list[dict[str, object]]:
    found = [dispatcher(num_hosts, num_models, ROUTERS) for num_hosts, num_models in DISPATCHERS]
    headings = ("groups", "models", "state", "a replica", "a request in flight", *ROUTERS)
    rows = (
        (
            one.num_groups,
            num_models,
            f"{one.state_bytes / 1e6:.2f} MB",
            f"{one.bytes_per_replica:.0f} B",
            f"{one.bytes_in_flight:.0f} B",
            *(f"{one.decisions_per_s[router]:,.0f}/s" for router in ROUTERS),
        )
        for one, (_, num_models) in zip(found, DISPATCHERS, strict=True)
    )
    print(markdown(table(headings, rows, title="memory and decisions of the dispatcher")) + "\n", flush=True)
    return [asdict(one) for one in found]


def heartbeats() -> list[dict[str, object]]:
    """At full size, with as many front ends as FRONT_RPS asks for."""
    beat, num_fronts = heartbeat(), -(-RATE_RPS // FRONT_RPS)
    rows = []
    for interval_s in BEAT_INTERVALS_S:
        per_front = NUM_HOSTS / interval_s
        rows.append(
            {
                "interval_s": interval_s,
                "beats_per_s_and_front": per_front,
                "beats_per_s": per_front * num_fronts,
                "bytes_per_s": per_front * num_fronts * beat.frame_bytes,
                "cores_of_a_front": per_front * beat.heard_s,
            }
        )
    title = (
        f"a beat of {MODELS_PER_GROUP} models: {beat.frame_bytes} bytes, {beat.heard_s * 1e6:.1f} us to "
        f"hear; {num_fronts} front ends at {FRONT_RPS} requests/s each"
    )
    cells = (
        (
            f"{row['interval_s']:g} s",
            f"{row['beats_per_s']:,.0f}/s",
            f"{row['bytes_per_s'] / 1e6:.1f} MB/s",
            f"{100 * row['cores_of_a_front']:.1f}%",
        )
        for row in rows
    )
    print(
        markdown(table(("every", "frames in all", "bytes", "of a core in each"), cells, title=title)) + "\n"
    )
    return [asdict(beat), *rows]


def reconciliations() -> list[dict[str, object]]:
    found = [reconciled(*size) for size in RECONCILERS]
    headings = ("groups", "all start", "a model leaves its groups", "in steps")
    rows = ((one.num_groups, f"{one.start_s:.2f} s", f"{one.change_s:.2f} s", one.num_steps) for one in found)
    print(markdown(table(headings, rows, title="reconciliation")) + "\n", flush=True)
    return [asdict(one) for one in found]


def searches(algorithms: Sequence[str]) -> list[dict[str, object]]:
    found: list[Search] = []
    full = NUM_HOSTS * DEVICES_PER_HOST
    for algorithm in algorithms:
        searched(1, 2, algorithm, rate_per_device_rps=1.0)  # compiles
        rows = [
            searched(num_hosts, num_models, algorithm, rate_per_device_rps=RATE_RPS / NUM_HOSTS / 8)
            for num_hosts, num_models in SEARCHES[algorithm]
        ]
        factor, exponent = power_law([one.num_devices for one in rows], [one.seconds for one in rows])
        hours = factor * full**exponent / 3600
        title = f"search {algorithm}: devices ** {exponent:.2f}; estimated at {full} devices: {hours:,.1f} h"
        cells = (
            (one.num_devices, num_models, f"{one.seconds:.1f} s", f"{one.again_s:.1f} s")
            for one, (_, num_models) in zip(rows, SEARCHES[algorithm], strict=True)
        )
        headings = ("devices", "models", "search", "again, from that placement")
        print(markdown(table(headings, cells, title=title)) + "\n", flush=True)
        found += rows
    return [asdict(one) for one in found]


def main() -> int:
    """Prints each part, and writes the numbers to --out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS[:3]), help=f"from {','.join(PARTS)}")
    parser.add_argument("--algorithms", default=",".join(SEARCHES), help="of --parts search")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    runs = {
        "dispatcher": dispatchers,
        "heartbeats": heartbeats,
        "reconcile": reconciliations,
        "search": lambda: searches(options.algorithms.split(",")),
    }
    found = {name: runs[name]() for name in options.parts.split(",")}
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
