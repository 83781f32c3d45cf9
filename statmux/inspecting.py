"""What `statmux trace inspect` says of a trace: one document, and figures of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.traffic.fit_traffic import lengths
from statmux.reporting.figures import Figure, Mark, Series, write_figure
from vocabulary.burstiness import Windows, tick_s, windows_by_model, windows_of
from vocabulary.popularity import power_law_exponent, share_of_top
from vocabulary.trace import Tokens, Trace
from vocabulary.traffic import traffic, traffic_by_model

LONGEST_WINDOW_S = 60.0
# So many windows at least, unless a window is asked for: fewer show no shape over time.
MIN_WINDOWS = 20
TOPS = (1, 3, 10)
# Lines of rates stay apart, those of CVs cross each other.
MODELS_DRAWN, CVS_DRAWN = 5, 1
LENGTHS_DRAWN = 160


def default_window_s(trace: Trace) -> float:
    """A minute, or a shorter time that the trace holds often enough."""
    return min(LONGEST_WINDOW_S, max(trace.duration_s / MIN_WINDOWS, 1e-9))


def described(trace: Trace, *, window_s: float) -> dict[str, Any]:
    """Rates and burstiness, in all and per model; popularity; token counts and prefixes where known."""
    by_window = windows_by_model(trace, window_s=window_s)
    return {
        **asdict(traffic(trace)),
        **_burstiness(windows_of(trace, window_s=window_s)),
        "window_s": window_s,
        "start_s": float(trace.arrival_s[0]),
        "duration_s": trace.duration_s,
        "tick_s": tick_s(trace.arrival_s),
        "num_models": len(trace.models),
        "popularity": _popularity(trace.counts()),
        "tokens": None if trace.tokens is None else _tokens(trace.tokens),
        "models": {
            name: {**asdict(one), **_burstiness(by_window[name])}
            for name, one in traffic_by_model(trace).items()
        },
    }


def figures_of(trace: Trace, *, window_s: float) -> Mapping[str, Figure]:
    """Arrivals and CV over time, and lengths when there are any, by the word that their files end in."""
    counted = windows_of(trace, window_s=window_s)
    if counted is None:
        return {}
    by_model = windows_by_model(trace, window_s=window_s)
    counts = dict(zip(trace.models, trace.counts().tolist(), strict=True))
    top = sorted(counts, key=lambda name: -counts[name])[:MODELS_DRAWN]
    drawn = {name: by_model[name] for name in top if len(top) > 1}
    figures = {
        "arrivals": _arrivals(counted, drawn, len(trace) / trace.duration_s),
        "cv": _cvs(counted, dict(list(drawn.items())[:CVS_DRAWN])),
    }
    if trace.tokens is not None and lengths(trace.tokens.input_tokens):
        figures["lengths"] = _lengths(trace.tokens)
    return figures


def write_figures_beside(path: Path, figures: Mapping[str, Figure]) -> list[Path]:
    """`name-arrivals.svg`, ... for `name.svg`. Raises InvalidInput for a suffix of no picture."""
    written = [path.with_name(f"{path.stem}-{word}{path.suffix}") for word in figures]
    for one, figure in zip(written, figures.values(), strict=True):
        write_figure(one, figure)
    return written


def _burstiness(counted: Windows | None) -> dict[str, float | None]:
    if counted is None:
        return {"window_cv": None, "dispersion": None, "peak_to_mean": None}
    return {
        "window_cv": counted.median_cv,
        "dispersion": counted.dispersion,
        "peak_to_mean": counted.peak_to_mean,
    }


def _popularity(counts: NDArray[np.int64]) -> dict[str, Any]:
    tops = {str(number): share_of_top(counts, number) for number in TOPS if number < len(counts)}
    return {"exponent": power_law_exponent(counts), "share_of_top": tops}


def _tokens(tokens: Tokens) -> dict[str, Any]:
    columns = {"input_tokens": tokens.input_tokens, "output_tokens": tokens.output_tokens}
    found = {name: lengths(column) for name, column in columns.items()}
    known: dict[str, Any] = {name: None if one is None else asdict(one) for name, one in found.items()}
    hashes = tokens.prefix_hashes
    if hashes is not None and len(hashes):
        known["block_tokens"] = tokens.block_tokens
        known["repeated_blocks"] = 1 - len(np.unique(hashes)) / len(hashes)
    return known


def _arrivals(counted: Windows, drawn: Mapping[str, Windows | None], rate_rps: float) -> Figure:
    series = [_steps("all", counted, counted.rates_rps)]
    series += [_steps(name, one, one.rates_rps) for name, one in drawn.items() if one is not None]
    mark = Mark(rate_rps, f"mean {rate_rps:.3g}/s", axis="y")
    title = f"Arrivals in windows of {counted.window_s:g} s"
    y_range = (0.0, 1.08 * float(counted.rates_rps.max()))
    return Figure(title, "time (s)", "requests/s", tuple(series), (mark,), y_range=y_range)


def _cvs(counted: Windows, drawn: Mapping[str, Windows | None]) -> Figure:
    series = [Series("all", counted.start_s, counted.cv)]
    series += [Series(name, one.start_s, one.cv) for name, one in drawn.items() if one is not None]
    title = f"Burstiness in windows of {counted.window_s:g} s"
    highest = max((float(np.nanmax(one.y)) for one in series if not np.all(np.isnan(one.y))), default=1.0)
    marks = (Mark(1.0, "Poisson", axis="y"),)
    return Figure(
        title, "time (s)", "CV of gaps", tuple(series), marks, y_range=(0.0, 1.08 * max(1.0, highest))
    )


def _lengths(tokens: Tokens) -> Figure:
    series = [_cdf("prompt", tokens.input_tokens)]
    if lengths(tokens.output_tokens):
        series.append(_cdf("response", tokens.output_tokens))
    return Figure("Lengths", "tokens", "share of requests", tuple(series), x_log=True, y_range=(0.0, 1.0))


def _steps(label: str, counted: Windows, y: NDArray[np.float64]) -> Series:
    """A step lasts for its window, the last one too."""
    x = np.append(counted.start_s, counted.start_s[-1] + counted.window_s)
    return Series(label, x, np.append(y, y[-1]), style="steps")


def _cdf(label: str, tokens: NDArray[np.int32]) -> Series:
    """At whole numbers that are evenly spread on a logarithmic axis."""
    in_order = np.sort(np.maximum(tokens, 1))
    at = np.unique(np.rint(np.geomspace(in_order[0], in_order[-1], LENGTHS_DRAWN)).astype(np.int64))
    return Series(label, at, np.searchsorted(in_order, at, side="right") / len(in_order))
