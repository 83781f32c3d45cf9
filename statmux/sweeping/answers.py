"""A study's questions, one after the other: base point, sweeps, head-room, the smallest cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from placement.capacity.axes import DEVICES, Sweep
from placement.capacity.bisection import Cheapest, Furthest, Size
from placement.capacity.evaluate import Probe, Study
from placement.capacity.points import Point, moved
from placement.capacity.results import Requirement, Result
from placement.capacity.sizes import price_of, sizes_of
from statmux.progress import Progress
from statmux.render import Console
from statmux.sweeping.runner import Runner
from vocabulary.placement import Placement


@dataclass(frozen=True, slots=True)
class Curve:
    """What is compared: plans that `algorithm` makes, or one given plan."""

    name: str
    algorithm: str | None = None
    placement: Placement | None = None


@dataclass(frozen=True, slots=True)
class Questions:
    """What a user asks. objective: devices, cost or None; within: devices of the smallest cluster."""

    base: Point
    curves: tuple[Curve, ...]
    sweeps: tuple[Sweep, ...]
    requirement: Requirement
    resized: int
    is_replanned: bool = False
    objective: str | None = None
    within: tuple[int, int] | None = None

    @property
    def has_plans(self) -> bool:
        """Whether anything is planned, not only given."""
        return any(curve.algorithm is not None for curve in self.curves)


@dataclass(frozen=True, slots=True)
class At:
    """A result and where it was found."""

    point: Point
    result: Result


Where = TypeVar("Where", float, Size)


@dataclass(frozen=True, slots=True)
class Tried(Generic[Where]):
    """One try of a bisection, in the order of trying."""

    where: Where
    result: Result
    holds: bool
    is_confirmation: bool = False


@dataclass(frozen=True, slots=True)
class HeadRoom:
    """rate_scale: the fastest traffic that the base plan holds, None if none was found to hold."""

    rate_scale: float | None
    is_at_least: bool
    tried: tuple[Tried[float], ...]


@dataclass(frozen=True, slots=True)
class Smallest:
    """best None: nothing in the range holds; `tried` has what came nearest."""

    best: Size | None
    is_monotone: bool
    tried: tuple[Tried[Size], ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """By the name of the curve; of `swept`, by axis first."""

    base: Mapping[str, Result]
    swept: Mapping[str, Mapping[str, tuple[At, ...]]]
    head_room: Mapping[str, HeadRoom]
    smallest: Mapping[str, Smallest]


def answers_to(questions: Questions, study: Study, runner: Runner, console: Console) -> Answers:
    """Every point is evaluated at most once; all sweeps run at the same time."""
    base = _base(questions, runner, console)
    return Answers(
        base=base,
        swept=_swept(questions, base, runner, console),
        head_room=_head_room(questions, base, runner, console),
        smallest=_smallest(questions, study, runner, console),
    )


def _base(questions: Questions, runner: Runner, console: Console) -> dict[str, Result]:
    probes = [_probe(curve, questions.base, None) for curve in questions.curves]
    with console.progress("base point", total=len(probes)) as progress:
        results = runner.results(probes, progress)
    return {curve.name: result for curve, result in zip(questions.curves, results, strict=True)}


def _swept(
    questions: Questions, base: Mapping[str, Result], runner: Runner, console: Console
) -> dict[str, dict[str, tuple[At, ...]]]:
    points = {
        sweep.axis: [moved(questions.base, sweep.axis, v, resized=questions.resized) for v in sweep.values]
        for sweep in questions.sweeps
    }
    asked = [
        (axis, curve, point, _probe(curve, point, _kept_plan(questions, axis, base[curve.name])))
        for axis, places in points.items()
        for curve in questions.curves
        if axis != DEVICES or curve.algorithm is not None
        for point in places
    ]
    if not asked:
        return {}
    with console.progress("sweeping", total=len({probe for *_, probe in asked})) as progress:
        results = runner.results([probe for *_, probe in asked], progress)
    found: dict[str, dict[str, tuple[At, ...]]] = {axis: {} for axis in points}
    for (axis, curve, point, _), result in zip(asked, results, strict=True):
        found[axis][curve.name] = (*found[axis].get(curve.name, ()), At(point, result))
    return found


def _kept_plan(questions: Questions, axis: str, base: Result) -> Placement | None:
    """The plan of the base point, where it is kept; None: plan for each point."""
    return None if questions.is_replanned or axis == DEVICES else base.placement


def _head_room(
    questions: Questions, base: Mapping[str, Result], runner: Runner, console: Console
) -> dict[str, HeadRoom]:
    found = {}
    with console.progress("head-room") as progress:
        for curve in questions.curves:
            placement = base[curve.name].placement
            machine = Furthest()
            tried: list[Tried[float]] = []
            while placement is not None and (scales := machine.decide()):
                points = [_faster(questions.base, scale) for scale in scales]
                results = runner.results([_probe(curve, point, placement) for point in points], progress)
                for scale, result in zip(scales, results, strict=True):
                    holds = questions.requirement.holds(result)
                    machine.observe(scale, holds=holds)
                    tried.append(Tried(scale, result, holds))
            found[curve.name] = HeadRoom(machine.best, machine.is_at_least, tuple(tried))
    return found


def _smallest(questions: Questions, study: Study, runner: Runner, console: Console) -> dict[str, Smallest]:
    if questions.objective is None:
        return {}
    cluster = study.deployment.cluster
    sizes = sizes_of(
        cluster,
        questions.base,
        objective=questions.objective,
        resized=questions.resized,
        within=questions.within,
    )
    start = price_of(cluster, questions.base.devices, questions.objective)
    found = {}
    with console.progress(f"smallest cluster by {questions.objective}") as progress:
        for curve in questions.curves:
            if curve.algorithm is not None:
                machine = Cheapest(sizes, start_price=start)
                tried = _bisect(machine, curve, questions, runner, progress)
                found[curve.name] = Smallest(machine.best, machine.is_monotone, tried)
    return found


def _bisect(
    machine: Cheapest, curve: Curve, questions: Questions, runner: Runner, progress: Progress
) -> tuple[Tried[Size], ...]:
    tried: list[Tried[Size]] = []
    while sizes := machine.decide():
        is_confirmation = machine.is_confirming
        points = [replace(questions.base, devices=size.devices) for size in sizes]
        results = runner.results([_probe(curve, point, None) for point in points], progress)
        for size, result in zip(sizes, results, strict=True):
            holds = questions.requirement.holds(result)
            machine.observe(size, holds=holds)
            tried.append(Tried(size, result, holds, is_confirmation))
    return tuple(tried)


def _faster(base: Point, scale: float) -> Point:
    return replace(base, rate_scale=float(f"{base.rate_scale * scale:.6g}"))


def _probe(curve: Curve, point: Point, placement: Placement | None) -> Probe:
    """`placement`: the plan to keep; None: plan for the point (a given plan is always kept)."""
    kept = placement or curve.placement
    return Probe(point, placement=kept) if kept is not None else Probe(point, algorithm=curve.algorithm)
