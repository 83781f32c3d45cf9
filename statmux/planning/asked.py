"""The words of `statmux plan`, and the files they name: all that is wrong is told before searching."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from statmux.planning.old_plan import OldPlan, load_old
from statmux.reporting.placement_picture import check_suffix
from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.formats.disk import load_deployment, load_traffic
from vocabulary.outcomes import kept_rows
from vocabulary.trace import Trace

DEFAULT_HORIZON_S = 3600.0


@dataclass(frozen=True, slots=True)
class Asked:
    """See the help of `statmux plan`; None and empty where a flag was left out."""

    deployment: Path
    trace: Path | None = None
    test_trace: Path | None = None
    algorithm: str | None = None
    objective: str | None = None
    trim_s: float = 0.0
    seed: int | None = None
    time_budget_s: float | None = None
    wants_bound: bool = False
    bound_budget_s: float | None = None
    explain: tuple[str, ...] = ()
    diff: Path | None = None
    current: Path | None = None
    horizon_s: float | None = None
    store_bytes_per_s: float = 1e9
    restart_s: float = 0.0
    required_attainment: float | None = None
    plot: Path | None = None
    out: Path | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """Traces are aligned to the deployment; old: of --diff or --current; remarks, warnings: sentences for
    the user."""

    deployment: Deployment
    train: Trace
    test: Trace | None
    old: OldPlan | None
    remarks: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def prepare(asked: Asked) -> Prepared:
    """Raises InvalidInput for whatever is wrong."""
    _check_words(asked)
    deployment = load_deployment(asked.deployment, overrides=asked.overrides)
    if asked.seed is not None:
        deployment = replace(deployment, seed=asked.seed)
    if asked.objective is not None:
        deployment = replace(deployment, objective=asked.objective)
    _check_models(asked.explain, deployment)
    _check_algorithm(asked.algorithm)
    path = asked.diff or asked.current
    old = None if path is None else load_old(path, deployment)
    train, remarks = _traffic(asked, deployment)
    test = None if asked.test_trace is None else _loaded(asked.test_trace, deployment)
    for trace in (train, test):
        _check_trim(asked.trim_s, trace)
    remarks += old.remarks if old else ()
    return Prepared(deployment, train, test, old, remarks, deployment.warnings)


def _check_words(asked: Asked) -> None:
    if asked.diff is not None and asked.current is not None:
        hint = "--current shows what moves too: leave --diff out"
        raise InvalidInput("one plan to come from is enough", where="--diff and --current", hint=hint)
    if asked.horizon_s is not None and asked.current is None:
        hint = "name the plan that is served now: --current plan.yaml"
        raise InvalidInput("a horizon is for weighing a move", where="--horizon", hint=hint)
    if asked.bound_budget_s is not None and not asked.wants_bound:
        raise InvalidInput("there is no bound to spend it on", where="--bound-budget", hint="add --bound")
    if asked.plot is not None:
        check_suffix(asked.plot)
        check_writable(asked.plot, "--plot")
    if asked.out is not None:
        check_writable(asked.out, "--out")


def check_writable(path: Path, where: str) -> None:
    """Raises InvalidInput where a file cannot be put, before anything is computed for it."""
    try:
        why_not = _why_not_writable(path)
    except OSError as error:
        why_not = f"{path} cannot be written: {str(error.strerror).lower()}"
    if why_not:
        raise InvalidInput(why_not, where=where, hint="choose another path of a file")


def _why_not_writable(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a folder"
    there = path.parent
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return f"{path} cannot be written: {there} is no folder"
    return "" if os.access(there, os.W_OK) else f"{path} cannot be written: {there} is read-only"


def _check_models(names: Sequence[str], deployment: Deployment) -> None:
    for name in names:
        if name not in deployment.model_names:
            near = get_close_matches(name, deployment.model_names, n=1)
            shown = ", ".join(deployment.model_names[:8])
            hint = f"did you mean {near[0]}?" if near else f"it has {shown}"
            raise InvalidInput(f"{deployment.name} has no model {name!r}", where="--explain", hint=hint)


def _check_algorithm(name: str | None) -> None:
    from placement.search import algorithm_names

    known = algorithm_names()
    if name is not None and name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose among {', '.join(known)}"
        raise InvalidInput(f"there is no placement algorithm {name!r}", where="--algorithm", hint=hint)


def _check_trim(trim_s: float, trace: Trace | None) -> None:
    if trace is not None and len(trace) and not len(range(len(trace))[kept_rows(trace, trim_s)]):
        message = f"{trim_s:g} s at both ends leave none of {len(trace)} requests in {trace.duration_s:.1f} s"
        raise InvalidInput(message, where="--trim-s", hint="trim less than half of the trace")


def _traffic(asked: Asked, deployment: Deployment) -> tuple[Trace, tuple[str, ...]]:
    from simulator.traffic.workload import expected_trace

    if asked.trace is not None:
        return _loaded(asked.trace, deployment), ()
    drawn = expected_trace(deployment)
    seed = deployment.seed
    text = f"no --trace: planning for {len(drawn)} requests drawn from `workload` with seed {seed}"
    return drawn, (text,)


def _loaded(path: Path, deployment: Deployment) -> Trace:
    return load_traffic(path, deployment)
