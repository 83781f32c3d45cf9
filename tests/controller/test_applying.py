"""A file applied to a running fleet: what is checked, what is planned, what is told."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from controller.change.applying import Asked, Running, Written, applied, kind_of, replanned
from controller.change.traffic_expected import traffic_expected
from controller.life.own_process import in_own_process
from tests.statmux.plan_files import DEPLOYMENT, PROFILE
from vocabulary.errors import Infeasible, InvalidInput, RuntimeFailure, TimedOut
from vocabulary.formats.disk import load_deployment
from vocabulary.formats.plan import parse_plan
from vocabulary.placement import Placement
from vocabulary.serve_flags import ServeFlags
from vocabulary.trace import Trace

PLAN = """kind: PlacementPlan
groups:
- {id: g0, devices: ['n-0:0'], models: [a]}
- {id: g1, devices: ['n-0:1'], models: [b]}
"""
DEVICES = frozenset({"n-0:0", "n-0:1"})
FLAGS = ServeFlags(engine="emulated")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "any.json").write_text(json.dumps(PROFILE))
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT)
    return tmp_path


def running(folder: Path) -> Running:
    read = FLAGS.applied_to(load_deployment(folder / "deployment.yaml"))
    placement: Placement = parse_plan(PLAN, name="plan.yaml", deployment=read).placement
    return Running(read, placement, flags=FLAGS, devices=DEVICES)


def written(folder: Path, text: str) -> Written:
    return Written(text, "deployment.yaml", str(folder))


@pytest.mark.asyncio
async def test_a_file_that_says_the_same_changes_nothing(folder: Path) -> None:
    found = await applied(Asked(written(folder, DEPLOYMENT)), running(folder))
    assert found.is_nothing
    assert found.plan.placement == running(folder).placement


@pytest.mark.asyncio
async def test_an_objective_changes_without_a_search_and_the_plan_stays(folder: Path) -> None:
    text = DEPLOYMENT.replace("latency_ms: 500, attainment", "latency_ms: 800, attainment")
    found = await applied(Asked(written(folder, text)), running(folder))
    assert found.why == "models.a.slo.latency_s: 0.5 -> 0.8"
    assert found.plan.placement == running(folder).placement
    assert {model.engine for model in found.deployment.models} == {"emulated"}


@pytest.mark.asyncio
async def test_a_new_model_is_searched_a_place_in_another_process(folder: Path) -> None:
    text = DEPLOYMENT + "  - {name: c, profile: small.json, workload: {rate_rps: 1}}\n"
    small = json.loads(json.dumps(PROFILE))
    for entry in small["entries"]:
        entry["weight_bytes"] = [one // 2 for one in entry["weight_bytes"]]
    (folder / "small.json").write_text(json.dumps(small))
    found = await applied(Asked(written(folder, text), budget_s=0.5), running(folder))
    assert found.changes.added == ("c",)
    assert found.plan.placement.models == {"a", "b", "c"}
    assert found.why.startswith("model c is new. ")
    assert found.moves
    assert found.num_bytes > 0


@pytest.mark.asyncio
async def test_a_model_without_room_is_told(folder: Path) -> None:
    text = DEPLOYMENT + "  - {name: c, profile: large.json}\n"
    large = json.loads(json.dumps(PROFILE))
    large["entries"] = [{**large["entries"][0], "weight_bytes": [90]}]
    (folder / "large.json").write_text(json.dumps(large))
    found = await applied(Asked(written(folder, text), budget_s=0.5), running(folder))
    assert found.plan.placement.models == {"a", "b"}
    assert any(warning.startswith("no room for c") for warning in found.warnings)


@pytest.mark.asyncio
async def test_a_plan_is_taken_as_it_is_and_says_what_it_moves(folder: Path) -> None:
    plan = Written(
        PLAN.replace("[a]", "[b]").replace(
            "g1, devices: ['n-0:1'], models: [b]", "g1, devices: ['n-0:1'], models: [a]"
        ),
        "new.yaml",
    )
    found = await applied(Asked(plan=plan), running(folder))
    assert found.why == "plan new.yaml"
    assert [group.models for group in found.plan.placement.groups] == [("b",), ("a",)]
    assert len(found.moves) == 2


@pytest.mark.asyncio
async def test_a_group_that_only_has_another_name_in_a_plan_stays(folder: Path) -> None:
    plan = Written(PLAN.replace("g0", "first").replace("g1", "second"), "new.yaml")
    found = await applied(Asked(plan=plan), running(folder))
    assert found.plan.placement == running(folder).placement
    assert found.moves == ()


@pytest.mark.asyncio
async def test_a_plan_that_drops_a_model_says_so(folder: Path) -> None:
    plan = Written(PLAN.replace("[b]", "[a]"), "new.yaml")
    found = await applied(Asked(plan=plan), running(folder))
    assert "b will have no replica any more" in found.warnings


@pytest.mark.asyncio
async def test_what_cannot_be_applied_is_refused_before_anything_changes(folder: Path) -> None:
    now = running(folder)
    with pytest.raises(InvalidInput, match="cannot change while the fleet serves"):
        await applied(Asked(written(folder, DEPLOYMENT + "simulation: {fixed_overhead_s: 1}\n")), now)
    with pytest.raises(InvalidInput, match="unknown key"):
        await applied(Asked(written(folder, DEPLOYMENT + "nonsense: 1\n")), now)
    both = PLAN.replace("[a]", "[a, b]")
    with pytest.raises(Infeasible, match="g0 does not fit"):
        await applied(Asked(plan=Written(both, "new.yaml")), now)
    first = Placement(now.placement.groups[:1])
    with pytest.raises(InvalidInput, match="n-0:1, which the cluster does not have now"):
        half = replace(now, placement=first, devices=frozenset({"n-0:0"}))
        await applied(Asked(plan=Written(PLAN, "p.yaml")), half)
    with pytest.raises(InvalidInput, match="there is no deployment file"):
        await applied(Asked(), now)


@pytest.mark.asyncio
async def test_a_device_that_is_lost_is_planned_without_and_stands_in_no_other_change_s_way(
    folder: Path,
) -> None:
    half = replace(running(folder), devices=frozenset({"n-0:0"}))
    text = DEPLOYMENT.replace("latency_ms: 500, attainment", "latency_ms: 800, attainment")
    assert (await applied(Asked(written(folder, text)), half)).plan.placement == half.placement
    found, result = await replanned(half, why="n-0:1 is gone", budget_s=0.5)
    assert found.why.startswith("n-0:1 is gone: ")
    assert {device for group in found.plan.placement.groups for device in group.devices} == {"n-0:0"}
    assert found.plan.placement.models == {"a"}
    assert result.left_out == ("b",)


def test_the_kind_of_a_file_is_read_from_it(folder: Path) -> None:
    assert kind_of(written(folder, DEPLOYMENT)) == "deployment"
    assert kind_of(Written(PLAN, "plan.yaml")) == "plan"
    with pytest.raises(InvalidInput, match="this is a ModelProfile"):
        kind_of(Written(json.dumps(PROFILE), "any.json"))


def test_observed_traffic_counts_more_than_the_file_and_new_models_have_the_files(folder: Path) -> None:
    deployment = running(folder).deployment
    observed = Trace(np.arange(400.0), np.zeros(400, dtype=np.int32), ("a",))
    found = traffic_expected(deployment, observed)
    counts = dict(zip(found.models, found.counts().tolist(), strict=True))
    assert counts["a"] == 400
    assert 300 < counts["b"] < 500  # one a second, by its workload
    few = Trace(np.arange(4.0), np.zeros(4, dtype=np.int32), ("a",))
    assert len(traffic_expected(deployment, few)) > 1000


def _fail() -> None:
    raise Infeasible("it does not fit", hint="less")


def _leave() -> None:
    os._exit(3)


def _pid() -> int:
    return os.getpid()


@pytest.mark.asyncio
async def test_work_of_another_process_comes_back_and_so_do_its_errors() -> None:
    assert await in_own_process(_pid, timeout_s=30.0, what="test") != os.getpid()
    with pytest.raises(Infeasible) as told:
        await in_own_process(_fail, timeout_s=30.0, what="test")
    assert told.value.hint == "less"
    with pytest.raises(RuntimeFailure, match="ended without an answer"):
        await in_own_process(_leave, timeout_s=30.0, what="test")
    with pytest.raises(TimedOut):
        await in_own_process(asyncio.run, asyncio.sleep, timeout_s=0.0, what="test")


@pytest.mark.asyncio
async def test_what_was_unloaded_stays_out_of_plans_and_that_is_told(folder: Path) -> None:
    now = replace(running(folder), unloaded=frozenset("b"))
    now = replace(
        now,
        placement=Placement(
            tuple(replace(g, models=tuple(set(g.models) - {"b"})) for g in now.placement.groups)
        ),
    )
    found = await applied(Asked(plan=Written(PLAN, "plan.yaml")), now)
    assert found.plan.placement == now.placement
    assert found.warnings == ("b was unloaded, and stays out: `statmux models load b`",)
    planned, _ = await replanned(now, why="drift", budget_s=0.5)
    assert planned.plan.placement.models == {"a"}
    with pytest.raises(Infeasible, match="every model of the fleet was unloaded"):
        await replanned(replace(now, unloaded=frozenset("ab")), why="drift", budget_s=0.5)
