"""`--sweep` and `--minimize`: what `statmux capacity` answers, asked with the words of `statmux plan`."""

from __future__ import annotations

from statmux.planning.asked import Asked
from statmux.render import Console
from vocabulary.errors import InvalidInput


def run_capacity(
    asked: Asked, console: Console, *, sweeps: tuple[str, ...], minimize: str | None, within: str | None
) -> int:
    """The exit code of the study. Traffic is judged on --test-trace where there is one."""
    from statmux.sweeping.asked import Asked as Study
    from statmux.sweeping.study import Ways, run_study

    _check_words(asked)
    overrides = list(asked.overrides)
    if asked.objective is not None:
        overrides.append(f"placement.objective={asked.objective}")
    if asked.seed is not None:
        overrides.append(f"placement.search.seed={asked.seed}")
    study = Study(
        deployment=asked.deployment,
        trace=asked.test_trace or asked.trace,
        train_trace=asked.trace if asked.test_trace is not None else None,
        sweeps=sweeps,
        algorithms=() if asked.algorithm is None else (asked.algorithm,),
        is_replanned=True,
        required_attainment=asked.required_attainment,
        objective=minimize,
        within=within,
        trim_s=asked.trim_s,
        overrides=tuple(overrides),
    )
    return run_study(study, Ways(out=asked.out), console)


def _check_words(asked: Asked) -> None:
    """A study has many plans: what is about one plan is refused."""
    about_one = {
        "--time-budget": asked.time_budget_s,
        "--bound": asked.wants_bound or None,
        "--explain": asked.explain or None,
        "--diff": asked.diff,
        "--current": asked.current,
        "--plot": asked.plot,
    }
    for flag, value in about_one.items():
        if value is not None:
            hint = "leave it out, or leave --sweep and --minimize out"
            raise InvalidInput("this is about one plan, a study has many", where=flag, hint=hint)
    if asked.out is not None and asked.out.is_file():
        hint = "name a folder: a study writes several files"
        raise InvalidInput(f"{asked.out} is a file", where="--out", hint=hint)
