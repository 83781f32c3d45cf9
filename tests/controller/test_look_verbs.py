"""What may be looked at through the control socket and over HTTP: models, the plan, explanations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.journal import Journal, RequestLine
from controller.verbs.look_verbs import LookVerbs
from tests.statmux.fleet_status import group, model, status
from vocabulary.errors import InvalidInput


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "journal.db")
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def verbs(journal: Journal, tmp_path: Path):
    async def told(request):
        groups = [group(), group("g1", models=["m", "n"])]
        return status(groups=groups, models={"m": model(), "n": model(state="LOADING")})

    return LookVerbs(told, journal=tmp_path / "journal.db").by_name()


@pytest.mark.asyncio
async def test_models_are_told_with_their_groups(verbs):
    told = await verbs["models"]({})
    assert told["fleet"] == "f"
    assert {name: one["groups"] for name, one in told["models"].items()} == {"m": ["g0", "g1"], "n": ["g1"]}
    assert told["models"]["n"]["state"] == "LOADING"


@pytest.mark.asyncio
async def test_the_plan_is_told_with_how_it_came_about(verbs, journal):
    journal.event("plan", why="serve", groups={})
    journal.event("open", group="g0", models=["m"])
    journal.event("drain", target="n-0")
    journal.close()
    told = await verbs["plan"]({})
    assert [one["kind"] for one in told["history"]] == ["plan", "drain"]
    assert told["groups"][1] == {
        "id": "g1", "devices": ["n-0:0"], "tensor": 1, "pipeline": 1, "models": ["m", "n"],
    }  # fmt: skip
    assert len((await verbs["plan"]({"last": "1"}))["history"]) == 1


@pytest.mark.asyncio
async def test_a_request_is_explained_just_after_its_answer(verbs, journal):
    journal.request(RequestLine("r1", "m", 1.0, 0.1, group="g0"))
    told = await verbs["explain"]({"request_id": "r1"})
    assert told["request"]["group"] == "g0"
    assert "Group g0 served it in 100.0 ms." in told["sentences"]
    with pytest.raises(InvalidInput, match="the journal has no request 'r2'"):
        await verbs["explain"]({"request_id": "r2"})


@pytest.mark.asyncio
async def test_without_an_id_what_was_decided_lately_is_told(verbs, journal):
    journal.event("converged")
    journal.close()
    (told,) = (await verbs["explain"]({}))["events"]
    assert told["sentence"].endswith("what runs is what is wanted")


@pytest.mark.asyncio
@pytest.mark.parametrize("last", ["0", "x", None, -1, 10**9])
async def test_how_many_must_be_a_number_within_bounds(verbs, last):
    with pytest.raises(InvalidInput, match="not a number from 1 to 10000"):
        await verbs["plan"]({"last": last})
