"""The systemd units: by systemd's own check where it is there, and against what the code does."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from statmux.main import INTERRUPTED_EXIT_CODE, TERMINATED_EXIT_CODE, USAGE_EXIT_CODE, command
from statmux.options import Choices
from tests.deploy.chart import DEPLOY
from vocabulary.deployment import Drain, Health
from vocabulary.errors import Infeasible, InvalidInput

UNITS = ("statmux", "statmux-node")


def settings(unit: str) -> dict[str, list[str]]:
    """Values by key, in order."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "systemd" / f"{unit}.service").read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_takes_the_unit(unit: str, tmp_path: Path) -> None:
    """With programs that are there: systemd looks for them."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: units were not verified")
    text = (DEPLOY / "systemd" / f"{unit}.service").read_text()
    file = tmp_path / f"{unit}.service"
    file.write_text(re.sub(r"/opt/statmux/bin/\w+", "/bin/true", text))
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert unit not in done.stderr, done.stderr


@pytest.mark.parametrize("unit", UNITS)
def test_units_may_do_little(unit: str) -> None:
    found = settings(unit)
    for key in ("NoNewPrivileges", "ProtectHome", "RestrictNamespaces", "ProtectKernelModules"):
        assert found[key] == ["yes"]
    assert found["ProtectSystem"] == ["strict"] and found["CapabilityBoundingSet"] == [""]
    assert found["User"] == ["statmux"]


@pytest.mark.parametrize("unit", UNITS)
def test_accelerators_stay_in_reach(unit: str) -> None:
    """ProtectClock implies DeviceAllow=char-rtc before systemd 253: whatever else is a device is shut out."""
    assert not settings(unit).keys() & {"PrivateDevices", "DevicePolicy", "DeviceAllow", "ProtectClock"}


def test_only_what_another_start_may_mend_is_started_again() -> None:
    found = settings("statmux")
    assert found["Restart"] == ["on-failure"]
    never = {int(code) for code in found["RestartPreventExitStatus"][0].split()}
    assert never == {USAGE_EXIT_CODE, InvalidInput.exit_code, Infeasible.exit_code}
    ended = {int(code) for code in found["SuccessExitStatus"][0].split()}
    assert ended == {INTERRUPTED_EXIT_CODE, TERMINATED_EXIT_CODE}


def test_groups_outlive_a_controller_that_dies_and_the_next_comes_in_time() -> None:
    found = settings("statmux")
    assert found["KillMode"] == ["process"] and "PrivateTmp" not in found
    assert float(found["RestartSec"][0]) < Health().orphan_grace_s


def test_it_has_time_to_drain() -> None:
    drain = Drain()
    assert (
        float(settings("statmux")["TimeoutStopSec"][0])
        >= drain.readiness_lead_s + drain.graceful_shutdown_timeout_s + 10
    )


def test_its_commands_are_ones_that_the_parser_takes() -> None:
    flags = re.search(r"^STATMUX_FLAGS=(.*)$", (DEPLOY / "systemd" / "environment.example").read_text(), re.M)
    assert flags is not None
    found = settings("statmux")
    for line in found["ExecStartPre"] + found["ExecStart"]:
        program, verb, *rest = line.replace("$STATMUX_FLAGS", flags[1]).split()
        assert program == "/opt/statmux/bin/statmux"
        command().get_command(None, verb).make_context(verb, rest, obj=Choices())
