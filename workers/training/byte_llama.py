"""Trains a tiny byte-level Llama on the Python standard library's source.

`python -m workers.training.byte_llama --out FOLDER [--size small|draft] [--steps N] [--seed N]` takes minutes
on two processors, tells how it goes on stderr, and prints the folder. Ctrl-C saves what it has.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from workers.families.llama import LlamaConfig
from workers.training.byte_llamas import SIZES, Weights, first_weights, parsed
from workers.training.checkpoint import save_checkpoint
from workers.training.python_text import Text, read_text, windows
from workers.training.training_step import Arrays, Schedule, begin, mean_loss, train_step

# End of the phase as a share of all steps, windows a step, bytes a window.
Phases = Sequence[tuple[float, int, int]]
# What lies further back than its longest window only disturbs a model: with windows of 256 bytes its loss is
# 1.6 nats after 200 bytes of context and 2.4 after 600. Long windows are dear, so they come last.
PHASES: Phases = ((0.6, 8, 256), (0.9, 4, 512), (1.0, 2, 1024))
# 0.67, 1.04 and 2.27 s of processor time a step: about four minutes of two processors. The draft: one.
NUM_STEPS: Mapping[str, int] = {"small": 450, "draft": 450, "test": 50}
_LOOK_STEPS = 50
_HELD_OUT_WINDOWS, _HELD_OUT_LENGTH = 16, 256
# When files of the same name would mean another model, this changes.
_VERSION = "v1"


@dataclass(frozen=True, slots=True)
class Look:
    """How far training is: steps done of all, nats a byte, seconds (not a number after the first step)."""

    step: int
    num_steps: int
    loss: float
    held_out_loss: float
    step_s: float

    def __str__(self) -> str:
        learned = f"{self.loss:.3f} nats a byte, {self.held_out_loss:.3f} in files held out"
        if math.isnan(self.step_s):
            return f"step {self.step} of {self.num_steps}: {learned}"
        minutes, seconds = divmod(round(self.step_s * (self.num_steps - self.step)), 60)
        return (
            f"step {self.step} of {self.num_steps}: {learned}; {self.step_s:.2f} s a step, "
            f"{minutes} min {seconds} s left"
        )


def default_folder(size: str, environment: Mapping[str, str]) -> Path:
    """Where a model of this size is kept between runs: the user's folder of caches."""
    caches = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    name = "byte-llama" if size == "small" else f"byte-llama-{size}"
    return Path(caches) / "statmux" / f"{name}-{_VERSION}"


def train(
    size: str,
    *,
    text: Text,
    num_steps: int,
    seed: int,
    tell: Callable[[Look], None],
    is_stopped: Callable[[], bool] = lambda: False,
    phases: Phases = PHASES,
) -> Weights:
    """The weights after so many steps, or after the step in which `is_stopped` came true."""
    config, schedule = parsed(SIZES[size]), Schedule(num_steps)
    training = begin(first_weights(config, seed=seed))
    draw, start_s = np.random.default_rng(seed), 0.0
    held_out = held_out_windows(text)
    losses: list[jax.Array] = []
    for step in range(1, num_steps + 1):
        count, length = next((count, length) for end, count, length in phases if step <= end * num_steps)
        batch = windows(text.train, count=count, length=length, draw=draw)
        training, loss = train_step(config, schedule, training, batch)
        losses.append(loss)
        if step == 1 or step % _LOOK_STEPS == 0 or step == num_steps:
            mean = float(np.mean(jax.device_get(losses)))
            held_out_loss = held_out_nats(config, training.weights, held_out)
            # The first step compiles.
            step_s = (time.monotonic() - start_s) / (step - 1) if step > 1 else math.nan
            tell(Look(step, num_steps, mean, held_out_loss, step_s))
            losses.clear()
        loss.block_until_ready()  # so that a stop is soon
        start_s = start_s or time.monotonic()
        if is_stopped():
            break
    return {name: np.asarray(weight) for name, weight in training.weights.items()}


def held_out_windows(text: Text) -> np.ndarray:
    """The same at every look and in every run."""
    draw = np.random.default_rng(0)
    return windows(text.held_out, count=_HELD_OUT_WINDOWS, length=_HELD_OUT_LENGTH, draw=draw)


def held_out_nats(config: LlamaConfig, weights: Arrays, held_out: np.ndarray) -> float:
    """Nats a byte, in batches that need no more memory than a step."""
    return float(np.mean([mean_loss(config, weights, part) for part in np.split(held_out, 4)]))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.training.byte_llama", description=__doc__)
    parser.add_argument("--out", type=Path, help="default: statmux/byte-llama-v1 in the user's cache folder")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--steps", type=int, help=f"default: {dict(NUM_STEPS)}")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = options.out or default_folder(options.size, os.environ)
    text = read_text()
    print(f"{len(text.train):,} bytes to learn, {len(text.held_out):,} held out", file=sys.stderr)
    interrupts: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))
    weights = train(
        options.size,
        text=text,
        num_steps=options.steps or NUM_STEPS[options.size],
        seed=options.seed,
        tell=lambda look: print(look, file=sys.stderr, flush=True),
        is_stopped=lambda: bool(interrupts),
    )
    if interrupts:
        print("interrupted: what it has learned so far is kept", file=sys.stderr)
    save_checkpoint(folder, size=SIZES[options.size], weights=weights)
    print(folder)


if __name__ == "__main__":
    main()
