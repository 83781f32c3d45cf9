"""What the page works out from documents, run where it is run: in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.chromium import Tab
from tests.controller.live.story_server import serving

BOUNDS = [0.001, 0.01, 0.1, 1.0]


@pytest.fixture(scope="module")
def page(tab: Tab) -> Iterator[Tab]:
    """The page's modules as `quantiles`, `histories`, `measures`, `format` and `judge`."""
    with serving(lambda _: {"schema_version": 0}) as told:
        tab.open(f"{told.address}/live/types.js")
        names = {"quantiles": "quantiles", "histories": "history", "measures": "measures", "format": "format"}
        for name, module in {**names, "judge": "judge"}.items():
            tab.value(f"import('/live/{module}.js').then(found => {{ window.{name} = found; }})")
        yield tab


def called(page: Tab, function: str, *words: Any) -> Any:
    return page.value(f"{function}({', '.join(map(json.dumps, words))})")


def histogram_quantile(share: float, bounds: list[float], counts: list[float]) -> float | None:
    """As Prometheus's documentation says it: an oracle of its own."""
    total = counts[-1]
    if total == 0:
        return None
    rank = share * total
    index = next(index for index, count in enumerate(counts) if count >= rank)
    if index == len(bounds):
        return bounds[-1]
    lower, before = (bounds[index - 1], counts[index - 1]) if index else (0.0, 0.0)
    return lower + (bounds[index] - lower) * (rank - before) / (counts[index] - before)


def test_quantiles_are_those_of_prometheus(page: Tab) -> None:
    rng = np.random.default_rng(3)
    cases = [
        (share, BOUNDS, np.cumsum(rng.integers(0, 9, 5)).tolist())
        for share in (0.01, 0.5, 0.9, 0.99)
        for _ in range(50)
    ]
    found = page.value(f"{json.dumps(cases)}.map(one => quantiles.quantile(...one))")
    for case, one in zip(cases, found, strict=True):
        expected = histogram_quantile(*case)
        assert (one is None) == (expected is None), case
        assert one is None or one["value"] == pytest.approx(expected), case


def test_a_quantile_beyond_the_last_bound_says_so(page: Tab) -> None:
    assert called(page, "quantiles.quantile", 0.99, BOUNDS, [0, 0, 5, 5, 10]) == {
        "value": 1.0,
        "isBeyond": True,
    }
    assert called(page, "quantiles.quantile", 0.5, BOUNDS, [0, 0, 0, 0, 0]) is None
    assert called(page, "quantiles.quantile", 0.5, [], []) is None


def document(unix_s: float, answered: float, *, started_unix_s: float = 0.0, **more: Any) -> dict[str, Any]:
    """Of one model in one group; half of its requests met their objective, all took up to 0.01 s."""
    counts = {
        "answered": answered, "served": answered, "met": answered / 2, "missed": answered / 2, "retried": 0,
        "output_tokens": 0, "rejected": {}, "objectives": {"latency": [answered / 2, answered / 2]},
    }  # fmt: skip
    histogram = {"buckets": [0, answered, answered, answered, answered], "sum": 0.0}
    model = {
        "state": "READY", "generates": False, "counts": counts, "waiting": 0, "running": 0,
        "objectives": {"latency_s": 0.1, "ttft_s": None, "tpot_s": None}, "target_attainment": 0.9,
        "predicted_attainment": None, "histograms": {"latency_s": histogram},
    }  # fmt: skip
    group = {"id": "g0", "pipeline": 1, "stage_busy_s": [answered / 100], "models": ["m"], "state": "open"}
    return {
        "unix_s": unix_s, "started_unix_s": started_unix_s, "uptime_s": unix_s - started_unix_s,
        "bounds": {"latency_s": BOUNDS}, "models": {"m": model}, "groups": [{**group, **more}],
    }  # fmt: skip


def measured(page: Tab, *documents: dict[str, Any]) -> dict[str, Any]:
    """What the page makes of the last of them, having seen those before."""
    return page.value(
        f"""(() => {{
          const seen = {json.dumps(documents)}, past = new histories.History();
          for (const one of seen) past.add(one);
          return measures.measuresOf(seen[seen.length - 1], past);
        }})()"""
    )


def test_the_first_document_shows_all_since_the_start(page: Tab) -> None:
    found = measured(page, document(50.0, 100.0))
    assert (found["isSinceStart"], found["seconds"]) == (True, 50.0)
    assert found["models"][0]["rate"] == pytest.approx(2.0)
    assert found["models"][0]["attainment"] == 0.5
    assert found["groups"][0]["utilisation"] == [pytest.approx(1.0 / 50)]


def test_rates_are_over_the_last_minute(page: Tab) -> None:
    # Ten a second for two minutes, then thirty a second for the last half.
    documents = [document(time_s, 10.0 * time_s) for time_s in np.arange(2.0, 121.0, 2.0)]
    documents += [document(120.0 + time_s, 1200.0 + 30.0 * time_s) for time_s in np.arange(2.0, 31.0, 2.0)]
    found = measured(page, *documents)
    assert (found["isSinceStart"], found["seconds"]) == (False, pytest.approx(60.0))
    assert found["models"][0]["rate"] == pytest.approx(20.0)
    assert found["fleet"]["rate"] == pytest.approx(20.0)
    assert found["models"][0]["rates"][-1] == pytest.approx(30.0), "sparklines show ten seconds"
    assert found["groups"][0]["utilisation"] == [pytest.approx(0.2)]
    assert found["models"][0]["latency"]["p50"]["value"] == pytest.approx(0.0055)


