"""The compiled scorer against the published artifact's own outcomes, request for request."""

import numpy as np
import pytest

from simulator.fast import score
from tests.placement import published
from vocabulary.outcomes import kept_rows, statistics

CASES = sorted(published.FOLDER.glob("w*/outcomes.*.test.csv.gz"))
IDS = [f"{path.parent.name[:2]}-{path.name.split('.')[1]}" for path in CASES]


@published.needed
@pytest.mark.parametrize("path", CASES, ids=IDS)
def test_every_decision_and_finish_time_is_the_artifacts(path) -> None:
    name, algorithm = path.parent.name, path.name.split(".")[1]
    trace = published.trace(name, "test")
    ours = score(published.placement(name, algorithm), trace, deployment=published.deployment(name))
    good, finish_s = published.outcomes(path)
    np.testing.assert_array_equal(ours.good, good)
    np.testing.assert_array_equal(ours.finish_s[good], finish_s[good])
    published_goodput = published.figures(name)[algorithm]["goodput_test"]
    assert statistics(ours, rows=kept_rows(trace, 10.0)).slo_attainment == published_goodput
