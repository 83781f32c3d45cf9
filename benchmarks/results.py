"""What is kept of a benchmark: its tables, and on what they were measured. One JSON file each."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.tables import Table

ROOT = Path(__file__).parents[1]
# Those that the next change is compared with.
KEPT = ROOT / "benchmarks" / "results"
# Libraries whose versions can change what is measured.
LIBRARIES = ("numpy", "numba", "scipy", "jax", "ray", "grpcio", "pyarrow")


@dataclass(frozen=True, slots=True)
class Provenance:
    """load_average: of the last minute when the first run began; commit: with a + where files had changed."""

    commit: str
    measured_at: str
    processor: str
    num_cpus: int
    load_average: float
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Result:
    """runs: the tables of each run, oldest first; at least one. seconds: of each run."""

    name: str
    command: str
    provenance: Provenance
    seconds: tuple[float, ...]
    runs: tuple[tuple[Table, ...], ...]


def provenance() -> Provenance:
    """Of this machine, now."""
    return Provenance(
        commit=_commit(),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        processor=_processor(),
        num_cpus=os.cpu_count() or 1,
        load_average=round(os.getloadavg()[0], 2),
        versions={"python": platform.python_version()} | _versions(),
    )


def write(result: Result, folder: Path) -> Path:
    """<folder>/<name>.json."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.name}.json"
    path.write_text(json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n")
    return path


def read(path: Path) -> Result:
    """Raises OSError where there is none, and KeyError or TypeError where it is something else."""
    document = json.loads(path.read_text())
    return Result(
        document["name"],
        document["command"],
        Provenance(**document["provenance"]),
        tuple(document["seconds"]),
        tuple(tuple(_table(one) for one in run) for run in document["runs"]),
    )


def _table(document: dict[str, object]) -> Table:
    title, headings, rows = document["title"], document["headings"], document["rows"]
    assert isinstance(title, str) and isinstance(headings, list) and isinstance(rows, list), document
    return Table(title, tuple(headings), tuple(tuple(row) for row in rows))


def _commit() -> str:
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""  # the sources were not checked out with git


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