def test_a_controller_that_restarts_loses_nothing_of_the_minute(page: Tab) -> None:
    before = [document(1000.0 + time_s, 500.0 + 10.0 * time_s) for time_s in (0.0, 10.0, 20.0)]
    # It has overtaken the old counters by the time it is heard of.
    after = [document(1040.0, 900.0, started_unix_s=1021.0), document(1050.0, 1000.0, started_unix_s=1021.0)]
    found = measured(page, *before, *after)
    assert found["models"][0]["numAnswered"] == pytest.approx(200.0 + 900.0 + 100.0)
    assert found["models"][0]["rate"] == pytest.approx(1200.0 / 50.0)


def test_a_worker_that_restarts_counts_from_zero_again(page: Tab) -> None:
    found = measured(
        page,
        document(10.0, 100.0, stage_busy_s=[400.0]),
        document(20.0, 200.0, stage_busy_s=[404.0]),
        document(30.0, 300.0, stage_busy_s=[1.0]),
        document(40.0, 400.0, stage_busy_s=[6.0]),
    )
    assert found["groups"][0]["utilisation"] == [pytest.approx((4.0 + 1.0 + 5.0) / 30.0)]


def test_a_worker_that_outlives_its_controller_has_not_worked_all_its_life_in_a_minute(page: Tab) -> None:
    found = measured(
        page,
        document(1000.0, 500.0, stage_busy_s=[700.0]),
        document(1010.0, 600.0, stage_busy_s=[701.0]),
        document(1020.0, 0.0, started_unix_s=1015.0, stage_busy_s=[]),
        document(1030.0, 10.0, started_unix_s=1015.0, stage_busy_s=[703.0]),
    )
    assert found["groups"][0]["utilisation"] == [pytest.approx(3.0 / 30.0)]


def test_a_worker_is_heard_of_late_and_what_it_did_before_is_not_of_this_minute(page: Tab) -> None:
    found = measured(
        page,
        document(1000.0, 500.0, stage_busy_s=[]),
        document(1010.0, 600.0, stage_busy_s=[700.0]),
        document(1020.0, 700.0, stage_busy_s=[702.0]),
    )
    assert found["groups"][0]["utilisation"] == [pytest.approx(2.0 / 20.0)]


def test_what_is_first_counted_in_the_minute_counts_from_zero(page: Tab) -> None:
    empty = document(10.0, 0.0)
    empty["models"]["m"]["histograms"] = {}
    found = measured(page, empty, document(20.0, 50.0))
    assert found["models"][0]["latency"]["p99"]["value"] == pytest.approx(0.01, rel=0.02)


def test_after_a_pause_the_minute_is_as_long_as_it_says(page: Tab) -> None:
    """The page was hidden for ten minutes: what it shows first is of all that time."""
    found = measured(page, document(10.0, 100.0), document(12.0, 120.0), document(612.0, 6120.0))
    assert found["seconds"] == pytest.approx(600.0)
    assert found["models"][0]["rate"] == pytest.approx(10.0)


def test_verdicts_need_enough_requests_and_no_model_is_late_that_nobody_asks(page: Tab) -> None:
    def verdict(**model: Any) -> dict[str, str]:
        base = measured(page, document(50.0, 100.0))["models"][0]
        return called(page, "judge.verdictOf", {**base, **model})

    assert verdict()["level"] == "bad" and "below its objective of 90.0" in verdict()["words"]
    assert verdict(numJudged=19)["level"] == "good"
    assert verdict(attainment=0.9)["level"] == "good"
    assert verdict(numAnswered=0, numJudged=0, attainment=None, rate=0)["level"] == "idle"
    assert verdict(attainment=1.0, notServedRate=0.1)["level"] == "warn"


def test_a_model_on_demand_that_nobody_asked_for_is_no_problem(page: Tab) -> None:
    def level(**told: Any) -> str:
        base = measured(page, document(50.0, 100.0))["models"][0]
        away = {"state": "UNAVAILABLE", "reason": "no group holds it", "groups": [], "is_on_demand": True}
        return called(page, "judge.verdictOf", {**base, "document": {**base["document"], **away, **told}})[
            "level"
        ]

    assert level() == "idle"
    assert level(is_on_demand=False) == "bad"
    assert level(groups=["g0"], reason="all its groups are lost") == "bad"
    assert level(reason="unloaded") == "bad", "somebody took it out: who asks does not get it"


def test_numbers_are_as_people_read_them(page: Tab) -> None:
    cases = {
        "format.duration(0.0123)": "12.3 ms",
        "format.duration(0.9996)": "1.00 s",
        "format.duration(81.92)": "81.9 s",
        "format.duration(null)": "–",
        "format.percent(0.99996)": "99.99 %",
        "format.percent(1)": "100 %",
        "format.percent(0.987)": "98.7 %",
        "format.rateText(0)": "0.00",
        "format.rateText(0.004)": "< 0.01",
        "format.rateText(1234.5)": "1,235",
        "format.bytesText(3221225472)": "3.00 GiB",
        "format.span(59.9)": "59 s",
        "format.span(12000)": "3 h 20 min",
        "format.quantileText({value: 81.92, isBeyond: true})": "> 81.9 s",
    }
    found = {case: page.value(case).replace("\u202f", " ") for case in cases}
    assert found == cases
