"""What `statmux trace gen` draws: models and rates from a deployment or flags, and the process of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.traffic.chat import Chat, converse
from simulator.traffic.generators import generator
from simulator.traffic.processes import DAY_S, Diurnal, Mmpp, OnOff, Process, generate_processes, sine_weights
from simulator.traffic.workload import generate, power_law
from statmux.verbs.trace_gen_options import ProcessName
from vocabulary.deployment import Workload
from vocabulary.errors import InvalidInput
from vocabulary.trace import Tenants
from vocabulary.units import parse_seconds

if TYPE_CHECKING:
    from vocabulary.trace import Trace

# Of the generator that draws tenants: models have smaller keys.
_TENANTS_KEY = 2**31
STATES_HINT = "write relative rates and mean stays: --states 1:60s,10:5s"


@dataclass(frozen=True, slots=True)
class Shaping:
    """What flags say of the process; None where they say nothing."""

    cv: float | None = None
    states: str | None = None
    clients: int | None = None
    on_s: float | None = None
    off_s: float | None = None
    amplitude: float | None = None
    peak: float | None = None
    hours: str | None = None
    period_s: float | None = None
    turns: float | None = None
    think_s: float | None = None
    system_prompts: int | None = None
    system_share: float | None = None


# The flags that each process heeds, by the field of Shaping.
HEEDED: Mapping[ProcessName, tuple[str, ...]] = {
    ProcessName.GAMMA: ("cv",),
    ProcessName.POISSON: (),
    ProcessName.MMPP: ("states",),
    ProcessName.ONOFF: ("cv", "clients", "on_s", "off_s"),
    ProcessName.DIURNAL: ("cv", "amplitude", "peak", "hours", "period_s"),
    ProcessName.CHAT: (
        "cv", "clients", "on_s", "off_s", "turns", "think_s", "system_prompts", "system_share",
    ),
}  # fmt: skip


def rates_of(models: str, rate: str, exponent: float) -> dict[str, float]:
    """`a,b,c` or a number of models; `40` in all, spread by a power law, or `10,5,1` one a model."""
    names = _names(models)
    rates = [_number(part, where="--rate") for part in rate.split(",")]
    if len(rates) == 1:
        rates = list(power_law(len(names), total_rps=rates[0], exponent=exponent))
    if len(rates) != len(names):
        hint = "give one rate for all together, or one for each model"
        raise InvalidInput(f"{len(rates)} rates for {len(names)} models", where="--rate", hint=hint)
    return dict(zip(names, rates, strict=True))


def drawn(
    workloads: Mapping[str, Workload], name: ProcessName, shaping: Shaping, *, duration_s: float, seed: int
) -> Trace:
    """Requests of each model at its rate. Raises InvalidInput for a flag that the process does not heed."""
    _check_heeded(name, shaping)
    if shaping.cv is not None:
        workloads = {model: replace(one, cv=shaping.cv) for model, one in workloads.items()}
    match name:
        case ProcessName.GAMMA:
            return generate(workloads, duration_s=duration_s, seed=seed)
        case ProcessName.CHAT:
            rates = {model: one.rate_rps for model, one in workloads.items()}
            return converse(rates, chat=_chat(shaping), duration_s=duration_s, seed=seed).trace
        case _:
            processes = {model: _process(name, one, shaping) for model, one in workloads.items()}
            return generate_processes(processes, duration_s=duration_s, seed=seed)


def in_one_go(trace: Trace, models: Collection[str]) -> Trace:
    """The trace with no output tokens for requests of some models; it must have token counts."""
    assert trace.tokens is not None
    is_one_shot = np.isin(trace.model_index, [i for i, name in enumerate(trace.models) if name in models])
    outputs = np.where(is_one_shot, 0, trace.tokens.output_tokens).astype(np.int32)
    return replace(trace, tokens=replace(trace.tokens, output_tokens=outputs))


def of_tenants(trace: Trace, text: str, *, seed: int) -> Trace:
    """Every request somebody's, drawn by weight: `a:3,b:1`, or `4` for t0 to t3 alike; arrivals stay."""
    shares = _shares(text)
    weights = np.array([*shares.values()])
    rng = generator(seed, _TENANTS_KEY)
    index = rng.choice(len(shares), size=len(trace), p=weights / weights.sum())
    return replace(trace, tenants=Tenants(index.astype(np.int32), tuple(shares)))


