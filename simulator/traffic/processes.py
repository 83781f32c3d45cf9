"""Arrival processes whose rate changes: Markov-modulated, on-off clients, the hours of a day.

Each is a renewal process of mean gap 1 run on a clock of its own that goes faster when the rate is high. A
rate is constant between two edges, so that arrivals follow from the draws by plain arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from simulator.traffic.generators import generator
from simulator.traffic.renewal import renewal_s, shape_of, whole_ns
from simulator.traffic.workload import merge
from vocabulary.deployment import Workload
from vocabulary.trace import Trace

DAY_S = 86_400.0
# Steps of a sine wave: the rate is off by 0.2 % of its amplitude at most.
STEPS_PER_PERIOD = 1440


@dataclass(frozen=True, slots=True)
class Mmpp:
    """A Poisson process whose rate is that of a state; a state lasts for an exponential time.

    rates_rps, stay_s: rate and mean time of each state; the next one is any other, equally likely.
    """

    rates_rps: tuple[float, ...]
    stay_s: tuple[float, ...]

    def __post_init__(self) -> None:
        assert len(self.rates_rps) == len(self.stay_s) >= 2, (self.rates_rps, self.stay_s)
        assert min(self.rates_rps) >= 0
        assert min(self.stay_s) > 0

    @property
    def rate_rps(self) -> float:
        """In the long run; every state is entered equally often."""
        pairs = zip(self.rates_rps, self.stay_s, strict=True)
        return sum(rate * stay for rate, stay in pairs) / sum(self.stay_s)


@dataclass(frozen=True, slots=True)
class OnOff:
    """Clients that send for a while, then are silent for a while; both times are exponential.

    rate_rps: of all clients together, in the long run; cv: of the gaps while a client sends.
    """

    rate_rps: float
    num_clients: int = 10
    on_s: float = 30.0
    off_s: float = 60.0
    cv: float = 1.0

    def __post_init__(self) -> None:
        assert self.rate_rps >= 0
        assert self.num_clients > 0
        assert self.on_s > 0
        assert self.off_s >= 0
        assert self.cv >= 0


@dataclass(frozen=True, slots=True)
class Diurnal:
    """The same rates every period, each for an equal part of it: rate_rps * weight / mean weight.

    cv: of the gaps on the clock that makes the rate even; 1 gives a Poisson process.
    """

    rate_rps: float
    weights: tuple[float, ...]
    period_s: float = DAY_S
    cv: float = 1.0

    def __post_init__(self) -> None:
        assert self.rate_rps >= 0
        assert min(self.weights) >= 0
        assert sum(self.weights) > 0
        assert self.period_s > 0
        assert self.cv >= 0


Process = Workload | Mmpp | OnOff | Diurnal


def sine_weights(amplitude: float, *, peak: float = 0.5) -> tuple[float, ...]:
    """Weights of a wave about 1, highest at `peak` of the period. amplitude: 0 (even) to 1 (down to none)."""
    assert 0 <= amplitude <= 1, amplitude
    middles = (np.arange(STEPS_PER_PERIOD) + 0.5) / STEPS_PER_PERIOD
    # Cosines differ between machines in their last bits.
    return tuple(np.round(1 + amplitude * np.cos(2 * np.pi * (middles - peak)), 9).clip(0).tolist())


def generate_processes(processes: Mapping[str, Process], *, duration_s: float, seed: int) -> Trace:
    """Requests in [0, duration_s), one independent process for each model, in the order of `processes`.

    Each model draws from a generator of its own: one more changes no other's arrivals.
    """
    arrivals = [
        process_arrivals_s(process, duration_s=duration_s, rng=generator(seed, index))
        for index, process in enumerate(processes.values())
    ]
    return merge(dict(zip(processes, arrivals, strict=True)))


def process_arrivals_s(
    process: Process, *, duration_s: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Ascending arrivals of one process in [0, duration_s), whole nanoseconds."""
    match process:
        case Workload():
            return renewal_s(
                rate_rps=process.rate_rps, shape=shape_of(process.cv), duration_s=duration_s, rng=rng,
                is_stationary=True,
            )  # fmt: skip
        case Mmpp():
            return _modulated_s(_mmpp_rates(process, duration_s, rng), cv=1.0, rng=rng)
        case Diurnal():
            return _modulated_s(_diurnal_rates(process, duration_s), cv=process.cv, rng=rng)
        case OnOff():
            on_rps = process.rate_rps / process.num_clients * (process.on_s + process.off_s) / process.on_s
            clients = [
                _modulated_s(_on_off_rates(process, on_rps, duration_s, rng), cv=process.cv, rng=rng)
                for _ in range(process.num_clients)
            ]
            return np.sort(np.concatenate(clients))
        case _:
            assert_never(process)


