"""What a study has found so far, on disk: one file a point, so that an interrupted study goes on."""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path
from typing import final

import msgspec

from placement.capacity.evaluate import Probe
from placement.capacity.results import Result
from vocabulary.formats.disk import write_bytes

ROOT = Path(".statmux") / "runs"


@final
class Store:
    """Results by probe, in one folder. A file that cannot be read counts as not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, probe: Probe) -> Result | None:
        try:
            return msgspec.json.decode(self._path(probe).read_bytes(), type=Result)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def save(self, probe: Probe, result: Result) -> None:
        write_bytes(self._path(probe), msgspec.json.encode(result))

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, probe: Probe) -> Path:
        return self.folder / "points" / f"{_readable(probe)}-{_digest(probe)}.json"


def _readable(probe: Probe) -> str:
    """Enough for a person to find a point by; the digest tells the others apart."""
    point = probe.point
    parts = [probe.algorithm or "plan", f"{point.num_devices}dev", f"rate{point.rate_scale:g}"]
    parts.append(f"slo{point.slo_scale:g}")
    if point.cv_scale is not None:
        parts.append(f"cv{point.cv_scale:g}")
    return "-".join(parts)


def _digest(probe: Probe) -> str:
    return sha256(msgspec.json.encode(probe)).hexdigest()[:16]
