"""Which benchmarks `make bench` runs, and how far two runs of one lie apart on a quiet machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Benchmark:
    """`arguments` go to the module `benchmarks.<name>`.

    is_quick: of the default set, which takes some minutes on two cores and needs no other files. needs_data:
    it takes `--data`, a folder with alpaserve/ and traces/.
    """

    name: str
    arguments: tuple[str, ...] = ()
    is_quick: bool = False
    needs_data: bool = False

    @property
    def command(self) -> str:
        return " ".join(("python -m", f"benchmarks.{self.name}", *self.arguments))


# Every figure of the quick set is one that a change of code moves.
BENCHMARKS = (
    Benchmark("intra_operator", is_quick=True),
    Benchmark("journal", ("--lines", "200000"), is_quick=True),
    Benchmark("scale", is_quick=True),
    Benchmark("transport", is_quick=True),
    Benchmark("whole_models", is_quick=True),
)
# The least band of each: how far medians of two runs of the same code lie apart where nothing else runs.
# Kept results of several runs widen it by what those differed. "": of all others.
NOISE = {"": 1.25}


def fresh_folder() -> Path:
    """Where the last runs lie; not kept with the sources."""
    return Path(__file__).parents[1] / "build" / "benchmarks"
