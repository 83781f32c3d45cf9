"""Which numbers of a fleet rest on estimated profiles."""

from __future__ import annotations

from vocabulary.deployment import Deployment
from vocabulary.placement import Placement
from vocabulary.profile import Profile


def estimated_models(deployment: Deployment, placement: Placement) -> frozenset[str]:
    """Models whose own costs are estimated, or that wait in a group behind one whose are."""
    own = {
        model.name
        for model in deployment.models
        if model.profile is not None and _rests_on_estimates(model.profile, model.name, placement)
    }
    beside = {name for group in placement.groups if own & set(group.models) for name in group.models}
    return frozenset(own | beside)


def _rests_on_estimates(profile: Profile, model: str, placement: Placement) -> bool:
    """A profile that is measured but for some configurations counts where one of these is used."""
    if profile.provenance.kind == "estimated":
        return True
    configs = {group.config for group in placement.groups if model in group.models}
    return any(profile.is_estimated(config) for config in configs if profile.supports(config))