def _shares(text: str) -> dict[str, float]:
    if text.isdecimal() and int(text) > 0:
        return {f"t{index}": 1.0 for index in range(int(text))}
    hint = "write names and weights: --tenants a:3,b:1, or how many: --tenants 4"
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition(":")
        shares[name] = _number(weight or "1", where="--tenants", hint=hint)
    if "" in shares or len(shares) < len(text.split(",")) or sum(shares.values()) <= 0:
        raise InvalidInput(f"{text!r} does not name tenants", where="--tenants", hint=hint)
    return shares


def _process(name: ProcessName, workload: Workload, shaping: Shaping) -> Process:
    rate_rps = workload.rate_rps
    match name:
        case ProcessName.MMPP:
            return _mmpp(rate_rps, shaping.states or "1:60s,10:5s")
        case ProcessName.ONOFF:
            given = _given(num_clients=shaping.clients, on_s=shaping.on_s, off_s=shaping.off_s)
            return OnOff(rate_rps, cv=workload.cv, **given)
        case ProcessName.DIURNAL:
            return Diurnal(rate_rps, _weights(shaping), shaping.period_s or DAY_S, workload.cv)
        case _:
            return Workload(rate_rps, 1.0)


def _chat(shaping: Shaping) -> Chat:
    return Chat(
        **_given(
            cv=shaping.cv, num_clients=shaping.clients, on_s=shaping.on_s, off_s=shaping.off_s,
            mean_turns=shaping.turns, think_s=shaping.think_s, num_system_prompts=shaping.system_prompts,
            system_share=shaping.system_share,
        )
    )  # fmt: skip


def _mmpp(rate_rps: float, states: str) -> Mmpp:
    """Relative rates, scaled so that `rate_rps` is the rate in the long run."""
    relative, stays_s = [], []
    for part in states.split(","):
        rate, _, stay = part.strip().partition(":")
        relative.append(_number(rate, where="--states", hint=STATES_HINT))
        try:
            stays_s.append(parse_seconds(stay))
        except ValueError as error:
            raise InvalidInput(str(error), where="--states", hint=STATES_HINT) from None
    if len(relative) < 2 or min(stays_s) <= 0 or max(relative) <= 0:
        message = f"{states!r} is not two states or more that last"
        raise InvalidInput(message, where="--states", hint=STATES_HINT)
    unscaled = Mmpp(tuple(relative), tuple(stays_s))
    scale = rate_rps / unscaled.rate_rps
    return replace(unscaled, rates_rps=tuple(rate * scale for rate in relative))


def _weights(shaping: Shaping) -> tuple[float, ...]:
    if shaping.hours is None:
        amplitude = 0.8 if shaping.amplitude is None else shaping.amplitude
        return sine_weights(amplitude, peak=0.5 if shaping.peak is None else shaping.peak)
    if shaping.amplitude is not None or shaping.peak is not None:
        hint = "keep --hours, or the wave's --amplitude and --peak"
        raise InvalidInput("--hours and a wave exclude each other", hint=hint)
    weights = tuple(_number(part, where="--hours") for part in shaping.hours.split(","))
    if sum(weights) <= 0:
        raise InvalidInput("all weights are 0", where="--hours", hint="as in --hours 1,1,2,4,3,2")
    return weights


def _check_heeded(name: ProcessName, shaping: Shaping) -> None:
    for field in fields(shaping):
        if getattr(shaping, field.name) is not None and field.name not in HEEDED[name]:
            flag = "--" + field.name.removesuffix("_s").replace("_", "-")
            heeding = [str(one) for one, flags in HEEDED.items() if field.name in flags]
            hint = f"leave it out, or take --process {' or '.join(heeding)}"
            raise InvalidInput(f"--process {name} has no {flag}", where=flag, hint=hint)


def _names(models: str) -> tuple[str, ...]:
    if models.isdecimal() and int(models) > 0:
        return tuple(f"m{index}" for index in range(int(models)))
    names = tuple(part.strip() for part in models.split(",") if part.strip())
    if not names or len(set(names)) < len(names):
        hint = "write names, each once, or how many: --models a,b,c or --models 20"
        raise InvalidInput(f"{models!r} does not name models", where="--models", hint=hint)
    return names


def _number(text: str, *, where: str, hint: str | None = None) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise InvalidInput(f"{text!r} is not a number of 0 or more", where=where, hint=hint or "as in 2.5")
    return number


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
