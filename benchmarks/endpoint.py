"""Requests per second and latency of the gRPC endpoint: a bare echo, Ray Serve in two modes, and statmux.

    python -m benchmarks.endpoint --rounds 5 --out endpoint.json
    python -m benchmarks.endpoint --peers statmux,statmux-2,serve-haproxy --connections 16

The second compares one front end with two: connections, not calls, are shared out among them, so there must
be some. Their number in flight is then at least as many.

All peers run throughout and one at a time is loaded. Within a round the cells of one number in flight follow
each other, in an order that turns with the round, so that a round's ratios are of neighbours in time. Peers
that wait are paused (SIGSTOP): on two cores, two idle Ray clusters cost the echo 10 % of its requests per
second at 16 in flight and doubled its p99 at 1 (medians of 16 pairs).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median

from benchmarks.load import Call, as_document, find_h2load, run_load
from benchmarks.peers.kinds import PEERS, USUAL, idle_cores, running
from benchmarks.peers.process import Peer
from benchmarks.peers.wire import PATH, noop_request
from benchmarks.ratios import Bar, Sample, Verdict, medians, paired_ratios, table, verdict_line, verdicts
from vocabulary.errors import StatmuxError

NUMS_IN_FLIGHT = (1, 16, 64)
FRONTS = ("statmux-2", "statmux")
WARM_UP_S = 0.5


def measure(
    peers: Sequence[Peer], *, num_rounds: int, seconds: float, is_pausing: bool, num_connections: int = 1
) -> list[Sample]:
    """All cells of all rounds, with a line of progress each. Raises StatmuxError."""
    nums_in_flight = [number for number in NUMS_IN_FLIGHT if number % num_connections == 0]
    samples = []
    for round_index in range(num_rounds):
        first = round_index % len(peers)
        turned = [*peers[first:], *peers[:first]]
        for num_in_flight in nums_in_flight:
            cell = (num_in_flight, num_connections)
            for peer in turned:
                waiting = [other for other in peers if other is not peer] if is_pausing else []
                samples.append(_sample_alone(peer, waiting, round_index, cell, seconds))
    return samples


def _sample_alone(
    peer: Peer, waiting: Sequence[Peer], round_index: int, streams: tuple[int, int], seconds: float
) -> Sample:
    num_in_flight, num_connections = streams
    for other in waiting:
        other.pause()
    if waiting:
        peer.resume()
    call = Call(peer.port, PATH, noop_request(), peer.check())
    for each_s in (WARM_UP_S, seconds):
        before_s = peer.cpu_s()
        cell = run_load(call, num_in_flight=num_in_flight, seconds=each_s, num_connections=num_connections)
        cpu_s = (peer.cpu_s() - before_s) / cell.num_replies
    peer.check()
    say(f"round {round_index + 1}: {peer.name:<14} {num_in_flight:>2} in flight {cell.rate_rps:7.0f}/s")
    return Sample(round_index, peer.name, cell, cpu_s)


def report(samples: Sequence[Sample], idle: dict[str, float], *, is_pausing: bool) -> str:
    """What a person reads."""
    cores = ", ".join(f"{name} {used:.2f}" for name, used in idle.items())
    pausing = "paused" if is_pausing else "not paused"
    lines = [
        table(samples),
        "",
        f"cores of {os.cpu_count()} that a peer uses when idle: {cores}; waiting peers were {pausing}",
        "",
    ]
    lines += [verdict_line(one) for one in verdicts(samples)]
    return "\n".join([*lines, *front_lines(samples), *cost_lines(samples)])


def front_lines(samples: Sequence[Sample]) -> list[str]:
    """Two front ends against one, where both were measured: medians of ratios within rounds."""
    numbers = sorted({one.cell.num_in_flight for one in samples})
    bars = [Bar("rate_rps", number, FRONTS[1:], 1.0) for number in numbers]
    found = [(bar, paired_ratios(samples, bar, of=FRONTS[0])) for bar in bars if _has_fronts(samples)]
    return [
        f"two front ends / one, requests/s at {bar.num_in_flight} in flight: {median(ratios):.2f} (rounds "
        f"{' '.join(f'{ratio:.2f}' for ratio in ratios)})"
        for bar, ratios in found
    ]


def cost_lines(samples: Sequence[Sample]) -> list[str]:
    """What a request costs a peer's processes, whoever else has the cores: medians over rounds."""
    costs: dict[tuple[str, int], list[float]] = {}
    for one in samples:
        costs.setdefault((one.peer, one.cell.num_in_flight), []).append(one.cpu_s)
    return [
        f"{peer}, {number} in flight: {median(used) * 1e6:.0f} us of a core for a request"
        for (peer, number), used in costs.items()
    ]


def _has_fronts(samples: Sequence[Sample]) -> bool:
    return {one.peer for one in samples}.issuperset(FRONTS)


def document(samples: Sequence[Sample], idle: dict[str, float], *, is_pausing: bool) -> dict[str, object]:
    """What --out holds: every sample, and all that is derived from them."""
    packages = ("ray", "grpcio", "protobuf")
    return {
        "cpus": os.cpu_count(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "waiting_peers_paused": is_pausing,
        "idle_cores": {name: round(used, 3) for name, used in idle.items()},
        "samples": [{"round": one.round_index} | _row(one) for one in samples],
        "medians": [_row(one) for one in medians(samples)],
        "bars": [_outcome(one) for one in verdicts(samples)],
    }


def _row(sample: Sample) -> dict[str, object]:
    return {"peer": sample.peer, "cpu_us": round(sample.cpu_s * 1e6, 1)} | as_document(sample.cell)


def _outcome(verdict: Verdict) -> dict[str, object]:
    ratios = [round(ratio, 4) for ratio in verdict.ratios]
    return asdict(verdict.bar) | {
        "ratio": round(verdict.ratio, 4),
        "rounds": ratios,
        "is_met": verdict.is_met,
    }


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """The command line; `peers` is a list."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", default=",".join(USUAL), help=f"comma-separated, from {','.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="per cell, after half a second of warm-up")
    parser.add_argument("--connections", type=int, default=1, help="1, 16 or 64, the same for all peers")
    parser.add_argument("--no-pause", action="store_true", help="let the waiting peers idle")
    parser.add_argument("--out", type=Path, help="write all samples and ratios as JSON")
    options = parser.parse_args()
    options.peers = options.peers.split(",")
    if unknown := [name for name in options.peers if name not in PEERS]:
        parser.error(f"no such peer: {', '.join(unknown)}; choose from {', '.join(PEERS)}")
    if options.connections not in NUMS_IN_FLIGHT:
        parser.error(f"--connections must be one of {', '.join(map(str, NUMS_IN_FLIGHT))}")
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds and --seconds must be above 0")
    return options


def main() -> int:
    """Exit code 0 after a full run, whether or not the bars were met; that of the error otherwise."""
    options = arguments()
    is_pausing = not options.no_pause
    # Leave by way of the exit stack, which ends the peers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        find_h2load()
        with running(options.peers, say=say) as peers:
            idle = idle_cores(peers)
            samples = measure(
                peers,
                num_rounds=options.rounds,
                seconds=options.seconds,
                is_pausing=is_pausing,
                num_connections=options.connections,
            )
    except StatmuxError as error:
        say(f"error: {error}" + (f"\nhint: {error.hint}" if error.hint else ""))
        return error.exit_code
    print(report(samples, idle, is_pausing=is_pausing))
    if options.out:
        options.out.write_text(json.dumps(document(samples, idle, is_pausing=is_pausing), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
