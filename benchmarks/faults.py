"""One of four groups killed under load: a real fleet, and the simulator told of the same fault.

    python -m benchmarks.faults --out faults.json

Four emulated groups, a ring of four models with two replicas each, and one model (`solo`) that only the group
that is hit holds. Poisson arrivals at 70 % of what the groups can serve are replayed through the fleet; in
the middle the worker of g0 is killed (kill -9). Bars: no accepted request without a reply, and attainment of
the models that survive within 2 points of `simulate_with_faults`, which is told when the worker died and when
its group was open again; nothing else is fitted. Every number is emulated: real processes and sockets, stages
that sleep.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, final

import numpy as np

from controller.verbs.control import ask
from simulator.faults import Loss, simulate_with_faults
from simulator.traffic.workload import generate
from statmux.precise import run_precisely
from statmux.replay import Load, Replayed, replay
from vocabulary.deployment import Deployment, Workload
from vocabulary.formats.disk import load_deployment, load_plan
from vocabulary.outcomes import FATES, Outcomes
from vocabulary.placement import Placement
from vocabulary.request import Fate
from vocabulary.trace import Trace

# An SLO of four times a batch: attainment is below 100 % before the fault, and lower after it.
STAGE_S, SLO_S = 0.100, 0.400
RING, SOLO = ("m0", "m1", "m2", "m3"), "solo"
HIT = "g0"
# A request waits so long at most: who hears nothing until then has had no reply.
PATIENCE_S = 30.0
BAR_POINTS = 2.0
_DEPLOYMENT = """\
api_version: v1alpha1
kind: Deployment
metadata: {name: faults}
cluster:
  nodes: [{name: n, count: 1, devices: {type: cpu, count: 4, memory: 1GiB}}]
models:
"""
_PLAN = """\
api_version: v1alpha1
kind: PlacementPlan
groups:
- {id: g0, devices: ["n-0:0"], models: [m0, m1, solo]}
- {id: g1, devices: ["n-0:1"], models: [m1, m2]}
- {id: g2, devices: ["n-0:2"], models: [m2, m3]}
- {id: g3, devices: ["n-0:3"], models: [m3, m0]}
"""


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seconds", type=float, default=60.0, help="of traffic")
    options.add_argument("--load", type=float, default=0.7, help="of what the groups can serve")
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--out", type=Path, help="JSON")
    chosen = options.parse_args()
    with TemporaryDirectory(prefix="faults-") as folder:
        document = measure(Path(folder), chosen)
    print(table(document))
    if chosen.out:
        chosen.out.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if document["num_without_reply"] == 0 and document["is_within_bar"] else 1


def measure(folder: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """Replay once and simulate the same."""
    trace = write_files(folder, chosen)
    deployment = load_deployment(folder / "deployment.yaml")
    placement = load_plan(folder / "plan.yaml", deployment=deployment).placement
    trace = trace.aligned_to(deployment.model_names)
    with served(folder) as socket:
        hit = Hit(socket, at_s=float(trace.arrival_s[-1]) / 2)
        replayed = run_precisely(_replay(socket, hit, deployment, placement, trace))
        fault = hit.wait()
        status = ask(socket, "status", timeout_s=10.0)
    predicted = simulate_with_faults(
        deployment, placement, trace, [Loss(fault.killed_s, 0, opens_s=fault.open_s)]
    )
    return document_of(chosen, trace, replayed, predicted, fault, status)


@dataclass(frozen=True, slots=True)
class Fault:
    """On the trace's clock: when the worker was killed, and when its group was lost and open again."""

    killed_s: float
    lost_s: float
    open_s: float


@final
@dataclass
class Hit:
    """Kills the worker at its time, on a thread, and watches its group until it is open again."""

    socket: Path
    at_s: float
    seen: list[Fault] = field(default_factory=list)
    _thread: threading.Thread | None = None

    def begin(self, num_ended: int, num: int) -> None:
        """As `progress` of a replay: called first when the trace's clock is at -0.05 s."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(time.monotonic() + 0.05,))
            self._thread.start()

    def wait(self) -> Fault:
        assert self._thread is not None
        self._thread.join()
        return self.seen[0]

    def _run(self, origin_s: float) -> None:
        pid = self._group()["pid"]
        time.sleep(max(0.0, origin_s + self.at_s - time.monotonic()))
        killed_s = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        self._until(lambda group: group["state"] != "open")
        lost_s = time.monotonic()
        self._until(lambda group: group["state"] == "open" and group["pid"] != pid)
        self.seen.append(Fault(*(one - origin_s for one in (killed_s, lost_s, time.monotonic()))))

    def _group(self) -> Mapping[str, Any]:
        groups = ask(self.socket, "status", timeout_s=10.0)["groups"]
        return next(group for group in groups if group["id"] == HIT)

    def _until(self, claim: Any) -> None:
        end_s = time.monotonic() + 120.0
        while not claim(self._group()):
            assert time.monotonic() < end_s, "the group did not come back"
            time.sleep(0.01)


async def _replay(
    socket: Path, hit: Hit, deployment: Deployment, placement: Placement, trace: Trace
) -> Replayed:
    address = ask(socket, "status", timeout_s=10.0)["endpoints"]["grpc"]
    inputs = {name: {"INPUT0": np.arange(6, dtype=np.int32)} for name in deployment.model_names}
    slos = {model.name: model.slo for model in deployment.models}
    groups = [group.id for group in placement.groups]
    return await replay(
        address, Load(trace, inputs, slos, timeout_s=PATIENCE_S), groups=groups, progress=hit.begin
    )


def document_of(
    chosen: argparse.Namespace,
    trace: Trace,
    replayed: Replayed,
    predicted: Outcomes,
    fault: Fault,
    status: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that is compared."""
    outcomes = replayed.outcomes
    models = {
        name: {"served": _attainment(outcomes, [name]), "simulated": _attainment(predicted, [name])}
        for name in trace.models
    }
    survivors = {"served": _attainment(outcomes, RING), "simulated": _attainment(predicted, RING)}
    before = {
        "served": _attainment(outcomes, RING, until_s=fault.killed_s),
        "simulated": _attainment(predicted, RING, until_s=fault.killed_s),
    }
    off = abs(survivors["served"] - survivors["simulated"]) * 100
    fates = {"served": _fates(outcomes), "simulated": _fates(predicted)}
    return {
        "seconds": chosen.seconds, "load": chosen.load, "num_requests": len(trace),
        "rate_rps": len(trace) / trace.duration_s, "fault": asdict(fault),
        "noticed_s": fault.lost_s - fault.killed_s, "recovery_s": fault.open_s - fault.killed_s,
        "num_without_reply": fates["served"].get(Fate.DEADLINE_EXCEEDED.value, 0),
        "survivors": survivors, "survivors_before": before, "off_points": off,
        "is_within_bar": bool(off <= BAR_POINTS),
        "models": models, "fates": fates, "errors": dict(replayed.errors),
        "max_lag_s": replayed.max_lag_s,
        "num_restarts": next(one["num_restarts"] for one in status["groups"] if one["id"] == HIT),
    }  # fmt: skip


