"""What `statmux simulate` found, as a document for programs and a table for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from simulator.confidence import confidence
from statmux.render import marked, milliseconds, percent, table
from statmux.summary import summary, tenant_figures
from vocabulary.deployment import Deployment
from vocabulary.estimates import estimated_models
from vocabulary.outcomes import Outcomes, kept_rows
from vocabulary.placement import Placement

_HEADINGS = ("model", "requests", "SLO attainment", "p50", "p99")
# Time to the first token, and mean time of each one after it.
_TOKEN_HEADINGS = ("TTFT met", "p50", "p99", "TPOT met", "p50", "p99")
_TENANT_HEADINGS = ("tenant", "weight", "requests", "service", "asked", "TTFT p50", "p99")
_TENANTS_SHOWN = 20


def simulated_document(
    outcomes: Outcomes,
    deployment: Deployment,
    placement: Placement,
    *,
    trim_s: float = 0.0,
    num_resamples: int = 0,
) -> dict[str, Any]:
    """The summary; `estimated` where a number rests on an estimated profile; `confidence` when resampled."""
    document = summary(outcomes, trim_s=trim_s) | tenant_figures(outcomes, deployment.policy.fairness)
    estimated = estimated_models(deployment, placement)
    document["estimated"] = bool(estimated)
    for name, one in document["models"].items():
        one["estimated"] = name in estimated
    if num_resamples:
        every, by_model = confidence(
            outcomes,
            rows=kept_rows(outcomes.trace, trim_s),
            num_resamples=num_resamples,
            seed=deployment.seed,
        )
        document["num_resamples"] = num_resamples
        document["confidence"] = asdict(every)
        for one, found in zip(document["models"].values(), by_model, strict=True):
            one["confidence"] = asdict(found)
    return document


def simulated_table(document: dict[str, Any]) -> str:
    rows = [("all", document), *document["models"].items()]
    has_tokens = "ttft" in document
    cells = [
        (name, one["num_requests"], *_figures(one), *(_token_figures(one) if has_tokens else ()))
        for name, one in rows
    ]
    reasons = [f"{count} {reason}" for reason, count in document["rejections"].items()]
    reasons += [f"{document['num_late']} late"] if document["num_late"] else []
    missed = f"missed: {', '.join(reasons) or 'none'}"
    goodput_rps = marked(f"{document['goodput_rps']:.3f}", is_estimated=document["estimated"])
    goodput = f"goodput: {goodput_rps} requests/s"
    return "\n".join([
        table((*_HEADINGS, *(_TOKEN_HEADINGS if has_tokens else ())), cells),
        f"{goodput}; {missed}",
        *(_generation_line(name, one) for name, one in document.get("generation", {}).items()),
        *_tenants(document),
        *_openings(document),
        *(["~: rests on an estimated profile"] if document["estimated"] else []),
    ])  # fmt: skip


def _tenants(document: dict[str, Any]) -> list[str]:
    """Those that asked for most, and how far apart they were."""
    tenants, difference = document.get("tenants"), document.get("service_difference")
    if not tenants or not difference:
        return []
    shown = [
        (name or "(none)", one["weight"], one["num_requests"], f"{one['service']:.0f}", f"{one['asked']:.0f}",
         *(marked(milliseconds(one[key]), is_estimated=document["estimated"])
           for key in ("ttft_p50_s", "ttft_p99_s")))
        for name, one in [*tenants.items()][:_TENANTS_SHOWN]
    ]  # fmt: skip
    more = len(tenants) - len(shown)
    return [
        table(_TENANT_HEADINGS, shown),
        *([f"... and {more} tenants more (all of them with -o json)"] if more else []),
        f"furthest behind in {difference['window_s']:g} s: {difference['mean_per_s']:.1f} weighted tokens/s "
        f"in the mean, {difference['max_per_s']:.1f} at most",
    ]


def _openings(document: dict[str, Any]) -> list[str]:
    """Groups that open late, because weights had to move."""
    late = {group: at_s for group, at_s in document.get("opens_s", {}).items() if at_s > 0}
    if not late:
        return ["no group has to load weights"] if "opens_s" in document else []
    found = ", ".join(f"{group} after {at_s:.2f} s" for group, at_s in late.items())
    return [f"opened late (estimated): {found}"]


def _generation_line(name: str, one: dict[str, Any]) -> str:
    return (
        f"{name}: {one['mean_sequences']:.1f} sequences a step (most {one['max_sequences']}), "
        f"{one['num_preempted']} preempted, {one['num_hit']} prompt tokens from the cache, "
        f"{one['waste']:.1%} of the pages' places empty"
    )


def _figures(one: dict[str, Any]) -> list[str | None]:
    found = one.get("confidence", {"slo_attainment": None, "p99_s": None})
    texts = (
        _with_interval(one["slo_attainment"], found["slo_attainment"], percent, scale=100, unit="%"),
        milliseconds(one["p50_s"]),
        _with_interval(one["p99_s"], found["p99_s"], milliseconds, scale=1000, unit=" ms"),
    )
    return [marked(text, is_estimated=one["estimated"]) for text in texts]


def _token_figures(one: dict[str, Any]) -> list[str | None]:
    texts = []
    for found in (one["ttft"], one["tpot"]):
        texts += [
            percent(found["slo_attainment"]),
            milliseconds(found["p50_s"]),
            milliseconds(found["p99_s"]),
        ]
    return [marked(text, is_estimated=one["estimated"]) for text in texts]


def _with_interval(
    value: float | None,
    found: dict[str, float] | None,
    shown: Callable[[float | None], str | None],
    *,
    scale: float,
    unit: str,
) -> str | None:
    """Alone as it is `shown`; with its interval as 99.1% (98.7-99.4)."""
    if value is None or found is None:
        return shown(value)
    return f"{value * scale:.1f}{unit} ({found['low'] * scale:.1f}-{found['high'] * scale:.1f})"
