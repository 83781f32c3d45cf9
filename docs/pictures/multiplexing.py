"""Draws multiplexing.svg: two bursty models on two devices, apart and shared (as in AlpaServe, OSDI 2023).

    python docs/pictures/multiplexing.py        writes docs/pictures/multiplexing.svg and prints its figures

Both halves are the simulator's answer to the same hour of traffic, under the default policies.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from scheduling.pipeline import PipelineClock
from simulator.simulate import simulate
from simulator.traffic.workload import generate
from vocabulary.deployment import Deployment, ModelSpec, Slo, Workload
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.outcomes import Outcomes, statistics
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.trace import Trace

# A model takes 200 ms on one device. Cut in two it takes 5 % more in all: cuts are not free.
ALONE_S = 0.2
STAGE_S = ALONE_S * 1.05 / 2
SLO_S = 1.0
RATE_RPS, CV = 1.5, 3.0
DURATION_S, SEED = 3600.0, 0
# What is drawn: seconds that begin and end idle and hold bursts for both models. Percentages are of the hour.
WINDOW_S = (156.0, 164.0)

MODELS = ("A", "B")
DEVICES = ("gpu-0:0", "gpu-0:1")
APART = Placement((
    Group("a", DEVICES[:1], ParallelConfig(), MODELS[:1]),
    Group("b", DEVICES[1:], ParallelConfig(), MODELS[1:]),
))  # fmt: skip
SHARED = Placement((Group("both", DEVICES, ParallelConfig(pipeline=2), MODELS),))

WIDTH, LEFT, RIGHT, TOP = 860, 78, 22, 46
PANEL = 194
DOT, ROW = 7.0, 20.0
STYLE = """
svg { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
.title { font-size: 15px; font-weight: 600; }
.cut { stroke-width: .8; } .missed { stroke-width: 1.8; fill: none; } .scale { fill: none; }
.page { fill: #ffffff; stroke: #d5dbe4; } .row { fill: #f0f3f7; } .rule { stroke: #d5dbe4; }
text { fill: #1c2430; } .dim { fill: #5d6b7e; } .scale { stroke: #5d6b7e; }
.a { fill: #0b66c3; } .b { fill: #d9730d; } .cut { stroke: #ffffff; } .missed { stroke: #c5221f; }
@media (prefers-color-scheme: dark) {
.page { fill: #14181f; stroke: #343d4a; } .row { fill: #1f2630; } .rule { stroke: #343d4a; }
text { fill: #e8ecf2; } .dim { fill: #9aa7b8; } .scale { stroke: #9aa7b8; }
.a { fill: #5aa9ff; } .b { fill: #ff9f4a; } .cut { stroke: #14181f; } .missed { stroke: #ff7b72; }
}"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A request on a device: `model` is an index into MODELS, `device` into DEVICES."""

    model: int
    device: int
    start_s: float
    end_s: float


def deployment(*, rate_rps: float = RATE_RPS, cv: float = CV) -> Deployment:
    """Two equal models on two devices, every policy as it is by default."""
    alone = ProfileEntry(ParallelConfig(), (1,), {}, {1: (ALONE_S,)})
    in_two = ProfileEntry(ParallelConfig(pipeline=2), (1, 1), {}, {1: (STAGE_S, STAGE_S)})
    profile = profile_of("model", "gpu", [alone, in_two], provenance=Provenance("estimated"))
    models = tuple(
        ModelSpec(name, profile=profile, slo=Slo(SLO_S), workload=Workload(rate_rps, cv)) for name in MODELS
    )
    return Deployment("picture", Cluster((NodeClass("gpu", 1, "gpu", 2, 2**30),)), models)


def traffic(fleet: Deployment) -> Trace:
    """The hour of requests."""
    workloads = {model.name: model.workload for model in fleet.models if model.workload is not None}
    return generate(workloads, duration_s=DURATION_S, seed=SEED)


def attainments(*, rate_rps: float, cv: float) -> tuple[float, float]:
    """SLO attainment of the whole hour, apart and shared."""
    fleet = deployment(rate_rps=rate_rps, cv=cv)
    trace = traffic(fleet)
    apart, shared = (simulate(placement, trace, deployment=fleet) for placement in (APART, SHARED))
    return attainment(apart), attainment(shared)


def attainment(outcomes: Outcomes) -> float:
    """Of all requests."""
    return statistics(outcomes, rows=slice(0, len(outcomes.trace))).slo_attainment


def bars(placement: Placement, outcomes: Outcomes, fleet: Deployment) -> list[Bar]:
    """Who is on which device when: groups serve in order, so the pipeline clock tells. Ends are checked."""
    catalog = fleet.catalog()
    clocks = [PipelineClock(group.config.pipeline) for group in placement.groups]
    found = []
    for index in outcomes.served.nonzero()[0]:
        arrival_s = float(outcomes.trace.arrival_s[index])
        model, group_index = int(outcomes.trace.model_index[index]), int(outcomes.group_index[index])
        group, clock = placement.groups[group_index], clocks[group_index]
        stages_s = catalog.costs(MODELS[model], group.config).single
        finish_s = clock.occupy(arrival_s, stages_s)
        assert finish_s == outcomes.finish_s[index], (finish_s, outcomes.finish_s[index])
        for stage, (end_s, latency_s) in enumerate(zip(clock.free_s, stages_s, strict=True)):
            device = DEVICES.index(group.stage_devices(stage)[0])
            found.append(Bar(model, device, end_s - latency_s, end_s))
    return found


def picture() -> str:
    """The SVG, always the same text."""
    fleet = deployment()
    trace = traffic(fleet)
    titles = {
        "Apart: one device each": APART,
        "Shared: both models on both devices, each cut in two stages": SHARED,
    }
    height = TOP + len(titles) * PANEL + 58
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>Two bursty models on two devices, apart and shared</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        *_legend(),
    ]
    for number, (title, placement) in enumerate(titles.items()):
        outcomes = simulate(placement, trace, deployment=fleet)
        y = TOP + number * PANEL
        parts += _panel(y, title, outcomes, bars(placement, outcomes, fleet))
    return "\n".join([*parts, *_time_axis(TOP + len(titles) * PANEL), "</svg>", ""])


def _legend() -> Iterator[str]:
    y = 24
    yield _dot(LEFT + 4, y, 0)
    yield _text(LEFT + 14, y + 4.5, "request for model A")
    yield _dot(LEFT + 164, y, 1)
    yield _text(LEFT + 174, y + 4.5, "request for model B")
    yield _cross(LEFT + 324, y)
    yield _text(LEFT + 334, y + 4.5, "deadline missed: refused on arrival")
    end, start = WIDTH - RIGHT, WIDTH - RIGHT - (_x(SLO_S) - _x(0.0))
    yield f'<path class="scale" d="M{start:.1f} {y - 4}v8m0 -4H{end}m0 -4v8"/>'
    yield _text(start - 6, y + 4.5, "deadline", anchor="end")


def _panel(y: float, title: str, outcomes: Outcomes, found: list[Bar]) -> Iterator[str]:
    yield f'<line class="rule" x1="1" x2="{WIDTH - 1}" y1="{y}" y2="{y}"/>'
    yield _text(LEFT, y + 22, title, css="title")
    share = f"{attainment(outcomes):.1%} in time"
    yield _text(WIDTH - RIGHT, y + 22, share, css="title", anchor="end")
    yield _text(WIDTH - RIGHT, y + 39, _drawn(outcomes), css="dim", anchor="end")
    middle = y + 66
    yield f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{middle}" y2="{middle}"/>'
    yield _text(LEFT - 8, middle - 8, "for A", css="dim", anchor="end")
    yield _text(LEFT - 8, middle + 16, "for B", css="dim", anchor="end")
    yield from _arrivals(middle, outcomes)
    for device in range(len(DEVICES)):
        row = y + 132 + device * (ROW + 4)
        yield f'<rect class="row" x="{LEFT}" y="{row}" width="{WIDTH - LEFT - RIGHT}" height="{ROW}"/>'
        yield _text(LEFT - 8, row + 14, f"device {device + 1}", css="dim", anchor="end")
        yield from _bars_of(device, row, found)


def _drawn(outcomes: Outcomes) -> str:
    arrival_s = outcomes.trace.arrival_s
    rows = (arrival_s >= WINDOW_S[0]) & (arrival_s < WINDOW_S[1])
    return f"{outcomes.good[rows].sum()} of the {rows.sum()} drawn"


def _arrivals(middle: float, outcomes: Outcomes) -> Iterator[str]:
    """One mark for each request, stacked where they come at once: A upwards, B downwards."""
    heights: dict[tuple[int, int], int] = defaultdict(int)
    rows = zip(
        outcomes.trace.arrival_s.tolist(), outcomes.trace.model_index.tolist(), outcomes.good, strict=True
    )
    for arrival_s, model, is_good in rows:
        if not WINDOW_S[0] <= arrival_s < WINDOW_S[1]:
            continue
        column = int((_x(arrival_s) - LEFT) / DOT)
        x = LEFT + (column + 0.5) * DOT
        offset = (heights[model, column] + 0.5) * DOT + 1.5
        heights[model, column] += 1
        y = middle + (offset if model else -offset)
        yield _dot(x, y, model) if is_good else _cross(x, y)


def _bars_of(device: int, row: float, found: list[Bar]) -> Iterator[str]:
    for bar in found:
        start_s, end_s = max(bar.start_s, WINDOW_S[0]), min(bar.end_s, WINDOW_S[1])
        if bar.device == device and start_s < end_s:
            x, width = _x(start_s), _x(end_s) - _x(start_s)
            yield (
                f'<rect class="{MODELS[bar.model].lower()} cut" x="{x:.1f}" y="{row}" '
                f'width="{width:.1f}" height="{ROW}"/>'
            )


def _time_axis(y: float) -> Iterator[str]:
    for second in range(int(WINDOW_S[1] - WINDOW_S[0]) + 1):
        x = _x(WINDOW_S[0] + second)
        yield f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{y + 2}" y2="{y + 8}"/>'
        yield _text(x, y + 22, f"{second} s", css="dim", anchor="middle")
    words = (
        f"Simulated, {DURATION_S / 60:.0f} minutes: {RATE_RPS:g} requests/s for each model, CV {CV:g}; "
        f"{ALONE_S * 1e3:.0f} ms on one device, {STAGE_S * 2e3:.0f} ms cut in two."
    )
    yield _text(LEFT, y + 44, words, css="dim")


def _dot(x: float, y: float, model: int) -> str:
    return f'<circle class="{MODELS[model].lower()}" cx="{x:.1f}" cy="{y:.1f}" r="2.9"/>'


def _cross(x: float, y: float) -> str:
    return f'<path class="missed" d="M{x - 2.4:.1f} {y - 2.4:.1f}l4.8 4.8m0 -4.8l-4.8 4.8"/>'


def _text(x: float, y: float, words: str, *, css: str = "", anchor: str = "start") -> str:
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _x(time_s: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (time_s - WINDOW_S[0]) / (WINDOW_S[1] - WINDOW_S[0])


def main() -> int:
    path = Path(__file__).with_suffix(".svg")
    path.write_text(picture(), encoding="utf-8")
    print(f"wrote {path}")
    for rate_rps, cv in ((RATE_RPS, CV), (RATE_RPS, 1.0), (6.0, 1.0)):
        apart, shared = attainments(rate_rps=rate_rps, cv=cv)
        print(f"{rate_rps:g} requests/s each, CV {cv:g}: apart {apart:.1%}, shared {shared:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
