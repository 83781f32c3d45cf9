"""A small deployment on disk, and the command line run in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from statmux.main import run

PROFILE = {
    "api_version": "v1alpha1",
    "kind": "ModelProfile",
    "model": "any",
    "device_type": "cpu",
    "provenance": {"kind": "estimated", "note": "by hand"},
    "entries": [
        {
            "tensor": 1,
            "pipeline": stages,
            "weight_bytes": [60 // stages] * stages,
            "activation_bytes": {"1": [0] * stages},
            "stage_latency_s": {"1": [0.2 / stages] * stages},
        }
        for stages in (1, 2)
    ],
}
DEPLOYMENT = """
api_version: v1alpha1
kind: Deployment
metadata: {name: small}
cluster:
  nodes: [{name: n, count: 1, devices: {type: cpu, count: 2, memory: 100B}}]
models:
  - {name: a, profile: any.json, slo: {latency_ms: 500, attainment: 0.99}, workload: {rate_rps: 3, cv: 2}}
  - {name: b, profile: any.json, slo: {latency_ms: 500}, workload: {rate_rps: 1, cv: 1}}
"""


@dataclass(frozen=True, slots=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Desk:
    """A folder with deployment.yaml, any.json and trace.csv; `statmux(...)` runs there."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    def statmux(self, *words: str | Path) -> Result:
        self.capture.readouterr()
        code = run([str(word) for word in words])
        captured = self.capture.readouterr()
        return Result(code, captured.out, captured.err)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path, capsys)
    desk.write("any.json", json.dumps(PROFILE))
    desk.write("deployment.yaml", DEPLOYMENT)
    rows = [f"{number * 0.15:.2f},{'ab'[number % 3 == 2]}" for number in range(200)]
    desk.write("trace.csv", "\n".join(["timestamp_s,model", *rows, ""]))
    return desk
