"""Names of models and versions as calls have them, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping

from controller.calls import ModelState, ModelView
from vocabulary.versions import MARK, spec_name


def name_of(models: Mapping[str, ModelView], name: str, version: str) -> str:
    """The name under which the view of that version is; `name` itself without versions, or without one."""
    if not version or MARK in name:
        return name
    view = models.get(name)
    own = spec_name(view.name, version) if view is not None else name
    return own if own in models else name


def is_unknown(view: ModelView) -> bool:
    """Whether what the model takes is not known, since it was never loaded."""
    return not view.inputs and view.generation is None and view.state is not ModelState.READY


def told_version(view: ModelView, version: str) -> str:
    """What a reply says: the version that was asked for, or the only one; "" where any may answer."""
    if version:
        return version
    return view.versions[-1] if len(view.versions) == 1 else ""
