"""Whether to take what was found, and on which devices: `--diff` and `--current`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from statmux.planning.asked import DEFAULT_HORIZON_S, Asked, Prepared
from statmux.planning.moving import difference_document, replan_document
from statmux.planning.searching import Searched

SEARCH = "search"


def weighed(asked: Asked, prepared: Prepared, searched: Searched) -> tuple[Searched, dict[str, Any]]:
    """What was found on the devices where least has to move, or what is there already; and why."""
    if prepared.old is None:
        return searched, {}
    from placement.difference import difference
    from placement.replan import replan
    from placement.replan_devices import with_fewest_moves
    from resharding.move_costs import Store
    from resharding.network import network_of

    deployment, old, found = searched.deployment, prepared.old.placement, searched.found
    network, store = network_of(deployment.cluster), Store(asked.store_bytes_per_s)
    name = str(prepared.old.path)
    if asked.current is None:
        placement = with_fewest_moves(old, found.placement, deployment=deployment)
        changed = difference(old, placement, deployment=deployment, network=network, store=store)
        moved = replace(searched, found=replace(found, placement=placement))
        return moved, {"difference": difference_document(changed, old=name)}
    horizon_s = DEFAULT_HORIZON_S if asked.horizon_s is None else asked.horizon_s
    best = replan(
        old,
        deployment,
        searched.trace,
        horizon_s=horizon_s,
        network=network,
        store=store,
        restart_s=asked.restart_s,
        proposals={SEARCH: found.placement},
    )
    placement = best.chosen.placement
    changed = difference(old, placement, deployment=deployment, network=network, store=store)
    # What the search said of its own placement it did not say of another.
    gap, judged = (found.overfit_gap, found.judged_value) if best.chosen.name == SEARCH else (None, None)
    kept = replace(found, placement=placement, overfit_gap=gap, judged_value=judged)
    return replace(searched, found=kept), {
        "replan": replan_document(best, horizon_s=horizon_s, old=name),
        "difference": difference_document(changed, old=name),
    }
