from itertools import chain, combinations, product

from placement.candidate import Candidate
from placement.greedy import beam, fill, with_required
from placement.groups import carve, hosts_of
from placement.problem import Problem
from tests.placement.fleets import deployment, model, requests
from vocabulary.deployment import Deployment
from vocabulary.parallel import ParallelConfig
from vocabulary.trace import Trace

TRAFFIC = requests({"a": 6.0, "b": 3.0, "c": 1.0})


def fleet(**settings: object) -> Deployment:
    """Two devices with room for two of three models each."""
    return deployment(model("a", 50), model("b", 50), model("c", 50), num_devices=2, **settings)


def layout(problem: Problem):
    return carve(hosts_of(problem.deployment.cluster), ParallelConfig())


def every_value(problem: Problem, trace: Trace) -> list[float]:
    """Of all placements of three models on two devices with at most two on each."""
    sets = list(chain.from_iterable(combinations(range(3), size) for size in range(3)))
    candidates = [Candidate(layout(problem), content) for content in product(sets, sets)]
    return [problem.value(candidate, problem.tally(candidate)) for candidate in candidates]


def test_a_beam_that_keeps_everything_finds_the_best_placement() -> None:
    problem = Problem(fleet(), TRAFFIC)
    found = beam(problem, layout(problem), width=100)
    assert found is not None
    assert found.value == max(every_value(problem, TRAFFIC))


def test_a_wider_beam_is_never_worse() -> None:
    problem = Problem(fleet(), TRAFFIC)
    values = [beam(problem, layout(problem), width=width).value for width in (1, 3, 9)]
    assert values == sorted(values)


def test_the_fast_heuristic_ends_when_nothing_more_fits() -> None:
    problem = Problem(fleet(), TRAFFIC)
    filled = fill(problem, layout(problem))
    assert filled is not None
    assert all(not problem.addable(filled.last.candidate, group).any() for group in range(2))
    assert filled.best.value >= filled.last.value


def test_the_busiest_model_is_placed_first() -> None:
    problem = Problem(
        deployment(model("a", 60), model("b", 60), num_devices=1), requests({"a": 1.0, "b": 2.0})
    )
    filled = fill(problem, layout(problem))
    assert filled.last.candidate.content == ((1,),)


def test_required_replicas_come_before_better_ones() -> None:
    wanted = deployment(model("a", 60), model("b", 60, min_replicas=1), num_devices=1)
    problem = Problem(wanted, requests({"a": 5.0, "b": 0.1}))
    assert fill(problem, layout(problem)).last.candidate.content == ((1,),)


def test_required_replicas_that_do_not_fit_leave_nothing() -> None:
    problem = Problem(deployment(model("a", 60, min_replicas=3), num_devices=2), requests({"a": 1.0}))
    assert with_required(problem, layout(problem)) is None
    assert fill(problem, layout(problem)) is None
    assert beam(problem, layout(problem), width=1) is None


def test_no_model_gets_more_replicas_than_allowed() -> None:
    problem = Problem(deployment(model("a", 10, max_replicas=2)), requests({"a": 20.0}))
    assert fill(problem, layout(problem)).last.candidate.num_replicas == 2
