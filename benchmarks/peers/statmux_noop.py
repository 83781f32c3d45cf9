"""statmux with a no-op emulated model and everything a user has: admission, metrics, deadlines.

The committed deployment is copied to the benchmark's folder with free ports in place of its own.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from benchmarks.peers.ports import free_ports
from benchmarks.peers.process import Launch

FOLDER = Path(__file__).parent / "noop"
_SAMPLE = re.compile(r"^statmux_requests_total\{(?P<labels>[^}]*)\} (?P<value>\S+)$", re.MULTILINE)
_CODE = re.compile(r'code="([^"]*)"')
_TIMEOUT_S = 10.0
_START_S, _POLL_S = 30.0, 0.1
# A reply holds its time in the queue in microseconds, a varint of one to three bytes.
_VARYING_BYTES = 2


def launch(folder: Path, *, front_ends: int = 1) -> Launch:
    """`statmux serve` on a copy of noop/deployment.yaml in `folder`."""
    # Each front end has its metrics on a port of its own, one after the other.
    port, http_port, metrics_port, *_ = free_ports(2 + front_ends)
    deployment = yaml.safe_load((FOLDER / "deployment.yaml").read_text())
    deployment["endpoints"]["grpc"]["port"] = port
    deployment["endpoints"]["http"] = {"port": http_port}
    deployment["observability"]["metrics"]["port"] = metrics_port
    if front_ends > 1:
        deployment["serving"] = deployment.get("serving", {}) | {"front_ends": front_ends}
    (folder / "deployment.yaml").write_text(yaml.safe_dump(deployment, sort_keys=False))
    shutil.copy(FOLDER / "noop.json", folder)
    statmux = str(Path(sys.executable).with_name("statmux"))
    command = [statmux, "serve", str(folder / "deployment.yaml"), "--engine", "emulated"]

    def num_errors() -> int:
        return sum(errors_in(_metrics(metrics_port + index)) for index in range(front_ends))

    return Launch(port, command, num_errors, _VARYING_BYTES)


def errors_in(metrics: str) -> int:
    """Calls answered with an error code, from a page of Prometheus metrics.

    CANCELLED is none: when its time is up, the load generator leaves without waiting for the last replies.
    """
    samples = [(_CODE.search(one["labels"]), float(one["value"])) for one in _SAMPLE.finditer(metrics)]
    return round(sum(value for code, value in samples if code is None or code[1] not in ("OK", "CANCELLED")))


def _metrics(port: int) -> str:
    """Of one front end; the further ones answer some seconds after the first."""
    end_s = time.monotonic() + _START_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=_TIMEOUT_S) as page:
                return page.read().decode()
        except urllib.error.URLError:
            if time.monotonic() > end_s:
                raise
            time.sleep(_POLL_S)
