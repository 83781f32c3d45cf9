"""The live page of a fleet that serves: behind tokens, under load, beside its metrics, when a group dies."""

from __future__ import annotations

import os
import signal
import tempfile
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from statmux.client import Client, ClientError
from tests.chromium import CHROMIUM, MISSING, Tab, open_tab
from tests.controller.live.looking import clipped, pale
from tests.live.fleet_files import write_small_fleet
from tests.live.fleet_process import ServedFleet

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(CHROMIUM is None, reason=MISSING)]

SECRET = "night-watch-secret"
SECURITY = """\
serving: {health: {beat_timeout_s: 60, restarts: {backoff_s: 0.1}}}
security:
  auth: {mode: token, tokens: [{name: watch, secret_env: WATCH, scopes: [infer, metrics]}]}
"""
X = {"INPUT0": np.arange(4, dtype=np.int32)}
NUM_EACH, NUM_AT_ONCE = 150, 24
# Some of those at once have to wait too long, and are refused.
MODELS = "{slo: {latency_ms: 40, attainment: 0.9}, engine: emulated}"
Samples = dict[str, list[tuple[dict[str, str], float]]]


@dataclass(frozen=True, slots=True)
class Watched:
    fleet: ServedFleet
    grpc: str
    http: str
    metrics: str

    def samples(self) -> Samples:
        """What Prometheus reads now."""
        with urllib.request.urlopen(self.metrics, timeout=30) as answer:
            text = answer.read().decode()
        found: Samples = defaultdict(list)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name].append((sample.labels, sample.value))
        return found

    def load(self) -> None:
        """Every call is answered, one way or another, before it returns."""
        with Client(self.grpc, token=SECRET) as client, ThreadPoolExecutor(NUM_AT_ONCE) as pool:
            models = ["m0", "m1"] * NUM_EACH
            list(pool.map(lambda model: _answered(client, model), models))


def _answered(client: Client, model: str) -> bool:
    try:
        return bool(client.infer(model, X).outputs)
    except ClientError:
        return False


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with tempfile.TemporaryDirectory(prefix="live-") as path, ExitStack() as stack:
        folder = write_small_fleet(Path(path), num_groups=2, models=MODELS, stage_s=0.004)
        with (folder / "deployment.yaml").open("a") as file:
            file.write(SECURITY)
        fleet = ServedFleet(folder, environment={"WATCH": SECRET})
        stack.callback(fleet.kill)
        told = fleet.until_ready()
        yield Watched(fleet, told["grpc"], told["http"], told["metrics"])
        assert fleet.run_verb("stop", "--wait").returncode == 0
        assert fleet.wait() == 0, fleet.said
        fleet.check_clean_end()


@pytest.fixture(scope="module")
def page(watched: Watched) -> Iterator[Tab]:
    """Asks for a token, and is given one."""
    with open_tab() as tab:
        tab.look(width=1440)
        tab.open(watched.http)
        tab.until("!document.getElementById('door').hidden")
        tab.write(SECRET)
        tab.press("Enter", number=13, text="\r")
        tab.until("document.querySelectorAll('#models tbody').length === 2")
        # The answer 401 is what asked for it.
        tab.errors.clear()
        yield tab


def summed(samples: Samples, name: str, **labels: str) -> float:
    return sum(value for has, value in samples[name] if labels.items() <= has.items())


def quantile(samples: Samples, share: float, model: str) -> float:
    """As Prometheus has it, over all groups of the model."""
    buckets: dict[float, float] = defaultdict(float)
    for has, value in samples["statmux_request_duration_seconds_bucket"]:
        if has["model"] == model:
            buckets[float(has["le"])] += value
    lower, before = 0.0, 0.0
    for bound, count in sorted(buckets.items()):
        if count >= share * max(buckets.values()):
            return lower + (bound - lower) * (share * max(buckets.values()) - before) / (count - before)
        lower, before = bound, count
    raise AssertionError(buckets)


def hear_more(page: Tab, num: int) -> None:
    """Let the page ask so often again, and show the answers but for the last."""

    def asked() -> int:
        page.value("0")
        return sum(one.endswith("/live/document") for one in page.fetched)

    end = asked() + num
    page.until_is(lambda: asked() >= end, what=f"{num} more documents")


def cells(page: Tab, model: str) -> list[str]:
    """Of the model's row, as they are read: attainment, rate, picture, p50, p99, objective, and so on."""
    found = page.value(f"[...document.querySelectorAll('#model-{model} .main td')].map(one => one.innerText)")
    return [one.replace("\u202f", " ") for one in found]


def seconds(text: str) -> float:
    number, unit = text.split()
    return float(number.replace(",", "")) * {"ms": 1e-3, "s": 1.0}[unit]


def test_what_it_shows_is_what_prometheus_reads(watched: Watched, page: Tab) -> None:
    assert all(cells(page, model)[3] == "–" for model in ("m0", "m1")), "nobody has asked for them yet"
    watched.load()
    samples = watched.samples()
    # All that was answered lies in the minute that the page shows, once it has heard of it.
    hear_more(page, 3)
    window_s = page.value("document.querySelector('.span').textContent").replace("\u202f", " ")
    for model in ("m0", "m1"):
        attainment, rate, _, p50, p99, objective, *_ = cells(page, model)
        met = summed(samples, "statmux_slo_met_total", model=model)
        missed = summed(samples, "statmux_slo_missed_total", model=model)
        assert met + missed == NUM_EACH and met > 0
        assert float(attainment.split()[0]) == pytest.approx(100 * met / NUM_EACH, abs=0.051)
        assert seconds(p50) == pytest.approx(quantile(samples, 0.5, model), rel=0.01)
        assert seconds(p99) == pytest.approx(quantile(samples, 0.99, model), rel=0.01)
        assert objective == "40.0 ms"
        if window_s.endswith(" s"):
            span_s = float(window_s.split()[1])
            assert NUM_EACH / (span_s + 4) <= float(rate) <= NUM_EACH / max(span_s - 1, 1)
    assert page.errors == []
    assert {one.split("/")[2] for one in page.fetched if one.startswith("http")} == {
        watched.http.removeprefix("http://").rstrip("/")
    }


def test_it_fits_a_phone_and_a_desk_by_day_and_by_night(page: Tab) -> None:
    for width in (390, 1440):
        for is_dark in (True, False):
            page.look(width=width, is_dark=is_dark)
            assert (clipped(page), pale(page)) == ([], []), (width, is_dark)


def test_a_group_that_dies_is_a_decision_with_its_reason(watched: Watched, page: Tab) -> None:
    os.kill(watched.fleet.group("g1")["pid"], signal.SIGKILL)
    page.until("document.getElementById('decisions').innerText.includes('Group g1 was lost')")
    watched.fleet.until(lambda: watched.fleet.ask("status")["state"] == "ready")
    page.until("document.getElementById('state').textContent === '● ready'")
    restarts = "[...document.querySelectorAll('#groups .main')].map(one => one.cells[5].textContent).join()"
    page.until(f"{restarts} === '0,1'")
    assert page.errors == []
