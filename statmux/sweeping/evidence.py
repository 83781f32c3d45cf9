"""The smallest or cheapest cluster as the document has it: the answer in a sentence, and every try."""

from __future__ import annotations

from typing import Any

from placement.capacity.bisection import Size
from placement.capacity.evaluate import Study
from statmux.sweeping.answers import Questions, Smallest, Tried
from statmux.sweeping.plain import is_estimated, plain_groups, plain_size, plain_try, shown_share
from vocabulary.deployment import Deployment


def plain_smallest(name: str, found: Smallest, questions: Questions, study: Study) -> dict[str, Any]:
    """Where nothing holds: what came nearest, `is_met` false and a remedy."""
    assert questions.objective is not None
    chosen = max(found.tried, key=lambda one: (one.result.slo_attainment, -one.where.price))
    if found.best is not None:
        chosen = next(one for one in found.tried if one.where == found.best)
    cluster = study.deployment.cluster
    groups = plain_groups(chosen.result)
    return {
        "curve": name,
        "objective": questions.objective,
        "required_attainment": questions.requirement.attainment,
        "is_met": found.best is not None,
        **plain_size(chosen.where, cluster),
        "slo_attainment": chosen.result.slo_attainment,
        "is_monotone": found.is_monotone,
        "sentence": _sentence(found, chosen, questions, study.deployment),
        "remedy": None if found.best is not None else _remedy(chosen),
        "plan": None if found.best is None else {"groups": groups},
        "probes": [
            {
                "order": order,
                **plain_size(one.where, cluster),
                **plain_try(one),
                "is_confirmation": one.is_confirmation,
            }
            for order, one in enumerate(found.tried, start=1)
        ],
    }


def _sentence(found: Smallest, chosen: Tried[Size], questions: Questions, deployment: Deployment) -> str:
    size = plain_size(chosen.where, deployment.cluster)
    hosts = ", ".join(f"{count:g} x {name}" for name, count in size["hosts"].items() if count)
    cost = "" if size["cost_per_hour"] is None else f", {size['cost_per_hour']:g} an hour"
    what = f"{size['num_devices']} devices ({hosts}{cost})"
    share = shown_share(
        chosen.result.slo_attainment,
        asked=questions.requirement.attainment,
        is_estimated=is_estimated(deployment),
    )
    if found.best is None:
        attained = f"the best, {what}, attains {share}"
        return f"no cluster in the range holds {questions.requirement.sentence}; {attained}"
    word = "cheapest" if questions.objective == "cost" else "fewest"
    warning = "" if found.is_monotone else "; a larger one failed, so leave some room"
    return f"{what} are the {word} that hold, with {share}{warning}"


def _remedy(nearest: Tried[Size]) -> str:
    why = nearest.result.infeasible
    if why is None and nearest.result.bottleneck is not None:
        why = nearest.result.bottleneck.sentence
    binding = f" ({why})" if why else ""
    return f"look at more devices with --within LO..HI, loosen SLOs, or ask for less{binding}"
