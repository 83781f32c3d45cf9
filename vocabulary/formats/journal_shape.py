"""`observability.journal` of a deployment file: what the fleet writes down, and how much of it stays."""

# Defaults are those of the nouns, whose fields are plain texts; the shape says which of them there are.
# pyright: reportAssignmentType=false

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vocabulary.deployment import Journaling
from vocabulary.formats.shapes import Count, Shape, told

_JOURNALING = Journaling()


class JournalShape(Shape):
    """requests: a line for each, for those that were not served, or for none."""

    requests: Annotated[
        Literal["all", "refused", "none"],
        told("A line for `all`, for those `refused` (all that were not served) or for `none`."),
    ] = _JOURNALING.requests
    max_rows: Annotated[Count, Field(ge=100), told("Of requests, and of events; the oldest go.")] = (
        _JOURNALING.max_rows
    )

    def noun(self) -> Journaling:
        """What it says."""
        return Journaling(self.requests, self.max_rows)
