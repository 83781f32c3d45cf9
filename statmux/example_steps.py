"""What lies before an example can be served or simulated, by the commands that a user would type."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from statmux.examples import DEPLOYMENT, Example, can_be_served, example_files
from vocabulary.errors import InvalidInput, RuntimeFailure

# Enough for a good plan of every example; `statmux plan` without it goes on until nothing is left to gain.
PLAN_BUDGET = "3s"
TRAFFIC = ("--duration", "60s")
TRAIN, TEST, PLAN = "train.csv", "test.csv", "plan.yaml"


@dataclass(frozen=True, slots=True)
class Question:
    """The files of one simulation."""

    deployment: Path
    plan: Path
    trace: Path


@final
class ExampleFolder:
    """The folder of an example's name, here. Files that are there are kept, and what is missing is made.

    Raises RuntimeFailure where a command fails; the command has said why.
    """

    def __init__(self, example: Example, *, overrides: Sequence[str], say: Callable[[str], None]) -> None:
        self._example = example
        self._overrides = [word for one in overrides for word in ("--set", one)]
        self._say = say
        self._folder = Path(example)
        self._deployment = self._folder / DEPLOYMENT

    def to_serve(self) -> Path:
        """Its deployment, with profiles. Raises InvalidInput for an example without models to load."""
        if not can_be_served(self._example):
            served = ", ".join(filter(can_be_served, Example))
            raise InvalidInput(
                f"{self._example} is for planning and simulating: it has profiles, and no models to load",
                where="--example",
                hint=f"statmux simulate --example {self._example}; to be served: {served}",
            )
        self._lay_out()
        self._measure()
        return self._deployment

    def to_simulate(self) -> Question:
        """Its deployment with profiles, a plan, and traffic that the plan was not made for."""
        self._lay_out()
        self._measure()
        train, test, plan = (self._folder / name for name in (TRAIN, TEST, PLAN))
        for seed, trace in enumerate((train, test), 1):
            if not trace.exists():
                drawn = ("--seed", str(seed), "--out", str(trace))
                self._run("trace", "gen", str(self._deployment), *TRAFFIC, *drawn)
        if not plan.exists():
            words = ("--trace", str(train), "--time-budget", PLAN_BUDGET, "--out", str(plan))
            self._run("plan", str(self._deployment), *words)
        return Question(self._deployment, plan, test)

    def _lay_out(self) -> None:
        from vocabulary.formats.disk import write_bytes

        if self._deployment.exists():
            self._say(f"going on with {self._folder}/ as it is")
            return
        for file, content in example_files(self._example, self._deployment).items():
            write_bytes(file, content)
        self._say(f"wrote {self._folder}/")

    def _measure(self) -> None:
        from vocabulary.formats.disk import load_deployment

        read = load_deployment(self._deployment, overrides=self._overrides[1::2], needs_profiles=False)
        missing = [
            model.name
            for model in read.models
            if model.profile_path is not None and not (Path(read.folder) / model.profile_path).exists()
        ]
        if missing:
            self._run("profile", str(self._deployment), *missing)

    def _run(self, *words: str) -> None:
        """In a process of its own: JAX takes its devices once. What it tells goes to stderr."""
        shown = shlex.join(["statmux", *words, *self._overrides])
        self._say(shown)
        command = [sys.executable, "-P", "-m", "statmux.main", *words, *self._overrides]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        self._say(ended.stdout)
        if ended.returncode:
            raise RuntimeFailure(f"`{shown}` ended with {ended.returncode}")
