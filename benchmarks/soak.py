"""A soak: mixed load with faults on a real fleet for a long time, and whether anything grows.

    python -m benchmarks.soak --minutes 30 --out soak.json

Every `--fault-every` seconds, in turn: a worker is killed; a worker is stopped (SIGSTOP) until the fleet has
killed it; a model is taken out of service and back; the plan is changed and changed back. Memory (of its
own), open files and threads of every process are read every two seconds; a process's first minutes
(`--warm-up`) do not count. The fleet: four emulated models with two replicas each, and a tiny Llama with
random weights.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.soak_load import Tally, load
from benchmarks.soak_vitals import Trend, Vitals, processes_with, trends, vitals_of
from controller.verbs.control import ask

MARK = "STATMUX_SOAK"
FLEET = "soak"
READ_S = 2.0
TENSORS = ("m0", "m1", "m2", "m3")
CHAT = "chat"
MAX_GROWTH = 0.02

_DEPLOYMENT = """\
api_version: v1alpha1
kind: Deployment
metadata: {name: soak}
cluster:
  nodes: [{name: n, count: 1, devices: {type: cpu, count: 5, memory: 1GiB}}]
models:
- {name: m0, engine: emulated, profile: fast.json}
- {name: m1, engine: emulated, profile: fast.json}
- {name: m2, engine: emulated, profile: fast.json}
- {name: m3, engine: emulated, profile: fast.json}
- name: chat
  source: random://llama-tiny?seed=1
  task: generate
  profile: chat.json
  max_model_len: 64
  batching: {max_batch_size: 4, max_batch_tokens: 32}
  kv_cache: {num_pages: 24, block_size: 8}
serving:
  health: {beat_timeout_s: 3}
