"""A picture of a placement: groups as columns of stages, in each the memory that every model takes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from vocabulary.errors import InvalidInput
from vocabulary.formats.disk import write_bytes

SUFFIXES = (".svg", ".png")
_PNG_DPI = 160


@dataclass(frozen=True, slots=True)
class Stage:
    """Bytes on a device of the stage, by model in the group's order; other_bytes: activations, pages."""

    model_bytes: tuple[int, ...]
    other_bytes: int = 0

    @property
    def used_bytes(self) -> int:
        return sum(self.model_bytes) + self.other_bytes


@dataclass(frozen=True, slots=True)
class Column:
    """A group. models: (name, its number in the deployment, which gives its colour); usable_bytes: of a
    device; utilisation: share of the time that its busiest stage works, None where nobody knows."""

    id: str
    mesh: str
    devices: str
    models: tuple[tuple[str, int], ...]
    stages: tuple[Stage, ...]
    usable_bytes: int
    utilisation: float | None = None

    def __post_init__(self) -> None:
        assert all(len(stage.model_bytes) == len(self.models) for stage in self.stages), self


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn; lines stand below the title, remarks at the foot, as warnings."""

    title: str
    lines: tuple[str, ...]
    columns: tuple[Column, ...]
    remarks: tuple[str, ...] = ()


def check_suffix(path: Path, *, where: str = "--plot") -> None:
    """Raises InvalidInput for what is neither .svg nor .png."""
    if path.suffix.lower() not in SUFFIXES:
        shown = path.suffix or "a file without suffix"
        raise InvalidInput(
            f"{path}: a placement cannot be drawn as {shown}",
            where=where,
            hint="let the name end in .svg or .png",
        )


def write_picture(path: Path, picture: Picture) -> None:
    """By the suffix. Raises InvalidInput on another, RuntimeFailure if not writable."""
    check_suffix(path)
    write_bytes(
        path, picture_png(picture) if path.suffix.lower() == ".png" else picture_svg(picture).encode()
    )


def picture_svg(picture: Picture) -> str:
    """On a white ground; equal pictures give equal text."""
    from statmux.reporting.placement_drawing import drawn
    from statmux.reporting.rendering import named_svg, on_paper

    return on_paper(named_svg(picture.title, described(picture), lambda: drawn(picture)))


def picture_png(picture: Picture) -> bytes:
    """On white, for screens of twice the usual density."""
    from statmux.reporting.drawing import looks
    from statmux.reporting.placement_drawing import drawn

    out = io.BytesIO()
    with looks(picture.title):
        drawn(picture).savefig(out, format="png", dpi=_PNG_DPI, facecolor="white")
    return out.getvalue()


def described(picture: Picture) -> str:
    """In a sentence a group, for those who do not see it."""
    parts = list(picture.lines)
    for one in picture.columns:
        names = ", ".join(name for name, _ in one.models) or "no model"
        fullest = max((stage.used_bytes for stage in one.stages), default=0) / max(1, one.usable_bytes)
        parts.append(
            f"{one.id} ({one.mesh}, {one.devices}) holds {names}; its fullest stage is {fullest:.0%} full."
        )
    return " ".join((*parts, *picture.remarks))
