"""A drawn figure as a file or as part of a page. Equal figures give equal bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np

from statmux.reporting.drawing import PAPER, VARIABLES, drawn, looks
from statmux.reporting.figures import Figure

_PNG_DPI = 200


def standalone_svg(figure: Figure) -> str:
    """On a white ground, with the title above."""
    return on_paper(_svg(figure, has_title=True))


def page_svg(figure: Figure) -> str:
    """Without prolog, fixed size, and element names that would clash with those of another figure."""
    svg = _svg(figure, has_title=False)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r'\1 class="chart"', svg, count=1)
    svg = re.sub(r' id="[a-z]+[0-9]*_[0-9]+"', "", svg)
    svg = re.sub(r' xmlns[:a-z]*="[^"]*"', "", svg).replace("xlink:href", "href")
    # A style sheet inside would hold for the whole page.
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = svg.replace("'DejaVu Sans'", "system-ui, sans-serif")
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, f"var({variable}, {color})")
    return re.sub(r"\n\s*", " ", svg)


def png(figure: Figure) -> bytes:
    """On white, for screens of twice the usual density."""
    out = io.BytesIO()
    with looks(figure.slug):
        drawn(figure, has_title=True).savefig(out, format="png", dpi=_PNG_DPI, facecolor="white")
    return out.getvalue()


def described(figure: Figure) -> str:
    """The figure in a sentence a curve, for those who do not see it."""
    parts = [f"{figure.y_label} against {figure.x_label}."]
    for one in figure.series:
        y = np.asarray(one.y, dtype=float)
        y = y[np.isfinite(y)]
        words = f"{y.min():.4g} to {y.max():.4g}" if len(y) else "no values"
        parts.append(f"{one.label}: {words}." if one.label else f"{words[0].upper()}{words[1:]}.")
    parts += [f"{mark.label} at {mark.value:.4g}." for mark in figure.marks]
    return " ".join(parts)


def _svg(figure: Figure, *, has_title: bool) -> str:
    return named_svg(figure.title, described(figure), lambda: drawn(figure, has_title=has_title))


def on_paper(svg: str) -> str:
    """The same, of `named_svg`, on a white ground."""
    ground = f'<rect width="100%" height="100%" fill="{PAPER}"/>'
    return svg.replace("</desc>", f"</desc>{ground}", 1)


def named_svg(title: str, words: str, draw: Callable[[], Any]) -> str:
    """What `draw` makes, a matplotlib figure, as text with title and description; equal for equal ones."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    title, words = escape(title), escape(words)
    out = io.BytesIO()
    with looks(f"{title} {words}"):
        # Not savefig, which draws all twice.
        quiet = {"Date": None, "Creator": None, "Format": None, "Type": None}
        FigureCanvasSVG(draw()).print_svg(out, metadata=quiet)
    svg = re.sub(
        r"\s*<metadata>.*?</metadata>|<!DOCTYPE.*?>\s*|<!--.*?-->",
        "",
        out.getvalue().decode(),
        flags=re.DOTALL,
    )
    # Two digits of a point are finer than any screen; text is not inside quotes.
    svg = re.sub(r'="[^"<>]*\.[^"<>]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), svg)
    named = f' role="img" aria-label="{title}"><title>{title}</title><desc>{words}</desc>'
    end = svg.index(">", svg.index("<svg"))
    return f"{svg[:end]}{named}{svg[end + 1 :]}"
