"""`statmux models` and `statmux drain` against a fleet that is a script."""

from __future__ import annotations

import json

import pytest

from controller.verbs.look_verbs import models_of
from tests.statmux.fleet_status import group, model, status
from tests.statmux.in_process import statmux
from tests.statmux.scripted_control import SILENCE, scripted_fleet
from vocabulary.errors import Infeasible, InvalidInput


def test_models_are_listed_with_where_they_are(desk):
    told = status(
        groups=[group(), group("g1", models=["m"])],
        models={"m": model(), "n": model(state="UNAVAILABLE", slo_attainment=None, mean_latency_s=None)},
    )
    with scripted_fleet(desk, {"models": models_of(told)}):
        lines = statmux("models", "ls", folder=desk).stdout.splitlines()
        document = json.loads(statmux("models", "ls", "-o", "json", folder=desk).stdout)
    assert lines[1].split() == ["m", "READY", "g0,", "g1", "emulated", "10", "1", "90.00%", "12.3", "ms"]
    assert lines[2].split() == ["n", "UNAVAILABLE", "-", "emulated", "10", "1", "-", "-"]
    assert document["models"]["m"]["groups"] == ["g0", "g1"]
    assert document["fleet"] == "f"


def test_several_models_are_loaded_one_after_the_other(desk):
    def loaded(request):
        return {"model": request["model"], "state": "READY", "groups": ["g0"]}

    with scripted_fleet(desk, {"load": loaded}) as heard:
        done = statmux("models", "load", "m", "n", folder=desk)
    assert done.stdout == "m is READY on g0\nn is READY on g0\n"
    assert [one["model"] for one in heard] == ["m", "n"]


def test_a_model_without_a_place_is_told_with_3(desk):
    refused = Infeasible("no group has room for m", hint="unload another")
    with scripted_fleet(desk, {"load": refused}):
        done = statmux("models", "load", "m", folder=desk)
    assert done.returncode == 3
    assert done.stderr.endswith("error: no group has room for m\nhint: unload another\n")


def test_unloading_tells_the_state(desk):
    with scripted_fleet(desk, {"unload": {"model": "m", "state": "UNAVAILABLE", "groups": []}}):
        document = json.loads(statmux("models", "unload", "m", "-o", "json", folder=desk).stdout)
    assert document["models"]["m"]["state"] == "UNAVAILABLE"


def test_a_group_is_drained_and_taken_back(desk):
    verbs = {
        "drain": {"target": "g0", "state": "drained", "unplaced": ["m"]},
        "undrain": {"target": "g0", "state": "open"},
    }
    with scripted_fleet(desk, verbs) as heard:
        drained = statmux("drain", "g0", "--force", folder=desk)
        back = statmux("drain", "g0", "--undo", folder=desk)
    assert drained.stdout == "g0 is drained; without a replica now: m\n"
    assert back.stdout == "g0 is open\n"
    assert [(one["verb"], one.get("force")) for one in heard] == [("drain", True), ("undrain", None)]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput("'x' is neither a group nor a host", hint="groups are g0"), 2),
        (Infeasible("no room"), 3),
    ],
)
def test_what_cannot_be_drained_is_told_with_its_code(desk, error, code):
    with scripted_fleet(desk, {"drain": error}):
        done = statmux("drain", "x", folder=desk)
    assert done.returncode == code
    assert f"error: {error.message}\n" in done.stderr


def test_a_drain_that_takes_too_long_ends_with_5(desk):
    with scripted_fleet(desk, {"drain": SILENCE}):
        done = statmux("drain", "g0", "--timeout", "50ms", folder=desk)
    assert done.returncode == 5
    assert "did not answer 'drain' within 0.05 s" in done.stderr


def test_without_a_fleet_it_is_unreachable(desk):
    for words in (("models", "ls"), ("models", "load", "m"), ("drain", "g0"), ("apply", "x.yaml")):
        assert statmux(*words, folder=desk).returncode == 4