"""
_PLAN = """\
api_version: v1alpha1
kind: PlacementPlan
groups:
- {id: g0, devices: ["n-0:0"], tensor: 1, pipeline: 1, models: [m0, m1]}
- {id: g1, devices: ["n-0:1"], tensor: 1, pipeline: 1, models: [m1, m2]}
- {id: g2, devices: ["n-0:2"], tensor: 1, pipeline: 1, models: [m2, m3]}
- {id: g3, devices: ["n-0:3"], tensor: 1, pipeline: 1, models: [m3, m0]}
- {id: g4, devices: ["n-0:4"], tensor: 1, pipeline: 1, models: [chat]}
"""
_OTHER_PLAN = _PLAN.replace("[m0, m1]", "[m0, m1, m2]").replace("[m1, m2]", "[m1]")
_STEPS = {"constant_s": 0.002, "token_s": 1e-4, "kv_token_s": 1e-6}


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--minutes", type=float, default=30.0)
    asked.add_argument("--warm-up", type=float, default=3.0, help="minutes of each process that do not count")
    asked.add_argument("--fault-every", type=float, default=20.0, help="seconds")
    asked.add_argument("--clients", type=int, default=12)
    asked.add_argument("--out", type=Path)
    arguments = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as path, fleet(Path(path)) as (folder, mark):
        document = asyncio.run(soak(folder, mark, arguments))
    show(document)
    if arguments.out:
        arguments.out.write_text(json.dumps(document, indent=1))
    return 0 if document["is_flat"] and not document["num_without_reply"] else 1


@contextlib.contextmanager
def fleet(folder: Path) -> Iterator[tuple[Path, str]]:
    """`statmux serve`, ready, in `folder`; its processes are known by a mark in their environment."""
    write_files(folder)
    mark = f"{MARK}={uuid.uuid4()}"
    command = [sys.executable, "-P", "-m", "statmux.main"]
    ports = ["--port", "0", "--http-port", "0", "--metrics-port", "0"]
    with (folder / "serve.log").open("wb") as log:
        served = subprocess.Popen(
            [*command, "serve", "deployment.yaml", "--plan", "plan.yaml", *ports],
            cwd=folder, env=os.environ | dict([mark.split("=")]), stdout=log, stderr=log,
        )  # fmt: skip
    try:
        waited = [*command, "status", "--wait", "ready", "--timeout", "180s", "-o", "json"]
        subprocess.run(waited, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        yield folder, mark
        subprocess.run([*command, "stop", "--wait"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    finally:
        served.terminate()
        try:
            served.wait(60)
        except subprocess.TimeoutExpired:
            served.kill()
        left = processes_with(mark)
        print(f"processes left: {left or 'none'}", file=sys.stderr)
        print((folder / "serve.log").read_text()[-4000:], file=sys.stderr)


def write_files(folder: Path) -> None:
    (folder / "deployment.yaml").write_text(_DEPLOYMENT)
    (folder / "plan.yaml").write_text(_PLAN)
    (folder / "other.yaml").write_text(_OTHER_PLAN)
    entry = {
        "tensor": 1, "pipeline": 1, "weight_bytes": [2_000_000], "activation_bytes": {"1": [4096]},
        "stage_latency_s": {"1": [0.004]},
    }  # fmt: skip
    head = {"api_version": "v1alpha1", "kind": "ModelProfile", "device_type": "cpu"}
    provenance = {"provenance": {"kind": "imported"}}
    (folder / "fast.json").write_text(json.dumps(head | provenance | {"model": "any", "entries": [entry]}))
    steps = entry | {"kv_bytes_per_token": [256], "step_times": [_STEPS]}
    (folder / "chat.json").write_text(json.dumps(head | provenance | {"model": CHAT, "entries": [steps]}))


async def soak(folder: Path, mark: str, arguments: argparse.Namespace) -> dict[str, Any]:
    socket = folder / ".statmux" / FLEET / "control.sock"
    endpoints = (await _ask(socket, "status"))["endpoints"]
    tally, until = Tally(), asyncio.Event()
    samples: dict[str, list[Vitals]] = defaultdict(list)
    faults: list[str] = []
    begin_s, length_s = time.monotonic(), arguments.minutes * 60
    tasks = [
        asyncio.create_task(
            load(
                endpoints["grpc"], endpoints["http"], TENSORS, (CHAT,),
                until=until, num_clients=arguments.clients, tally=tally,
            )
        ),
        asyncio.create_task(read_vitals(socket, mark, samples, until)),
        asyncio.create_task(make_faults(folder, socket, arguments.fault_every, faults, until)),
    ]  # fmt: skip
    timer = asyncio.create_task(asyncio.sleep(length_s))
    await asyncio.wait([timer, *tasks], return_when=asyncio.FIRST_COMPLETED)
    until.set()
    await asyncio.gather(*tasks)
    after = await _ask(socket, "status")
    found = trends(samples, warm_s=arguments.warm_up * 60)
    return {
        "minutes": round((time.monotonic() - begin_s) / 60, 2),
        "calls": tally.total,
        "num_without_reply": tally.num_without_reply,
        "ends": {f"{kind}: {end}": count for (kind, end), count in sorted(tally.ends.items())},
        "faults": faults,
        "pending_at_the_end": after["num_pending"],
        "state_at_the_end": after["state"],
        "trends": [asdict(one) | {"growth": round(one.growth, 4)} for one in found],
        "is_flat": bool(found) and all(is_flat(one) for one in found),
    }


def is_flat(one: Trend) -> bool:
    """Memory grows by less than the bar; as many files and threads as before, but for calls under way."""
    has_leak = any(last > first + 4 for first, last in (one.num_files, one.num_threads))
    return one.growth < MAX_GROWTH and not has_leak


async def read_vitals(
    socket: Path, mark: str, samples: dict[str, list[Vitals]], until: asyncio.Event
) -> None:
    """By role and process, for as long as each lives."""
    while not until.is_set():
        with contextlib.suppress(Exception):
            groups = {one["pid"]: one["id"] for one in (await _ask(socket, "status"))["groups"]}
            for pid, command in processes_with(mark).items():
                one = vitals_of(pid, now_s=time.monotonic())
                if one is not None:
                    samples[f"{role_of(command, groups.get(pid))} {pid}"].append(one)
        await _pause(until, READ_S)


def role_of(command: str, group: str | None) -> str:
    if group is not None:
        return f"worker of {group}"
    for words, role in (
        ("statmux.main serve", "controller"),
        ("controller.front", "front end"),
        ("on_ray/keeper", "keeper"),
        ("gcs_server", "Ray's store"),
        ("raylet", "Ray's raylet"),
    ):
        if words in command:
            return role
    return "Ray's other"


async def make_faults(
    folder: Path, socket: Path, every_s: float, faults: list[str], until: asyncio.Event
) -> None:
    begin_s = time.monotonic()
    number = 0
    while not until.is_set():
        await _pause(until, every_s)
        if until.is_set():
            return
        kind = ("kill", "stop", "unload", "apply")[number % 4]
        group = f"g{number // 4 % 5}"
        number += 1
        try:
            await _fault(kind, group, folder, socket, number)
            faults.append(f"{time.monotonic() - begin_s:.0f} s: {kind} {group}")
        except Exception as error:
            faults.append(f"{time.monotonic() - begin_s:.0f} s: {kind} {group} could not be: {error}")


async def _fault(kind: str, group: str, folder: Path, socket: Path, number: int) -> None:
    if kind in ("kill", "stop"):
        status = await _ask(socket, "status")
        pid = next(one["pid"] for one in status["groups"] if one["id"] == group)
        os.kill(pid, signal.SIGKILL if kind == "kill" else signal.SIGSTOP)
    elif kind == "unload":
        await _verb(folder, "models", "unload", TENSORS[number % 4])
        await _verb(folder, "models", "load", TENSORS[number % 4])
    else:
        await _verb(folder, "apply", "other.yaml" if number % 8 == 4 else "plan.yaml", "--yes", "--wait")


async def _verb(folder: Path, *words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "statmux.main", *words, cwd=folder,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    if process.returncode:
        raise RuntimeError(said.decode().strip().splitlines()[0] if said else f"code {process.returncode}")


async def _ask(socket: Path, verb: str) -> dict[str, Any]:
    return await asyncio.to_thread(ask, socket, verb, timeout_s=30.0)


async def _pause(until: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(until.wait(), seconds)


def show(document: dict[str, Any]) -> None:
    print(f"{document['calls']} calls in {document['minutes']} min, {len(document['faults'])} faults")
    for end, count in document["ends"].items():
        print(f"  {end:<40} {count}")
    print(f"{'process':<28}{'samples':>8}{'MiB':>16}{'growth':>9}{'files':>12}{'threads':>12}")
    for one in document["trends"]:
        first, last = (value / 2**20 for value in one["memory_bytes"])
        print(
            f"{one['role']:<28}{one['num_samples']:>8}{f'{first:.1f} {last:.1f}':>16}{one['growth']:>9.2%}"
            f"{'{:g} {:g}'.format(*one['num_files']):>12}{'{:g} {:g}'.format(*one['num_threads']):>12}"
        )
    print(f"flat: {document['is_flat']}; without a reply: {document['num_without_reply']}")


if __name__ == "__main__":
    sys.exit(main())
