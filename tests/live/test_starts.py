"""Fleets that cannot start: soon, in words, with the right exit code, and with nothing left running."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.verbs.control import ROOT
from tests.live.fleet_files import write_small_fleet
from tests.live.fleet_process import ServedFleet, run_verb

PORTS = ("--port", "0", "--http-port", "0", "--metrics-port", "0")
SERVE = ("serve", "deployment.yaml", "--plan", "plan.yaml", *PORTS)


def refused(folder: Path, *arguments: str) -> tuple[int, str]:
    """The exit code and stderr of a `serve` that must end by itself, without a traceback or a socket."""
    ran = run_verb(folder, *SERVE, *arguments, timeout_s=120.0)
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    assert "hint: " in ran.stderr
    assert list((folder / ROOT).glob("*/control.sock")) == []
    return ran.returncode, ran.stderr


def test_a_fleet_that_does_not_fit_says_how_many_bytes_it_needs_and_has(folder: Path):
    code, said = refused(write_small_fleet(folder, memory="1MiB"))
    assert code == 3
    assert "error: group g0 does not fit: stage 0 needs 2000000 bytes" in said
    assert "device n-0:0, which has 1048576" in said
    assert "device memory binds" in said


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_a_model_to_compute_without_a_source_is_refused_before_anything_starts(
    folder: Path, dry_run: tuple[str, ...]
):
    code, said = refused(write_small_fleet(folder, models="{engine: jax}"), *dry_run)
    assert code == 2
    assert "error: model m0 has no source, so there is nothing to run on group g0" in said
    assert "--engine emulated" in said
    assert "Ray" not in said


def test_emulated_no_source_is_needed(folder: Path):
    write_small_fleet(folder, models="{engine: jax}")
    ran = run_verb(folder, *SERVE, "--dry-run", "--engine", "emulated")
    assert (ran.returncode, ran.stdout) == (0, "")
    assert "can be served" in ran.stderr


def test_a_host_that_others_reach_is_refused_unless_asked_for(folder: Path):
    code, said = refused(write_small_fleet(folder), "--set", "endpoints.grpc.host=0.0.0.0")
    assert code == 2
    assert "0.0.0.0" in said and "--insecure" in said


def test_an_address_that_is_not_ours_is_named(folder: Path):
    code, said = refused(write_small_fleet(folder), "--insecure", "--set", "endpoints.grpc.host=198.51.100.7")
    assert code == 1
    assert "error: cannot listen on 198.51.100.7" in said


@pytest.mark.cluster
def test_a_ray_that_does_not_answer_is_named_with_its_address(folder: Path):
    code, said = refused(write_small_fleet(folder, address="127.0.0.1:1"))
    assert code == 4
    assert "error: no Ray cluster answers at 127.0.0.1:1" in said
    assert "`local` starts one on this machine" in said


@pytest.mark.cluster
def test_a_ray_that_does_not_start_is_quoted_and_leaves_nothing(
    folder: Path, serve: Callable[..., ServedFleet]
):
    site = folder / "site"
    site.mkdir()
    # Every Python starts with this, and the one that is to start Ray goes no further.
    (site / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if any('on_ray/keeper' in word for word in sys.orig_argv):\n"
        "    print('Error: no Ray today', file=sys.stderr, flush=True)\n"
        "    os._exit(7)\n"
    )
    fleet = serve(write_small_fleet(folder), environment={"PYTHONPATH": str(site)})
    assert fleet.wait() == 1
    assert "error: Ray did not start: its process ended with status 7" in fleet.said
    assert "hint: Ray's log ends with:\nkeeper.log: Error: no Ray today" in fleet.said
    fleet.check_clean_end()


@pytest.mark.cluster
def test_a_missing_checkpoint_is_named_with_its_path_and_leaves_nothing(
    folder: Path, serve: Callable[..., ServedFleet]
):
    fleet = serve(write_small_fleet(folder, models="{source: ./nowhere}"))
    fleet.until_said("joining Ray")
    assert fleet.ray_folders
    assert fleet.wait() == 2
    assert f"error: model m0, ./nowhere: there is no directory {folder.resolve()}/nowhere" in fleet.said
    assert "hint: " in fleet.said
    fleet.check_clean_end()
