"""What clients see of models that have versions, and which version a call without one goes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import final

from controller.calls import ModelState, ModelView
from vocabulary.versions import Split, own_names, spec_name


@final
class SplitBoard:
    """Views come from those of the versions; nothing else is kept."""

    def __init__(self, splits: Sequence[Split]) -> None:
        self._splits = {split.model: split for split in splits}

    def own_names(self, model: str) -> tuple[str, ...]:
        return own_names(tuple(self._splits.values()), model)

    def served_as(self, model: str, views: Mapping[str, ModelView], *, call_id: str, tenant: str) -> str:
        """The fleet's own name of what a call goes to. Calls for versions that are not READY go to others."""
        split = self._splits.get(model)
        if split is None:
            return model
        key = tenant if split.by == "tenant" and tenant else call_id
        ready = [
            version
            for version in split.versions
            if views[spec_name(model, version)].state is ModelState.READY
        ]
        return spec_name(model, split.version_of(key, among=ready))

    def views(
        self, of_versions: Mapping[str, ModelView], *, known: Mapping[str, ModelView]
    ) -> dict[str, ModelView]:
        """Under the models' names and aliases; the objects that are known already, while nothing changes."""
        found: dict[str, ModelView] = {}
        for split in self._splits.values():
            new = _view(split, of_versions)
            old = known.get(split.model)
            view = old if old == new else new
            found |= dict.fromkeys((split.model, *split.aliases), view)
        return found


def _view(split: Split, of_versions: Mapping[str, ModelView]) -> ModelView:
    """What the version with the largest weight takes that can be asked; READY once one can."""
    order = sorted(split.shares, key=lambda share: -share[1])
    views = [of_versions[spec_name(split.model, version)] for version, weight in order if weight > 0.0]
    shown = next((view for view in views if view.state is ModelState.READY), None)
    shown = shown or next((view for view in views if view.inputs), views[0])
    return replace(shown, name=split.model, versions=split.versions)
