"""The clients that people have, each in a process of its own, against a fleet that computes and emulates."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.fleet_process import ServedFleet

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("script", ["triton_calls.py", "kserve_calls.py", "plain_calls.py"])
def test_a_client_gets_answers_and_clear_refusals(mixed: ServedFleet, address: str, script: str):
    ran = subprocess.run(
        [sys.executable, "-P", str(Path(__file__).with_name(script)), address],
        cwd=mixed.folder,
        env=os.environ | {"GRPC_VERBOSITY": "ERROR"},
        capture_output=True,
        text=True,
        timeout=120,
        input="",
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert mixed.ask("status")["is_ready"]
