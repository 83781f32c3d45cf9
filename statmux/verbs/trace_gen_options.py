"""The options of `statmux trace gen`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from statmux.durations import seconds


class ProcessName(StrEnum):
    """How requests arrive."""

    GAMMA = "gamma"
    POISSON = "poisson"
    MMPP = "mmpp"
    ONOFF = "onoff"
    DIURNAL = "diurnal"
    CHAT = "chat"


def _option(flag: str, help_text: str, **settings: Any) -> Any:
    return typer.Option(flag, help=help_text, show_default=False, **settings)


def _time(flag: str, help_text: str) -> Any:
    return _option(flag, help_text, parser=seconds, metavar="TIME")


DeploymentFile = Annotated[
    Path | None,
    typer.Argument(
        help="A deployment whose models have `workload`; without it, --models and --rate.",
        show_default=False,
    ),
]
Models = Annotated[str | None, _option("--models", "Names, a,b,c, or how many: 20 gives m0 to m19.")]
Rate = Annotated[
    str | None, _option("--rate", "Requests a second: of all models together, or one for each: 9,3,1.")
]
Exponent = Annotated[
    float | None,
    _option("--exponent", "Of the power law by which --rate is shared; 0.5, and 0 shares evenly.", min=0),
]
Tenants = Annotated[
    str | None,
    _option("--tenants", "Whose requests are, drawn by weight: a:3,b:1; a number alone: 4 gives t0 to t3."),
]
Cv = Annotated[
    float | None, _option("--cv", "Of the gaps between arrivals: 1 is Poisson, more is bursty.", min=0)
]
States = Annotated[
    str | None,
    _option("--states", "mmpp: relative rate and mean stay of each state, 1:60s,10:5s.", metavar="R:T,R:T"),
]
Clients = Annotated[int | None, _option("--clients", "onoff, chat: clients of each model.", min=1)]
On = Annotated[float | None, _time("--on", "onoff, chat: mean time that a client sends.")]
Off = Annotated[float | None, _time("--off", "onoff, chat: mean time that it is silent.")]
Amplitude = Annotated[
    float | None, _option("--amplitude", "diurnal: of a wave, 0 to 1; 0.8 without it.", min=0, max=1)
]
Peak = Annotated[
    float | None,
    _option("--peak", "diurnal: when in the period the wave is highest, 0 to 1; 0.5.", min=0, max=1),
]
Hours = Annotated[
    str | None,
    _option(
        "--hours", "diurnal: instead of a wave, weights of equal parts of the period.", metavar="W,W,..."
    ),
]
Period = Annotated[float | None, _time("--period", "diurnal: how long until it begins anew; 24h.")]
Turns = Annotated[float | None, _option("--turns", "chat: mean turns of a conversation; 2.", min=1)]
Think = Annotated[float | None, _time("--think", "chat: mean time between turns; 30s.")]
SystemPrompts = Annotated[
    int | None, _option("--system-prompts", "chat: how many conversations choose from; 8.", min=1)
]
SystemShare = Annotated[
    float | None,
    _option("--system-share", "chat: share of conversations with a system prompt; 0.5.", min=0, max=1),
]