def _attainment(outcomes: Outcomes, models: list[str] | tuple[str, ...], *, until_s: float = np.inf) -> float:
    """until_s: of requests that arrived before."""
    names = outcomes.trace.models
    rows = np.isin(outcomes.trace.model_index, [names.index(model) for model in models])
    rows &= outcomes.trace.arrival_s < until_s
    return float(outcomes.good[rows].mean())


def _fates(outcomes: Outcomes) -> dict[str, int]:
    codes, counts = np.unique(outcomes.fate, return_counts=True)
    return {FATES[code].value: int(count) for code, count in zip(codes, counts, strict=True)}


def write_files(folder: Path, chosen: argparse.Namespace) -> Trace:
    """The deployment, its plan and profile; the traffic is not a file."""
    slo = f"slo: {{latency_ms: {SLO_S * 1e3:g}}}"
    models = [
        f"- {{name: {name}, engine: emulated, profile: profile.json, {slo}}}\n" for name in (*RING, SOLO)
    ]
    (folder / "deployment.yaml").write_text(_DEPLOYMENT + "".join(models))
    (folder / "plan.yaml").write_text(_PLAN)
    profile = {
        "api_version": "v1alpha1", "kind": "ModelProfile", "model": "any", "device_type": "cpu",
        "provenance": {"kind": "imported"},
        "entries": [{
            "tensor": 1, "pipeline": 1, "weight_bytes": [1000], "activation_bytes": {"1": [1]},
            "stage_latency_s": {"1": [STAGE_S]},
        }],
    }  # fmt: skip
    (folder / "profile.json").write_text(json.dumps(profile))
    total_rps = chosen.load * 4 / STAGE_S
    rates = {name: total_rps * 0.95 / len(RING) for name in RING} | {SOLO: total_rps * 0.05}
    workloads = {name: Workload(rate_rps) for name, rate_rps in rates.items()}
    return generate(workloads, duration_s=chosen.seconds, seed=chosen.seed)


@contextmanager
def served(folder: Path) -> Iterator[Path]:
    """`statmux serve`, ready; its control socket."""
    command = partial(subprocess.run, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    statmux = [sys.executable, "-P", "-m", "statmux.main"]
    ports = ["--port", "0", "--http-port", "0", "--metrics-port", "0"]
    with (folder / "serve.log").open("wb") as log:
        fleet = subprocess.Popen(
            [*statmux, "serve", "deployment.yaml", "--plan", "plan.yaml", *ports],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        command([*statmux, "status", "--wait", "ready", "--timeout", "180s", "-o", "json"])
        yield folder / ".statmux" / "faults" / "control.sock"
        command([*statmux, "stop", "--wait"])
    finally:
        fleet.terminate()
        fleet.wait(120.0)
        print((folder / "serve.log").read_text()[-2000:], file=sys.stderr)


def table(document: Mapping[str, Any]) -> str:
    """For people."""
    rows = {
        **document["models"],
        "survivors": document["survivors"],
        "  before": document["survivors_before"],
    }
    lines = [
        f"{document['num_requests']} requests at {document['rate_rps']:.0f}/s; {HIT} killed after "
        f"{document['fault']['killed_s']:.1f} s: noticed after {document['noticed_s'] * 1e3:.0f} ms, "
        f"open again after {document['recovery_s']:.1f} s",
        f"without a reply: {document['num_without_reply']}",
        f"fates served {document['fates']['served']}, simulated {document['fates']['simulated']}",
        f"{'model':<10}{'served':>9}{'simulated':>11}{'points':>8}",
        *(
            f"{name:<10}{one['served']:>9.2%}{one['simulated']:>11.2%}"
            f"{(one['served'] - one['simulated']) * 100:>8.2f}"
            for name, one in rows.items()
        ),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
