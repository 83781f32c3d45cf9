"""Whether to move to another placement: what it gains over a horizon against what moving costs.

Groups are loaded one after another; the others serve on meanwhile. A group that loads does not serve what it
served before, unless a replica stays on the same devices in the same configuration. Gains count from when
all groups are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from placement.constraints import Constraints
from placement.difference import loading_seconds, stopped
from placement.greedy import fill, fill_up
from placement.problem import Problem
from placement.replan_devices import with_fewest_moves
from placement.search import search
from placement.why import candidate_of
from resharding.move_costs import Store
from resharding.network import Network
from simulator.fast_or_events import outcomes_of
from vocabulary.deployment import Deployment
from vocabulary.errors import StatmuxError
from vocabulary.fit import check_fit
from vocabulary.outcomes import Outcomes
from vocabulary.placement import Placement
from vocabulary.trace import Trace

KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Option:
    """A placement to move to.

    gained: requests more in time over the horizon, once all is loaded; lost: those that groups would have
    served while they load; moving_s: until all is loaded; num_loading: groups that load or start; num_moves:
    replicas that are brought to groups which do not hold them.
    """

    name: str
    placement: Placement
    slo_attainment: float
    gained: float
    lost: float
    moving_s: float
    num_loading: int
    num_moves: int = 0

    @property
    def net(self) -> float:
        return self.gained - self.lost


@dataclass(frozen=True, slots=True)
class Replan:
    """`chosen` is the option to take, `keep` where moving does not pay; options: all, best first.

    can_stay: the current placement fits, and breaks no rule.
    """

    chosen: Option
    options: tuple[Option, ...]
    can_stay: bool = True

    @property
    def is_move(self) -> bool:
        return self.chosen.name != KEEP


def replan(
    current: Placement,
    deployment: Deployment,
    trace: Trace,
    *,
    horizon_s: float,
    network: Network,
    store: Store | None = None,
    restart_s: float = 0.0,
    proposals: Mapping[str, Placement] | None = None,
    max_moves: int | None = None,
) -> Replan:
    """The option with most requests in time over `horizon_s` of traffic like `trace`, the moves counted in.

    Weighed are: to keep the current placement; to add replicas where there is room; to fill the same groups
    anew; and `proposals`, by name (without any, what `placement.search` finds). Each takes the devices where
    least has to be moved. restart_s: what a group with other devices or another configuration takes to start,
    besides its weights. Among equals the one that moves less. A current placement that does not fit any more,
    or breaks a rule of the deployment, is kept only where there is nothing else. max_moves: options with more
    moves are left out, unless the current placement cannot stay.

    Raises Infeasible for a model that no group holds, without a store to read it from.
    """
    aligned = trace.aligned_to(deployment.model_names)
    weigh = _Scales(current, deployment, aligned, horizon_s, network, store, restart_s)
    is_sound = _is_sound(current, deployment)
    if proposals is None:
        start = current if is_sound else None
        proposals = {"search": search(deployment, aligned, start=start).placement}
    nearby = _nearby(current, deployment, aligned) if is_sound else {}
    found = [weigh.option(KEEP, current)]
    for name, placement in {**nearby, **proposals}.items():
        moved = with_fewest_moves(current, placement, deployment=deployment)
        if moved.groups and all(set(moved.groups) != set(one.placement.groups) for one in found):
            found.append(weigh.option(name, moved))
    if max_moves is not None and is_sound:
        found = [one for one in found if one.num_moves <= max_moves]
    order = sorted(found, key=lambda one: (one.name == KEEP and not is_sound, -one.net, one.moving_s))
    return Replan(order[0], tuple(order), is_sound)


def num_moves(current: Placement, placement: Placement) -> int:
    """Replicas of `placement` that are on no group of the same devices and configuration now."""
    held = {(group.devices, group.config): group.models for group in current.groups}
    return sum(
        model not in held.get((group.devices, group.config), ())
        for group in placement.groups
        for model in group.models
    )


class _Scales:
    """Weighs placements against the current one, on one trace."""

    def __init__(
        self,
        current: Placement,
        deployment: Deployment,
        trace: Trace,
        horizon_s: float,
        network: Network,
        store: Store | None,
        restart_s: float,
    ) -> None:
        assert horizon_s >= 0.0, horizon_s
        self._current = current
        self._deployment = deployment
        self._trace = trace
        self._horizon_s = horizon_s
        self._network = network
        self._store = store
        self._restart_s = restart_s
        outcomes = outcomes_of(current, trace, deployment=deployment)
        self._num_good = int(outcomes.good.sum())
        self._replica_rps = _replica_rates(current, outcomes)

    def option(self, name: str, placement: Placement) -> Option:
        outcomes = outcomes_of(placement, self._trace, deployment=self._deployment)
        num_good = int(outcomes.good.sum())
        loading_s = self._loading_s(placement)
        moving_s = sum(loading_s.values())
        span_s = self._trace.duration_s
        gained_rps = (num_good - self._num_good) / span_s if span_s > 0 else 0.0
        return Option(
            name,
            placement,
            num_good / len(self._trace) if len(self._trace) else 1.0,
            gained=gained_rps * max(0.0, self._horizon_s - moving_s),
            lost=self._lost(placement, loading_s),
            moving_s=moving_s,
            num_loading=len(loading_s),
            num_moves=num_moves(self._current, placement),
        )

    def _loading_s(self, placement: Placement) -> dict[str, float]:
        """Of each group that does not serve on as it is: its weights, and its start if it is a new one."""
        there = {(group.devices, group.config) for group in self._current.groups}
        weights = loading_seconds(
            self._current,
            placement,
            deployment=self._deployment,
            network=self._network,
            store=self._store,
        )
        found: dict[str, float] = {}
        for group in placement.groups:
            is_new = (group.devices, group.config) not in there
            if is_new or group.id in weights:
                found[group.id] = weights.get(group.id, 0.0) + (self._restart_s if is_new else 0.0)
        return found

    def _lost(self, placement: Placement, loading_s: Mapping[str, float]) -> float:
        gone = stopped(self._current, placement)
        return sum(
            seconds * sum(self._replica_rps.get(replica, 0.0) for replica in gone[group])
            for group, seconds in loading_s.items()
        )


def _replica_rates(placement: Placement, outcomes: Outcomes) -> dict[tuple[str, str], float]:
    """Requests in time a second of every (model, group)."""
    trace = outcomes.trace
    if trace.duration_s <= 0:
        return {}
    good = outcomes.good & (outcomes.group_index >= 0)
    keys = outcomes.group_index[good].astype(np.int64) * len(trace.models) + trace.model_index[good]
    counts = np.bincount(keys, minlength=len(placement.groups) * len(trace.models))
    table = counts.reshape(len(placement.groups), len(trace.models)) / trace.duration_s
    index = {name: number for number, name in enumerate(trace.models)}
    return {
        (model, group.id): float(table[number, index[model]])
        for number, group in enumerate(placement.groups)
        for model in group.models
    }


def _nearby(current: Placement, deployment: Deployment, trace: Trace) -> dict[str, Placement]:
    """Placements that leave the groups as they are: with more replicas, and filled anew."""
    if not current.groups:
        return {}
    problem = Problem(deployment, trace)
    candidate = candidate_of(current, deployment)
    found = {"add replicas": fill_up(problem, candidate).best}
    anew = fill(problem, candidate.layout)
    if anew is not None:
        found["same groups"] = anew.best
    rules = Constraints(deployment)
    keeps = rules.names_devices
    placements = {
        name: one.candidate.placement(deployment.model_names, keeps_devices=keeps)
        for name, one in found.items()
    }
    return {name: one for name, one in placements.items() if not rules.violations(one)}


def _is_sound(current: Placement, deployment: Deployment) -> bool:
    """Whether a search may start from it: it fits, and every rule is kept."""
    try:
        check_fit(current, deployment)
    except StatmuxError:
        return False
    return not Constraints(deployment).violations(current)
