"""The search of `statmux plan`: for a placement, or for what an objective names: a cluster, or traffic."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from statmux.planning import remedies
from statmux.planning.asked import Asked, Prepared
from statmux.render import Console, percent, table
from vocabulary.errors import Infeasible

if TYPE_CHECKING:
    from placement.minimise import Minimised
    from placement.search import Found
    from vocabulary.deployment import Deployment
    from vocabulary.plan import Plan
    from vocabulary.trace import Trace

_SOUGHT = {
    "min_devices": "{value:.0f} {devices} the fewest",
    "min_cost": "{value:.4g} an hour is the lowest cost",
    "max_rate_scale": "{value:.4g} times the rate is the fastest traffic",
}


@dataclass(frozen=True, slots=True)
class Searched:
    """What was found, and for what: the deployment less devices that were done without, the traffic, faster
    where that was sought. rate_scale: of the traffic."""

    found: Found
    deployment: Deployment
    trace: Trace
    trim_s: float
    rate_scale: float = 1.0
    minimised: Minimised | None = None

    @property
    def is_complete(self) -> bool:
        return self.found.is_complete and (self.minimised is None or self.minimised.is_complete)

    def plan(self) -> Plan:
        """With predictions for the traffic it is for."""
        from placement.search import planned

        if self.minimised is not None:
            return replace(self.minimised, found=self.found).plan()
        return planned(self.found, self.deployment, self.trace, trim_s=self.trim_s)


def search_for(asked: Asked, prepared: Prepared, console: Console) -> Searched:
    """Raises Infeasible with what would be enough; for programs that is the document, too."""
    from placement.minimise import SOUGHT

    is_sought = prepared.deployment.objective in SOUGHT
    try:
        with console.progress("searching") as progress:
            show = _Shown(progress).show
            if is_sought:
                return _minimised(asked, prepared, show)
            return _found(asked, prepared, show)
    except Infeasible as error:
        verdict = _verdict(error, asked, prepared, console, is_sought=is_sought)
        if not console.is_table:
            console.result({"deployment": prepared.deployment.name, **verdict.document}, lambda: "")
        raise verdict.error from error


def minimised_document(searched: Searched) -> dict[str, Any] | None:
    """What was sought, what it came to, and every try on the way."""
    found = searched.minimised
    if found is None:
        return None
    return {
        "objective": found.objective,
        "value": found.value,
        "required": found.requirement.sentence,
        "is_monotone": found.is_monotone,
        "is_complete": found.is_complete,
        "is_at_limit": found.is_at_limit,
        "tried": [asdict(one) for one in found.tried],
    }


def minimised_text(document: dict[str, Any]) -> str:
    """The answer and the evidence."""
    value = document["value"]
    devices = "device is" if value == 1 else "devices are"
    answer = _SOUGHT[document["objective"]].format(value=value, devices=devices)
    if document["is_at_limit"]:
        answer = f"no traffic that was tried is too fast, the fastest {value:.4g} times the rate,"
    rows = [
        (
            one["num_devices"],
            f"{one['rate_scale']:.4g}",
            "no plan" if one["infeasible"] else percent(one["slo_attainment"]),
            "yes" if one["holds"] else "no",
            None if one["used"] is None else f"{one['used']:.4g}",
            f"{one['seconds']:.2f}",
        )
        for one in document["tried"]
    ]
    doubt = "" if document["is_monotone"] else "; a larger size failed, so look at its neighbours"
    early = "" if document["is_complete"] else "; it ended early, a better one may be left"
    headings = ("devices", "rate scale", "SLO attainment", "holds", "used", "seconds")
    return f"{answer} with {document['required']}{doubt}{early}\n{table(headings, rows, left=0)}"


def _found(asked: Asked, prepared: Prepared, show: Any) -> Searched:
    from placement.search import search

    found = search(
        prepared.deployment,
        prepared.train,
        algorithm=asked.algorithm,
        trim_s=asked.trim_s,
        progress=show,
        time_budget_s=asked.time_budget_s,
    )
    return Searched(found, prepared.deployment, prepared.train, asked.trim_s)


def _minimised(asked: Asked, prepared: Prepared, show: Any) -> Searched:
    from placement.minimise import minimise

    found = minimise(
        prepared.deployment,
        prepared.train,
        algorithm=asked.algorithm,
        trim_s=asked.trim_s,
        attainment=asked.required_attainment,
        time_budget_s=asked.time_budget_s,
        progress=show,
    )
    scale = found.value if found.objective == "max_rate_scale" else 1.0
    return Searched(found.found, found.deployment, found.trace, found.trim_s, scale, found)


def _verdict(
    error: Infeasible, asked: Asked, prepared: Prepared, console: Console, *, is_sought: bool
) -> remedies.Verdict:
    from placement.capacity.results import requirement_of

    found = remedies.without_plan(error, prepared.deployment, console)
    if found.changes or not is_sought:
        return found
    requirement = requirement_of(prepared.deployment, asked.required_attainment)
    search = remedies.Search(prepared.train, asked.algorithm, asked.trim_s)
    return remedies.with_changes(error, requirement, search, prepared.deployment, console)


class _Shown:
    """Reports of a search as the line that progress shows."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._start_s = time.monotonic()

    def show(self, report: Any) -> None:
        best = "" if report.best_value is None else f", best {_value(report.best_value)}"
        elapsed_s = time.monotonic() - self._start_s
        rate = f", {report.num_evaluated / elapsed_s:,.0f} evaluations/s" if elapsed_s > 0.5 else ""
        self._progress.step(report.num_evaluated, note=f"{report.phase}{best}{rate}")


def _value(value: float) -> str:
    """As a share; it is negative while models are below what they ask for."""
    return f"{value:.2%}" if value >= 0 else f"{-value:.2%} below what models ask for"
