"""The shape of `placement.constraints`: a mapping, or the same as a list with one rule an entry."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from vocabulary.formats.shapes import Name, Shape, told
from vocabulary.formats.untyped import is_dict, is_list

Names = Annotated[tuple[Name, ...], Field(min_length=1)]


class ApartShape(Shape):
    """Models that share no group (and so no device), or no host; one model alone: its replicas."""

    models: Annotated[Names, told("Models that are kept apart; one alone: its replicas.")]
    by: Annotated[Literal["group", "host", "node"], told("What they may not share.")] = "group"


def _spelled_out(value: object) -> object:
    return {"models": value} if is_list(value) else value


Apart = Annotated[ApartShape, BeforeValidator(_spelled_out, json_schema_input_type=ApartShape | Names)]


class ConstraintsShape(Shape):
    """What a search may not do. Devices are named by id, by host or by node class."""

    colocate: Annotated[tuple[Names, ...], told("Sets of models; a group holds all of a set or none.")] = ()
    separate: Annotated[
        tuple[Apart, ...],
        told(
            "Sets of models that share no group, or with `{models: [a, b], by: host}` no host; one model "
            "alone `by: host`: its replicas."
        ),
    ] = ()
    pin: Annotated[
        dict[Name, Names],
        Field(default_factory=dict),
        told(
            "By model, the devices that its replicas may use: ids (`n-0:3`), hosts (`n-0`) or node "
            "classes (`n`)."
        ),
    ]
    reserved: Annotated[
        tuple[Name, ...], told("Devices, hosts or node classes that the search leaves free.")
    ] = ()


class ConstraintRule(Shape):
    """One entry of the list form: `{colocate: [a, b]}` or `{separate: [a, b], by: host}`."""

    colocate: Names | None = None
    separate: Names | None = None
    by: Literal["group", "host", "node"] = "group"
    pin: dict[Name, Names] | None = None
    reserved: Names | None = None


def one_mapping(value: object) -> object:
    """The list form as the mapping that it stands for; anything else as it is."""
    if not is_list(value) or not all(is_dict(rule) for rule in value):
        return value
    merged: dict[str, Any] = {}
    for rule in value:
        others = dict(rule)
        by = {"by": others.pop("by")} if "by" in others and "separate" in others else {}
        for key, part in others.items():
            if key == "colocate":
                merged.setdefault(key, []).append(part)
            elif key == "separate":
                merged.setdefault(key, []).append({"models": part, **by})
            elif key == "reserved" and is_list(part):
                merged[key] = [*merged.get(key, []), *part]
            elif key == "pin" and is_dict(part):
                merged[key] = {**merged.get(key, {}), **part}
            else:
                merged[key] = part
    return merged
