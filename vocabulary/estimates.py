"""Which numbers of a fleet rest on estimated profiles."""

from __future__ import annotations

from vocabulary.deployment import Deployment
from vocabulary.placement import Placement


def estimated_models(deployment: Deployment, placement: Placement) -> frozenset[str]:
    """Models whose own profile is estimated, or that wait in a group behind one whose profile is."""
    own = {
        model.name
        for model in deployment.models
        if model.profile is not None and model.profile.provenance.kind == "estimated"
    }
    beside = {name for group in placement.groups if own & set(group.models) for name in group.models}
    return frozenset(own | beside)
