"""One point: what is planned, what is simulated, and what is told when there is no plan."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from placement.capacity.evaluate import Probe, Study, evaluate
from placement.capacity.points import base_point, moved
from placement.capacity.results import ASSUMED_ATTAINMENT, Requirement, Result, requirement_of
from placement.search import search
from simulator.fast_or_events import outcomes_of
from tests.placement.fleets import deployment, model, requests
from vocabulary.deployment import Slo

FLEET = deployment(model("a", 60), model("b", 60), num_hosts=2, num_devices=2)
TRACE = requests({"a": 9.0, "b": 5.0}, duration_s=40.0)
STUDY = Study(FLEET, TRACE, TRACE)
BASE = base_point(FLEET.cluster)
GREEDY = Probe(BASE, algorithm="sr-greedy")


def without_seconds(result: Result) -> Result:
    return replace(result, seconds=0.0)


def test_a_point_is_what_search_and_simulation_say() -> None:
    result = evaluate(STUDY, GREEDY)
    placement = search(FLEET, TRACE, algorithm="sr-greedy").placement
    outcomes = outcomes_of(placement, TRACE, deployment=FLEET)
    assert result.placement == placement
    assert result.slo_attainment == outcomes.good.mean()
    assert result.draws == (result.slo_attainment,)
    assert result.low <= result.slo_attainment <= result.high
    assert sum(result.missed.values()) == int((~outcomes.good).sum())
    assert result.models["a"].num_requests == 360
    assert set(result.utilisations) == {group.id for group in placement.groups}


def test_faster_traffic_is_the_same_requests_in_less_time() -> None:
    placement = evaluate(STUDY, GREEDY).placement
    faster = evaluate(STUDY, Probe(replace(BASE, rate_scale=2.0), placement=placement))
    sped_up = replace(TRACE, arrival_s=TRACE.arrival_s / 2)
    assert faster.slo_attainment == outcomes_of(placement, sped_up, deployment=FLEET).good.mean()
    assert faster.num_requests == len(TRACE)


def test_the_same_requests_are_left_out_when_the_trace_is_replayed_faster() -> None:
    study = replace(STUDY, trim_s=5.0)
    counts = [
        evaluate(study, replace(GREEDY, point=replace(BASE, rate_scale=scale))).num_requests
        for scale in (0.5, 1.0, 64.0)
    ]
    assert counts[0] == counts[1] == counts[2] < len(TRACE)


def test_devices_that_no_model_fits_on_attain_nothing_and_say_why() -> None:
    study = replace(STUDY, deployment=deployment(model("a", 150, (1, 2)), num_devices=2), trace=TRACE)
    study = replace(study, trace=TRACE.take(TRACE.model_index == 0))
    study = replace(study, trace=replace(study.trace, models=("a",)))
    study = replace(study, train=study.trace)
    point = moved(base_point(study.deployment.cluster), "devices", 1, resized=0)
    result = evaluate(study, Probe(point, algorithm="auto"))
    assert result.slo_attainment == 0.0
    assert result.placement is None
    assert "a has no configuration" in result.infeasible or "a needs" in result.infeasible
    assert not Requirement(0.0).holds(result)


def test_drawn_traffic_has_as_many_draws_as_asked_for() -> None:
    study = replace(STUDY, num_draws=3)
    drawn = evaluate(study, replace(GREEDY, point=replace(BASE, cv_scale=1.0)))
    assert len(drawn.draws) == 3
    assert drawn.slo_attainment == pytest.approx(np.mean(drawn.draws))
    assert len(evaluate(study, GREEDY).draws) == 1
    assert len(evaluate(replace(study, is_drawn=True), GREEDY).draws) == 3


def test_the_same_question_has_the_same_answer() -> None:
    study = replace(STUDY, num_draws=2)
    probe = replace(GREEDY, point=replace(BASE, cv_scale=2.0))
    assert without_seconds(evaluate(study, probe)) == without_seconds(evaluate(study, probe))
    other = evaluate(replace(study, seed=5), probe)
    assert other.draws != evaluate(study, probe).draws


def test_a_result_survives_being_written_down() -> None:
    result = evaluate(STUDY, GREEDY)
    assert msgspec.json.decode(msgspec.json.encode(result), type=Result) == result


def test_what_is_required_comes_from_the_user_then_the_file_then_is_assumed() -> None:
    assert requirement_of(FLEET, 0.9) == Requirement(0.9)
    assert requirement_of(FLEET, None) == Requirement(ASSUMED_ATTAINMENT, is_assumed=True)
    strict = replace(FLEET, models=(FLEET.models[0], replace(FLEET.models[1], slo=Slo(1.0, 0.95))))
    assert requirement_of(strict, None) == Requirement(None, {"b": 0.95})
    result = evaluate(STUDY, GREEDY)
    worst = min(one.slo_attainment for one in result.models.values())
    assert Requirement(None, {"a": worst, "b": worst}).holds(result)
    assert not Requirement(None, {"a": 1.01, "b": 0.0}).holds(result)
