"""What benchmarks/fairness.py asks for: traffic of several tenants, after the VTC paper's suites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

from vocabulary.trace import Tenants, Tokens, Trace

MODEL = "llama"
LENGTH = 256
ARENA = Path("traces") / "lmsys_arena_vtc" / "arena_27_models.parquet"


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    trace: Trace


def suites(data: Path | None) -> list[Suite]:
    """The synthetic ones, and the Arena's where it is."""
    found = [
        Suite("overload", _even({"a": _steady(1.5, 360.0), "b": _steady(3.0, 360.0)})),
        Suite("overload-multi", _even(_several((0.4,) * 3 + (0.6,) * 5, 360.0))),
        Suite("on_off", _even({"a": _on_off(_steady(2.0, 600.0)), "b": _steady(3.0, 600.0)})),
        Suite("increase", _even({"a": _steady(0.5, 600.0), "b": _increasing(0.2, 2.0, 600.0)})),
    ]
    if data is not None and (data / ARENA).exists():
        found.append(Suite("arena", _arena(data / ARENA)))
    return found


def _several(rates_rps: tuple[float, ...], duration_s: float) -> dict[str, NDArray[np.float64]]:
    """Evenly offset, so that no two come at once."""
    offsets = np.arange(len(rates_rps)) / len(rates_rps)
    return {
        f"t{number}": _steady(rate_rps, duration_s) + offset / rate_rps
        for number, (rate_rps, offset) in enumerate(zip(rates_rps, offsets, strict=True))
    }


def _steady(rate_rps: float, duration_s: float) -> NDArray[np.float64]:
    return np.arange(1, int(rate_rps * duration_s) + 1) / rate_rps


def _on_off(times_s: NDArray[np.float64], *, each_s: float = 60.0) -> NDArray[np.float64]:
    return times_s[(times_s // each_s).astype(int) % 2 == 0]


def _increasing(first_rps: float, last_rps: float, duration_s: float) -> NDArray[np.float64]:
    """At a rate that grows evenly: request n comes when its integral is n."""
    growth = (last_rps - first_rps) / duration_s
    numbers = np.arange(1, int(0.5 * (first_rps + last_rps) * duration_s) + 1)
    return (np.sqrt(first_rps**2 + 2 * growth * numbers) - first_rps) / growth


def _even(arrivals_s: Mapping[str, NDArray[np.float64]]) -> Trace:
    """All requests of 256 tokens, with answers as long."""
    times_s = np.concatenate([*arrivals_s.values()])
    sizes = [len(times) for times in arrivals_s.values()]
    index = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    length = np.full(len(times_s), LENGTH, dtype=np.int32)
    return _trace(times_s, Tokens(length, length), Tenants(index, tuple(arrivals_s)))


def _arena(path: Path) -> Trace:
    table = pyarrow.parquet.read_table(path)
    clients, index = np.unique(table["client"].to_numpy(), return_inverse=True)
    lengths = [table[name].to_numpy().astype(np.int32) for name in ("input_tokens", "output_tokens")]
    tenants = Tenants(index.astype(np.int32), tuple(f"client {number}" for number in clients))
    return _trace(table["t"].to_numpy(), Tokens(*lengths), tenants)


def _trace(times_s: NDArray[np.float64], tokens: Tokens, tenants: Tenants) -> Trace:
    order = np.argsort(times_s, kind="stable")
    return Trace(
        times_s[order],
        np.zeros(len(order), dtype=np.int32),
        (MODEL,),
        tokens.take(order),
        tenants.take(order),
    )
