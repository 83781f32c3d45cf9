"""A command line turned into a study: files read, axes parsed, what does not go together refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from placement.capacity.axes import DEVICES, Sweep, parse_at, parse_sweeps, parse_within
from placement.capacity.evaluate import Study, plans_on_what_it_serves
from placement.capacity.points import Point, base_point, class_to_resize, deployment_at, moved
from placement.capacity.results import requirement_of
from placement.capacity.sizes import sizes_of
from placement.feasible import check_profiled
from placement.search import algorithm_names
from simulator.traffic.resample import WINDOW_S
from statmux.sweeping.answers import Curve, Questions
from statmux.sweeping.identity import file_identities, run_id
from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.fit import check_fit
from vocabulary.formats.disk import load_deployment, load_plan, load_traffic
from vocabulary.outcomes import kept_rows
from vocabulary.trace import Trace


@dataclass(frozen=True, slots=True)
class Asked:
    """The words of the command line; see the help of `statmux capacity`."""

    deployment: Path
    trace: Path | None = None
    train_trace: Path | None = None
    plan: Path | None = None
    sweeps: tuple[str, ...] = ()
    at: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ()
    is_replanned: bool = False
    required_attainment: float | None = None
    objective: str | None = None
    within: str | None = None
    node_class: str | None = None
    num_draws: int = 1
    seed: int = 0
    is_drawn: bool = False
    window_s: float | None = None
    trim_s: float = 0.0
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """What to find out, on what; remarks are sentences for the user."""

    study: Study
    questions: Questions
    remarks: tuple[str, ...]


def prepare(asked: Asked) -> Prepared:
    """Raises InvalidInput for whatever is wrong, before computing; Infeasible if a plan is too big."""
    _check_words(asked)
    deployment = load_deployment(asked.deployment, overrides=asked.overrides)
    check_profiled(deployment)
    resized = class_to_resize(deployment.cluster, asked.node_class)
    base = _base(asked, deployment, resized)
    questions = Questions(
        base=base,
        curves=_curves(asked, deployment, base),
        sweeps=_sweeps(asked, deployment, base, resized),
        requirement=requirement_of(deployment, asked.required_attainment),
        resized=resized,
        is_replanned=asked.is_replanned,
        objective=asked.objective,
        within=None if asked.within is None else parse_within(asked.within),
    )
    _check_together(questions, deployment)
    trace, remarks = _traffic(asked, deployment)
    _check_trim(trace, asked.trim_s)
    train = trace if asked.train_trace is None else _loaded(asked.train_trace, deployment)
    study = Study(
        deployment,
        trace,
        train,
        trim_s=asked.trim_s,
        seed=asked.seed,
        num_draws=asked.num_draws,
        is_drawn=asked.is_drawn,
        window_s=WINDOW_S if asked.window_s is None else asked.window_s,
    )
    return Prepared(study, questions, (*remarks, *_remarks(questions, study)))


def identify(asked: Asked, prepared: Prepared) -> tuple[dict[str, dict[str, str]], str]:
    """Names and hashes of the files, and the id of the run."""
    inputs = file_identities(
        {
            "deployment": asked.deployment,
            "trace": asked.trace,
            "train_trace": asked.train_trace,
            "plan": asked.plan,
        }
    )
    settings = {
        "trim_s": asked.trim_s,
        "seed": asked.seed,
        "num_draws": asked.num_draws,
        "is_drawn": asked.is_drawn,
        "window_s": prepared.study.window_s,
    }
    kept = {name: one for name, one in inputs.items() if name in ("trace", "train_trace")}
    return inputs, run_id(prepared.study.deployment, inputs=kept, settings=settings)


def _check_words(asked: Asked) -> None:
    share = asked.required_attainment
    if share is not None and not (math.isfinite(share) and 0 < share <= 1):
        hint = "give a number above 0 and at most 1, as in 0.99"
        raise InvalidInput(f"{share:g} is no share of requests", where="--require-attainment", hint=hint)
    if asked.within is not None and asked.objective is None:
        hint = "add --minimize devices or --minimize cost"
        raise InvalidInput("only a search for the smallest cluster has a range", where="--within", hint=hint)
    for name in asked.algorithms:
        if name not in algorithm_names():
            raise InvalidInput(
                f"there is no placement algorithm {name!r}",
                where="--algorithm",
                hint=f"choose among {', '.join(algorithm_names())}",
            )


def _base(asked: Asked, deployment: Deployment, resized: int) -> Point:
    point = base_point(deployment.cluster)
    for text in asked.at:
        axis, value = parse_at(text)
        point = moved(point, axis, value, resized=resized)
    return point


def _curves(asked: Asked, deployment: Deployment, base: Point) -> tuple[Curve, ...]:
    given: tuple[Curve, ...] = ()
    if asked.plan is not None:
        there = deployment_at(deployment, base)
        placement = load_plan(asked.plan, deployment=there).placement
        check_fit(placement, there)
        # A file may have the name of an algorithm.
        name = asked.plan.name if asked.plan.name not in algorithm_names() else f"{asked.plan.name} (file)"
        given = (Curve(name, placement=placement),)
    names = asked.algorithms or (() if given else (deployment.algorithm,))
    return (*given, *(Curve(name, algorithm=name) for name in dict.fromkeys(names)))


def _sweeps(asked: Asked, deployment: Deployment, base: Point, resized: int) -> tuple[Sweep, ...]:
    node = deployment.cluster.nodes[resized]
    sweeps = parse_sweeps(
        asked.sweeps,
        node_devices=node.devices_per_host,
        fixed_devices=base.num_devices - base.devices[resized],
    )
    for sweep in sweeps:
        for value in sweep.values:
            moved(base, sweep.axis, value, resized=resized)
    return sweeps


def _check_together(questions: Questions, deployment: Deployment) -> None:
    if questions.objective is not None:
        sizes_of(
            deployment.cluster,
            questions.base,
            objective=questions.objective,
            resized=questions.resized,
            within=questions.within,
        )
    if questions.has_plans:
        return
    hint = "leave --plan out, or name an --algorithm that plans"
    if questions.objective is not None:
        raise InvalidInput("a given plan has its own devices", where="--minimize", hint=hint)
    if any(sweep.axis == DEVICES for sweep in questions.sweeps):
        raise InvalidInput("a given plan has its own devices", where="--sweep devices", hint=hint)


def _traffic(asked: Asked, deployment: Deployment) -> tuple[Trace, tuple[str, ...]]:
    from simulator.traffic.workload import expected_trace

    if asked.trace is not None:
        trace = _loaded(asked.trace, deployment)
        if not len(trace):
            hint = "give a trace with requests"
            raise InvalidInput("there is no request in it", where=str(asked.trace), hint=hint)
        return trace, ()
    drawn = expected_trace(deployment)
    seed = deployment.seed
    return drawn, (f"no --trace: {len(drawn)} requests drawn from `workload` with seed {seed}",)


def _check_trim(trace: Trace, trim_s: float) -> None:
    rows = kept_rows(trace, trim_s)
    if rows.start == rows.stop:
        message = f"{trim_s:g} s at each end leave none of {trace.duration_s:g} s to count"
        raise InvalidInput(message, where="--trim-s", hint="trim less")


def _loaded(path: Path, deployment: Deployment) -> Trace:
    return load_traffic(path, deployment)


def _remarks(questions: Questions, study: Study) -> list[str]:
    remarks = _without_objectives(study.deployment)
    if any(sweep.axis == DEVICES for sweep in questions.sweeps) and not questions.is_replanned:
        remarks.append("devices: every point is planned anew")
    if questions.has_plans and plans_on_what_it_serves(study):
        remarks.append(
            "plans are made on the very traffic that they are judged by, which flatters them; "
            "plan on other traffic with --train-trace"
        )
    is_drawn = study.is_drawn or questions.base.cv_scale is not None
    if study.num_draws > 1 and not is_drawn and all(s.axis != "cv_scale" for s in questions.sweeps):
        remarks.append(
            "--seeds: the trace is replayed, not drawn (--resample), so intervals come from its windows"
        )
    return remarks


def _without_objectives(deployment: Deployment) -> list[str]:
    free = [one.name for one in deployment.models if one.slo.is_empty]
    if not free:
        return []
    who = "no model has" if len(free) == len(deployment.models) else f"{free[0]} does not have"
    if 1 < len(free) < len(deployment.models):
        who = f"{free[0]} and {len(free) - 1} more models do not have"
    return [f"{who} an SLO (models[].slo): what is served there counts as in time, however late"]
