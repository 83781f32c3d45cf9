"""`make demo`: the main job from nothing, by the same commands that a user types.

Profiles six small models on virtual CPU devices, plans them, serves the plan on a local Ray cluster, replays
one minute of bursty traffic, lets the model that writes Python write some, compares with the simulator,
writes a report, stops. Each step is one `statmux` command, printed before it runs; only the model that writes
is trained before, once, for a minute or two, and kept in the user's folder of caches. Everything else lies in
`.statmux/demo/`. Options that it does not know are handed to every command that reads the deployment
(`--set PATH=VALUE`).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.request import Request, urlopen

EXAMPLE = Path(__file__).resolve().parent.parent / "deploy" / "examples" / "demo" / "deployment.yaml"
FOLDER = Path(".statmux") / "demo"
_READY_TIMEOUT_S = 150
_STOP_TIMEOUT_S = 60
_LOOK_S = 0.3
# What a deployment calls the folder of the model that is trained for it.
_WRITER = "${STATMUX_BYTE_LLAMA:-byte-llama}"
_TRAINING = ("--size", "draft")
_PROMPT, _WRITTEN_TOKENS = "    def read(self, name):\n", 120


def main(example: Path = EXAMPLE, duration: str = "60s", extra: Sequence[str] = ()) -> int:
    """Run the demo in this folder. Returns an exit code."""
    start_s = time.monotonic()
    FOLDER.mkdir(parents=True, exist_ok=True)
    deployment = str(FOLDER / "deployment.yaml")
    train, test, plan = (str(FOLDER / name) for name in ("train.csv", "test.csv", "plan.yaml"))
    traffic = ["--duration", duration]
    try:
        text = example.read_text()
        Path(deployment).write_text(text.replace(_WRITER, _trained(start_s)) if _WRITER in text else text)
        _step(start_s, "measure the models", ["profile", deployment, *extra])
        _step(
            start_s,
            "traffic to plan with",
            ["trace", "gen", deployment, *traffic, "--seed", "1", "--out", train],
        )
        _step(
            start_s, "traffic to serve", ["trace", "gen", deployment, *traffic, "--seed", "2", "--out", test]
        )
        _step(
            start_s,
            "search a placement",
            ["plan", deployment, "--trace", train, "--test-trace", test, "--out", plan, *extra],
        )
        _serve_and_replay(start_s, [deployment, *extra], plan, test)
    except _Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    _say(start_s, f"done: {FOLDER / 'report.html'}")
    return 0


class _Failed(Exception):
    pass


def _serve_and_replay(start_s: float, deployment: list[str], plan: str, trace: str) -> None:
    serve = ["serve", *deployment, "--plan", plan]
    _say(start_s, f"serve it: {_shown(serve)} &")
    fleet = subprocess.Popen(_command(serve))
    try:
        _wait_ready(start_s, fleet)
        overhead = _overhead(start_s, ["bench", *deployment, "--plan", plan, "--calibrate", "100"])
        record = str(FOLDER / "run")
        _step(
            start_s,
            "replay the traffic",
            ["bench", *deployment, "--plan", plan, "--trace", trace, "--record", record, "--set", overhead],
        )
        _write_some(start_s)
        _step(start_s, "write the report", ["report", record, "--out", str(FOLDER / "report.html")])
        _step(start_s, "stop", ["stop", "--wait"])
        if fleet.wait(_STOP_TIMEOUT_S) != 0:
            raise _Failed(f"`statmux serve` ended with {fleet.returncode}")
    except subprocess.TimeoutExpired:
        raise _Failed(f"`statmux serve` did not end within {_STOP_TIMEOUT_S} s") from None
    finally:
        _end(fleet)


def _trained(start_s: float) -> str:
    """The folder of the model that writes Python, trained unless that was done before."""
    caches = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(caches) / "statmux" / "byte-llama-draft-v1"
    if (folder / "config.json").is_file():
        return str(folder)
    words = ["-m", "workers.training.byte_llama", *_TRAINING, "--out", str(folder)]
    _say(start_s, f"train a tiny Llama on Python's own source, once: python {shlex.join(words)}")
    if subprocess.run([sys.executable, "-P", *words], stdout=subprocess.DEVNULL).returncode != 0:
        raise _Failed("training ended without a model")
    return str(folder)


def _write_some(start_s: float) -> None:
    """Ask the first model with a tokenizer to write on, as any OpenAI client would."""
    served = subprocess.run([*_command(["status", "-o", "json"])], stdout=subprocess.PIPE, check=False)
    document = json.loads(served.stdout)
    writers = [name for name, one in document["models"].items() if one.get("generates")]
    if not writers or "http" not in document["endpoints"]:
        return
    url = f"http://{document['endpoints']['http']}/v1/completions"
    asked = {
        "model": writers[0],
        "prompt": _PROMPT,
        "max_tokens": _WRITTEN_TOKENS,
        "temperature": 0.7,
        "seed": 1,
    }
    _say(start_s, f"let {writers[0]} write: curl {url} -d '{json.dumps(asked)}'")
    request = Request(url, json.dumps(asked).encode(), {"content-type": "application/json"})
    try:
        with urlopen(request, timeout=_READY_TIMEOUT_S) as answer:
            text = json.load(answer)["choices"][0]["text"]
    except (OSError, ValueError, LookupError) as error:
        raise _Failed(f"{writers[0]} wrote nothing: {error}") from None
    print(f"{_PROMPT}{text}", file=sys.stderr, flush=True)


def _wait_ready(start_s: float, fleet: subprocess.Popen[bytes]) -> None:
    """Until the fleet is ready; at once when it ended instead (a port in use, say)."""
    words = ["status", "--wait", "ready", "--timeout", f"{_READY_TIMEOUT_S}s", "--quiet"]
    _say(start_s, f"wait for it: {_shown(words)}")
    waiting = subprocess.Popen(_command(words))
    try:
        while waiting.poll() is None and fleet.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                waiting.wait(_LOOK_S)
        if fleet.poll() is not None:
            raise _Failed(f"`statmux serve` ended with {fleet.returncode}")
        if waiting.returncode != 0:
            raise _Failed(f"`{_shown(words)}` ended with {waiting.returncode}")
    finally:
        _end(waiting)


def _overhead(start_s: float, words: Sequence[str]) -> str:
    """What a lone request takes beyond its profile, as the `--set` of the simulation beside the replay."""
    _say(start_s, f"measure the fixed overhead: {_shown(words)}")
    ended = subprocess.run([*_command(words), "-o", "json"], stdout=subprocess.PIPE)
    if ended.returncode != 0:
        raise _Failed(f"`{_shown(words)}` ended with {ended.returncode}")
    return f"simulation.fixed_overhead_s={json.loads(ended.stdout)['fixed_overhead_s']:.6f}"


def _end(fleet: subprocess.Popen[bytes]) -> None:
    """Ask twice, then insist; a fleet that has ended already is left alone."""
    for each in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if fleet.poll() is not None:
            return
        fleet.send_signal(each)
        try:
            fleet.wait(_STOP_TIMEOUT_S / 2)
        except subprocess.TimeoutExpired:
            continue


def _step(start_s: float, title: str, words: Sequence[str]) -> None:
    _say(start_s, f"{title}: {_shown(words)}")
    code = subprocess.run(_command(words)).returncode
    if code != 0:
        raise _Failed(f"`{_shown(words)}` ended with {code}")


def _say(start_s: float, words: str) -> None:
    print(f"[{time.monotonic() - start_s:5.1f} s] {words}", file=sys.stderr, flush=True)


def _shown(words: Sequence[str]) -> str:
    return shlex.join(["statmux", *words])


def _command(words: Sequence[str]) -> list[str]:
    # -P: a `workers/` or `simulator/` in the folder where the user stands must not shadow ours.
    return [sys.executable, "-P", "-m", "statmux.main", *words]


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    try:
        options = argparse.ArgumentParser(description="The main job, on this machine, from nothing.")
        options.add_argument("--example", type=Path, default=EXAMPLE, help="another deployment to show")
        options.add_argument("--duration", default="60s", help="how long the traffic lasts")
        known, others = options.parse_known_args()
        sys.exit(main(known.example, known.duration, others))
    except KeyboardInterrupt:
        sys.exit(130)
