"""The compiled scorer on fleets small enough to check by hand."""

import subprocess
import sys

import numpy as np

from simulator.fast import Scorer, score, supports
from vocabulary.deployment import Deployment, ModelSpec, Policy, Slo
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.outcomes import FATES
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.request import Fate
from vocabulary.trace import Trace

SINGLE, PIPELINE = ParallelConfig(1, 1), ParallelConfig(1, 2)


def fleet(*, slo_s: float, **policy: object) -> Deployment:
    """One model `a`: 1 s on one device, two stages of 0.5 s on two; and `b`, the same."""
    entries = [
        ProfileEntry(SINGLE, (1,), {}, {1: (1.0,)}),
        ProfileEntry(PIPELINE, (1, 1), {}, {1: (0.5, 0.5)}),
    ]
    profile = profile_of("any", "cpu", entries, provenance=Provenance())
    models = tuple(ModelSpec(name, profile=profile, slo=Slo(slo_s)) for name in ("a", "b"))
    return Deployment("f", Cluster((NodeClass("n", 1, "cpu", 4, 10),)), models, policy=Policy(**policy))


def on(*configs: ParallelConfig) -> Placement:
    """A group with model `a` for each configuration."""
    devices = iter(range(8))
    return Placement(
        tuple(
            Group(f"g{i}", tuple(f"n-0:{next(devices)}" for _ in range(c.num_devices)), c, ("a",))
            for i, c in enumerate(configs)
        )
    )


def asks(*arrival_s: float, model_index: int = 0) -> Trace:
    return Trace(np.array(arrival_s), np.full(len(arrival_s), model_index, dtype=np.int32), ("a", "b"))


def test_stages_of_different_requests_overlap() -> None:
    outcomes = score(on(PIPELINE), asks(0.0, 0.0, 0.25), deployment=fleet(slo_s=9.0))
    assert outcomes.finish_s.tolist() == [1.0, 1.5, 2.0]


def test_a_late_request_is_refused_and_takes_no_time() -> None:
    outcomes = score(on(SINGLE), asks(0.0, 0.1, 1.0), deployment=fleet(slo_s=1.5))
    assert [FATES[code] for code in outcomes.fate] == [Fate.SERVED, Fate.SLO_INFEASIBLE, Fate.SERVED]
    assert outcomes.finish_s[2] == 2.0


def test_without_admission_a_late_request_is_served_but_not_good() -> None:
    outcomes = score(on(SINGLE), asks(0.0, 0.1), deployment=fleet(slo_s=1.5, admission="none"))
    assert outcomes.served.all()
    assert outcomes.good.tolist() == [True, False]


def test_a_model_that_no_group_holds_is_not_placed() -> None:
    outcomes = score(on(SINGLE), asks(0.0, model_index=1), deployment=fleet(slo_s=1.5))
    assert FATES[outcomes.fate[0]] is Fate.NOT_PLACED


def test_on_a_placement_without_groups_nothing_is_placed() -> None:
    trace = Trace(np.array([0.0, 1.0]), np.zeros(2, dtype=np.int32), ("a", "b"))
    outcomes = score(Placement(()), trace, deployment=fleet(slo_s=2.0))
    assert [FATES[code] for code in outcomes.fate] == [Fate.NOT_PLACED] * 2


def test_the_least_clock_wins_even_where_the_request_is_then_refused() -> None:
    deployment = fleet(slo_s=0.9, router="min_stage_clock")
    # Neither group can make it in time; the first on the tie is asked, every time.
    tally = Scorer(asks(0.0, 5.0), deployment=deployment).tally((SINGLE, PIPELINE), ((0,), (0,)))
    assert tally.num_routed.tolist() == [2, 0]
    assert tally.attainment == 0.0


def test_a_tally_leaves_the_ends_of_the_trace_out() -> None:
    trace = asks(*np.arange(0.0, 100.0, 1.0).tolist())
    scorer = Scorer(trace, deployment=fleet(slo_s=1.5), trim_s=9.9)
    tally = scorer.tally((SINGLE,), ((0,),))
    assert tally.num_requests.tolist() == [80, 0]
    assert tally.num_good.tolist() == [80, 0]
    assert tally.total_latency_s == 80.0


def test_policies_that_reorder_or_batch_are_left_to_the_event_simulator() -> None:
    assert supports(Policy())
    assert not supports(Policy(queue="edf"))
    assert not supports(Policy(batching="deadline"))
    assert not supports(Policy(slack_s=-1.0))


def test_importing_the_scorer_does_not_import_numba() -> None:
    program = "import sys, simulator.fast; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_loading_the_compiler_leaves_linear_algebra_to_those_who_want_it() -> None:
    program = """
import sys
from simulator.fast import load_compiler
load_compiler()
assert "scipy.linalg" not in sys.modules
import scipy.linalg
"""
    subprocess.run([sys.executable, "-c", program], check=True)
