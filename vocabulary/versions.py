"""Versions of a model side by side: one model of the fleet each, and how calls are split over them.

A version's own name is `model@version`; users' names have no "@".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate

import numpy as np

from vocabulary.trace import Trace

MARK = "@"
# What decides which version a call without one goes to (`split_by`).
SPLIT_BY = ("request", "tenant")
_NUM_POINTS = 2.0**64


@dataclass(frozen=True, slots=True)
class Split:
    """Of a model that has versions: the share of each, of calls that name none.

    shares: (version, weight >= 0) in the order of the file; one at least is more than 0. aliases: other names
    of the model. by: calls of one request id, or of one tenant, always go to the same version while the
    weights stay; if those of two versions change, no more of them move than must.
    """

    model: str
    shares: tuple[tuple[str, float], ...]
    aliases: tuple[str, ...] = ()
    by: str = "request"

    def __post_init__(self) -> None:
        assert self.by in SPLIT_BY, self.by
        assert all(weight >= 0.0 for _, weight in self.shares), self.shares
        assert sum(weight for _, weight in self.shares) > 0.0, self.shares

    @property
    def versions(self) -> tuple[str, ...]:
        return tuple(version for version, _ in self.shares)

    def share(self, version: str) -> float:
        """Of all calls that name no version."""
        weights = dict(self.shares)
        return weights[version] / sum(weights.values())

    def version_of(self, key: str, *, among: Collection[str] | None = None) -> str:
        """The version of a call: the same for the same key and weights, on any machine.

        among: those that can be asked now; calls of the others are shared by these, if any has a weight.
        """
        point = _point(self.model, key)
        chosen = self.versions[self._index(point)]
        if among is None or chosen in among:
            return chosen
        left = tuple(
            (version, weight) for version, weight in self.shares if version in among and weight > 0.0
        )
        if not left:
            return chosen
        rest = Split(self.model, left)
        # Anew: where in the interval of a version that is not there says nothing of the others.
        return rest.versions[rest._index(_point(f"{self.model}{MARK}{chosen}", key))]

    def _index(self, point: float) -> int:
        """Of a point in [0, 1). A weight of 0 is an empty interval."""
        weights = [weight for _, weight in self.shares]
        ends = list(accumulate(weights))
        found = bisect_right(ends, point * ends[-1])
        last = max(index for index, weight in enumerate(weights) if weight > 0.0)
        return min(found, last)


def spec_name(model: str, version: str) -> str:
    """The name of a version among the fleet's models."""
    return f"{model}{MARK}{version}"


def parted(name: str) -> tuple[str, str]:
    """Model and version of a name; the version is "" where the name has none."""
    model, _, version = name.partition(MARK)
    return model, version


def own_names(splits: Sequence[Split], model: str) -> tuple[str, ...]:
    """The fleet's own names of all versions of a model; of one without versions, its name."""
    split = next((split for split in splits if split.model == model), None)
    return (model,) if split is None else tuple(spec_name(model, version) for version in split.versions)


def split_trace(trace: Trace, splits: Sequence[Split]) -> Trace:
    """Requests for a model with versions become requests for these, by their position in the trace."""
    asked = {
        name: split for split in splits for name in (split.model, *split.aliases) if name in trace.models
    }
    if not asked:
        return trace
    names = [name for name in trace.models if name not in asked]
    names += [spec_name(split.model, version) for split in splits for version in split.versions]
    names = list(dict.fromkeys(names))
    position = {name: index for index, name in enumerate(names)}
    index = np.empty(len(trace), dtype=np.int32)
    for number, name in enumerate(trace.models):
        rows = np.flatnonzero(trace.model_index == number)
        split = asked.get(name)
        index[rows] = position[name] if split is None else _positions(split, rows.tolist(), position)
    return Trace(trace.arrival_s, index, tuple(names), trace.tokens, trace.tenants)


def _positions(split: Split, rows: Sequence[int], position: Mapping[str, int]) -> list[int]:
    return [position[spec_name(split.model, split.version_of(str(row)))] for row in rows]


def _point(model: str, key: str) -> float:
    digest = blake2b(f"{model}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _NUM_POINTS
