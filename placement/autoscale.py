"""How many devices a fleet's plan uses: what its traffic needs, with delays, so that it does not swing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from placement.constraints import without_devices
from placement.minimise import minimise
from vocabulary.deployment import Deployment
from vocabulary.elasticity import Autoscaling
from vocabulary.errors import Infeasible
from vocabulary.placement import Placement
from vocabulary.trace import Trace


def needed_devices(deployment: Deployment, trace: Trace, *, budget_s: float) -> int:
    """The fewest devices that attain what the deployment asks for on the trace; all, where not even they do.

    As `statmux capacity --minimize devices` finds it.
    """
    try:
        found = minimise(deployment, trace, objective="min_devices", time_budget_s=budget_s)
    except Infeasible:
        return len(deployment.cluster.free_devices)
    return int(found.value)


@final
class Scaler:
    """Says how many devices to use. Machine of one number: observe what is needed, decide at any time.

    More are used once more have been needed for `upscale_delay_s`, the fewest of that time; fewer once fewer
    have been for `downscale_delay_s`, the most of it.
    """

    def __init__(self, rules: Autoscaling, *, num_devices: int, in_use: int) -> None:
        """num_devices: that there are."""
        self._rules = rules
        self._num_devices = num_devices
        self._in_use = in_use
        self._needed: list[tuple[float, int]] = []

    @property
    def in_use(self) -> int:
        return self._in_use

    def observe(self, now_s: float, needed: int) -> None:
        """What the traffic up to now needs."""
        self._needed.append((now_s, self._bounded(needed)))
        longest_s = max(self._rules.upscale_delay_s, self._rules.downscale_delay_s)
        # One before the longest delay stays: it says what was needed when that began.
        while len(self._needed) > 1 and self._needed[1][0] <= now_s - longest_s:
            del self._needed[0]

    def decide(self, now_s: float) -> int:
        """Devices to use from now on."""
        more = self._all_since(now_s - self._rules.upscale_delay_s)
        fewer = self._all_since(now_s - self._rules.downscale_delay_s)
        if more and min(more) > self._in_use:
            self._in_use = min(more)
        elif fewer and max(fewer) < self._in_use:
            self._in_use = max(fewer)
        return self._in_use

    def _bounded(self, needed: int) -> int:
        most = min(self._rules.max_devices or self._num_devices, self._num_devices)
        return max(min(needed, most), min(self._rules.min_devices, most))

    def _all_since(self, start_s: float) -> list[int]:
        """What was needed at any time from then on; nothing where that is not known of all of it."""
        if not self._needed or self._needed[0][0] > start_s:
            return []
        first = max(index for index, (at_s, _) in enumerate(self._needed) if at_s <= start_s)
        return [needed for _, needed in self._needed[first:]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """devices: that a plan may use, in the cluster's order; deployment: with all others reserved."""

    devices: tuple[str, ...]
    deployment: Deployment


def chosen_devices(
    deployment: Deployment, current: Placement, count: int, *, load: Mapping[str, float] | None = None
) -> Chosen:
    """So many devices: those that groups use first, the busiest first; then others of their hosts.

    load: of each group, by id, in any unit; without it groups come in plan order. A group is not cut where
    there is another way: one that does not fit any more is left out.
    """
    free = [device for device in deployment.cluster.free_devices]
    known = {device.id for device in free}
    order = sorted(current.groups, key=lambda group: -(load or {}).get(group.id, 0.0))
    kept: list[str] = []
    for group in order:
        if len(kept) + len(group.devices) <= count and known.issuperset(group.devices):
            kept += group.devices
    hosts = {device.host for device in free if device.id in kept}
    others = [device for device in free if device.id not in kept]
    others.sort(key=lambda device: device.host not in hosts)
    kept += [device.id for device in others][: max(0, count - len(kept))]
    chosen = frozenset(kept)
    devices = tuple(device.id for device in free if device.id in chosen)
    return Chosen(devices, without_devices(deployment, known - chosen))
