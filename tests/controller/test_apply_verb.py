"""`apply` through the control socket's verbs, on a fleet whose workers are threads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controller.change.applying import Running
from controller.journal import NoJournal
from controller.verbs.apply_verb import ApplyVerb
from tests.controller.ray_fleet import deployment
from tests.controller.test_supervisor import G0, G1, G2, Lively, lively
from vocabulary.errors import InvalidInput
from vocabulary.placement import Placement

PLAN = """\
api_version: v1alpha1
kind: PlacementPlan
groups:
- {id: g1, devices: ["n-0:1"], tensor: 1, pipeline: 1, models: [a, b]}
- {id: g2, devices: ["n-0:2"], tensor: 1, pipeline: 1, models: [b]}
"""


@pytest.fixture
def plan(tmp_path: Path) -> tuple[str, str]:
    """Where it is, and how it is called."""
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return str(path), "plan.yaml"


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Lively, ApplyVerb]]:
    """g0 with a, g1 with a and b."""
    async with lively(deployment(), G0, G1) as fleet:
        fleet.supervisor.want(Placement((G0, G1)))
        await fleet.converged()
        supervisor = fleet.supervisor

        def running() -> Running:
            devices = frozenset(device.id for device in supervisor.deployment.cluster.devices)
            return Running(supervisor.deployment, supervisor.desired, devices=devices)

        yield fleet, ApplyVerb(supervisor, running=running, journal=NoJournal())


@pytest.mark.asyncio
async def test_a_plan_is_previewed_applied_and_comes_to_run(plan):
    async with serving() as (fleet, verb):
        verbs = verb.by_name()
        preview = await verbs["preview"]({"files": [plan]})
        assert preview["steps"] == [
            "start g2 with b", "open b on g2", "close a on g0 and let it finish", "stop g0",
        ]  # fmt: skip
        assert (preview["interrupted"], preview["is_nothing"], preview["why"]) == (
            [],
            False,
            "plan plan.yaml",
        )
        assert [one["id"] for one in preview["groups"]] == ["g1", "g2"]
        assert fleet.supervisor.desired == Placement((G0, G1)), "a preview changes nothing"
        await verbs["apply"]({"ticket": preview["ticket"]})
        while not (told := await verbs["progress"]({}))["is_converged"]:
            assert told["given_up"] == []
        assert fleet.supervisor.desired == Placement((G1, G2))
        assert told["groups"] == {"g1": "open", "g2": "open"}
        assert (await verbs["preview"]({"files": [plan]}))["is_nothing"]


@pytest.mark.asyncio
async def test_a_ticket_is_good_once_and_only_while_nothing_else_is_wanted(plan):
    async with serving() as (fleet, verb):
        verbs = verb.by_name()
        with pytest.raises(InvalidInput, match="this change is not known any more"):
            await verbs["apply"]({"ticket": "made up"})
        ticket = (await verbs["preview"]({"files": [plan]}))["ticket"]
        fleet.supervisor.want(Placement((G1,)))
        with pytest.raises(InvalidInput, match="something else was wanted of the fleet meanwhile"):
            await verbs["apply"]({"ticket": ticket})
        with pytest.raises(InvalidInput, match="this change is not known any more"):
            await verbs["apply"]({"ticket": ticket})
        await fleet.converged()


@pytest.mark.asyncio
async def test_what_is_wrong_with_the_files_is_told(plan, tmp_path):
    other = tmp_path / "profile.json"
    other.write_text("kind: ModelProfile\n")
    async with serving() as (_, verb):
        preview = verb.by_name()["preview"]
        with pytest.raises(InvalidInput, match="is a plan, too"):
            await preview({"files": [plan, plan]})
        with pytest.raises(InvalidInput, match="this is a ModelProfile"):
            await preview({"files": [(str(other), "profile.json")]})
        with pytest.raises(InvalidInput, match="there is no such file"):
            await preview({"files": [(str(tmp_path / "nothing.yaml"), "nothing.yaml")]})
        with pytest.raises(InvalidInput, match="there is no deployment file"):
            await preview({"files": []})
