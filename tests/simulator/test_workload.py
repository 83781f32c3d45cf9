import hashlib

import numpy as np
import pytest

from simulator.traffic.workload import expected_trace, generate, merge, power_law
from vocabulary.deployment import Deployment, ModelSpec, Workload
from vocabulary.errors import InvalidInput
from vocabulary.mesh import Cluster

GOLDEN_LENGTH, GOLDEN_DIGEST = 2115, "64f5047eda0e8f6a"
CALM, BURSTY = Workload(rate_rps=5.0, cv=1.0), Workload(rate_rps=5.0, cv=4.0)


def test_one_seed_gives_one_trace_on_any_machine() -> None:
    trace = generate({"a": CALM, "b": BURSTY}, duration_s=200.0, seed=7)
    nanoseconds = np.round(trace.arrival_s * 1e9).astype(np.int64)
    digest = hashlib.sha256(nanoseconds.tobytes() + trace.model_index.tobytes()).hexdigest()
    assert (len(trace), digest[:16]) == (GOLDEN_LENGTH, GOLDEN_DIGEST)


def test_another_seed_gives_another_trace() -> None:
    first, second = (generate({"a": CALM}, duration_s=50.0, seed=seed) for seed in (0, 1))
    assert not np.array_equal(first.arrival_s, second.arrival_s)


def test_a_models_arrivals_do_not_depend_on_the_other_models() -> None:
    alone = generate({"a": BURSTY}, duration_s=50.0, seed=3)
    together = generate({"a": BURSTY, "b": CALM}, duration_s=50.0, seed=3)
    np.testing.assert_array_equal(together.arrival_s[together.model_index == 0], alone.arrival_s)


@pytest.mark.parametrize("cv", [0.5, 1.0, 4.0])
def test_rate_and_burstiness_are_those_asked_for(cv: float) -> None:
    trace = generate({"a": Workload(rate_rps=50.0, cv=cv)}, duration_s=4000.0, seed=1)
    gaps_s = np.diff(trace.arrival_s)
    # Relative error of a mean over n gaps is cv / sqrt(n); five of those.
    assert abs(len(trace) / 200_000 - 1) < 5 * cv / np.sqrt(200_000)
    assert gaps_s.std() / gaps_s.mean() == pytest.approx(cv, rel=0.05)


def test_no_variation_means_even_gaps() -> None:
    trace = generate({"a": Workload(rate_rps=2.0, cv=0.0)}, duration_s=2.0, seed=0)
    assert trace.arrival_s.tolist() == [0.5, 1.0, 1.5]


def test_a_model_without_traffic_keeps_its_place() -> None:
    trace = generate({"quiet": Workload(0.0), "busy": CALM}, duration_s=10.0, seed=0)
    assert trace.models == ("quiet", "busy")
    assert trace.counts()[0] == 0


def test_tied_arrivals_come_in_the_order_of_the_models() -> None:
    trace = merge({"a": np.array([1.0, 2.0]), "b": np.array([1.0])})
    assert trace.model_index.tolist() == [0, 1, 0]


def test_power_law_rates_add_up() -> None:
    rates = power_law(4, total_rps=10.0)
    assert sum(rates) == pytest.approx(10.0)
    assert rates[0] / rates[3] == pytest.approx(2.0)


def test_a_deployment_says_what_traffic_to_plan_for() -> None:
    models = (ModelSpec("a", workload=Workload(rate_rps=100.0)), ModelSpec("b"))
    trace = expected_trace(Deployment("d", Cluster(()), models))
    assert trace.models == ("a", "b")
    assert 29_000 < len(trace) < 31_000


def test_no_traffic_at_all_is_an_error_with_a_remedy() -> None:
    with pytest.raises(InvalidInput) as caught:
        expected_trace(Deployment("d", Cluster(()), (ModelSpec("a"),)))
    assert "--trace" in caught.value.hint