@dataclass(frozen=True, slots=True)
class _Rates:
    """edges_s [pieces + 1], ascending from 0; rates_rps [pieces]."""

    edges_s: NDArray[np.float64]
    rates_rps: NDArray[np.float64]


def _modulated_s(rates: _Rates, *, cv: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A stationary process of mean gap 1 on the clock that the rates make."""
    clock = np.concatenate([[0.0], np.cumsum(rates.rates_rps * np.diff(rates.edges_s))])
    drawn = renewal_s(
        rate_rps=1.0, shape=shape_of(cv), duration_s=float(clock[-1]), rng=rng, is_stationary=True
    )
    piece = np.searchsorted(clock, drawn, side="right") - 1
    arrival_s = rates.edges_s[piece] + (drawn - clock[piece]) / rates.rates_rps[piece]
    arrival_s = whole_ns(arrival_s)
    return arrival_s[arrival_s < rates.edges_s[-1]]


def _mmpp_rates(process: Mmpp, duration_s: float, rng: np.random.Generator) -> _Rates:
    num_states = len(process.rates_rps)
    stays = np.array(process.stay_s)
    # At a random instant a state is found by its share of the time.
    state = int(np.searchsorted(np.cumsum(stays), rng.random() * float(stays.sum()), side="right"))
    states: list[int] = []
    lasts_s: list[float] = []
    total_s = 0.0
    for _ in count():  # every stay adds to the time
        states.append(state)
        lasts_s.append(float(whole_ns(rng.exponential(float(stays[state])))))
        total_s += lasts_s[-1]
        if total_s >= duration_s:
            break
        state = (state + 1 + int(rng.integers(num_states - 1))) % num_states
    return _Rates(_edges_s(np.array(lasts_s), duration_s), np.asarray(process.rates_rps)[states])


def _on_off_rates(process: OnOff, on_rps: float, duration_s: float, rng: np.random.Generator) -> _Rates:
    """Of one client. It may begin silent."""
    is_on = bool(rng.random() < process.on_s / (process.on_s + process.off_s))
    pairs = int(duration_s / (process.on_s + process.off_s)) + 8
    blocks: list[NDArray[np.float64]] = []
    total_s = 0.0
    for _ in count():  # every block adds to the time
        block = whole_ns(rng.exponential([process.on_s, process.off_s], (pairs, 2)))
        # Exponential times have no memory: what is left of the state it is found in is drawn like a whole.
        blocks.append((block if is_on else block[:, ::-1]).ravel())
        total_s += float(blocks[-1].sum())
        if total_s >= duration_s:
            break
    edges_s = _edges_s(np.concatenate(blocks), duration_s)
    return _Rates(edges_s, np.where((np.arange(len(edges_s) - 1) % 2 == 0) == is_on, on_rps, 0.0))


def _diurnal_rates(process: Diurnal, duration_s: float) -> _Rates:
    weights = np.array(process.weights)
    step_s = process.period_s / len(weights)
    edges_s = np.append(np.arange(int(np.ceil(duration_s / step_s))) * step_s, duration_s)
    cycle = weights[np.arange(len(edges_s) - 1) % len(weights)]
    return _Rates(edges_s, process.rate_rps * cycle * len(weights) / sum(process.weights))


def _edges_s(lasts_s: NDArray[np.float64], duration_s: float) -> NDArray[np.float64]:
    """Edges of pieces that last so long, which is the duration or more, cut there."""
    edges_s = np.cumsum(lasts_s)
    inside = edges_s[edges_s < duration_s]
    return np.concatenate([[0.0], inside, [duration_s]])
