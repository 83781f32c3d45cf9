"""Section 2: which device holds what. Groups with the same models share a letter and a colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from string import ascii_uppercase
from typing import Any

from statmux.render import milliseconds
from statmux.reporting.drawing import PALETTE
from statmux.reporting.layout import Box, DeviceMap, Host, Kind, Section, Table
from statmux.reporting.words import attainment, listed, share, size

Document = Mapping[str, Any]
_MAX_HOSTS = 48


def placement_section(document: Document, base: Document) -> Section:
    """The map, and every plan at the base point when there are several."""
    title = f"Placement of {base['curve']}"
    tables = (_plans(document),) if len(document["base"]) > 1 else ()
    if base.get("infeasible"):
        return Section(title, absent=f"There is no plan: {base['infeasible']}.", tables=tables)
    part = (document.get("evidence") or {}).get("placement")
    groups = part["groups"] if part else base["groups"]
    usable = part["usable_bytes"] if part else {}
    note = "A bar shows how much of a device's memory weights and activations take." if part else ""
    drawn = device_map(_hosts(document["cluster"]), groups, usable)
    return Section(title, note=note, map=drawn, tables=(group_table(groups, usable), *tables))


def device_map(
    hosts: Sequence[tuple[str, Sequence[str]]], groups: Sequence[Document], usable_bytes: Mapping[str, int]
) -> DeviceMap:
    """Hosts with the ids of their devices, also of those that hold nothing."""
    kinds = _kinds(groups)
    taken = {device: (group, place) for group in groups for place, device in enumerate(group["devices"])}
    drawn = tuple(
        Host(name, tuple(_box(device, taken.get(device), kinds, usable_bytes) for device in devices))
        for name, devices in hosts[:_MAX_HOSTS]
    )
    more = f"{len(hosts) - _MAX_HOSTS} more hosts are not drawn." if len(hosts) > _MAX_HOSTS else ""
    return DeviceMap(drawn, tuple(_legend(groups, kinds)), more)


def group_table(groups: Sequence[Document], usable_bytes: Mapping[str, int]) -> Table:
    """One row a group; memory is of its fullest device."""
    rows = []
    for group in groups:
        full = _fullest(group, usable_bytes)
        rows.append((
            group["id"],
            f"{group['tensor']} × {group['pipeline']}",
            "–" if group.get("utilisation") is None else share(group["utilisation"]),
            *(() if full is None else (size(full),)),
            listed(list(group["models"])),
        ))  # fmt: skip
    memory = ("memory",) if groups and _fullest(groups[0], usable_bytes) is not None else ()
    return Table(("group", "tensor × pipeline", "busiest stage", *memory, "models"), tuple(rows))


def _hosts(cluster: Sequence[Document]) -> list[tuple[str, list[str]]]:
    """By the rule of device ids: node class, number of the host, index on it."""
    return [
        (
            f"{node['name']}-{number}",
            [f"{node['name']}-{number}:{i}" for i in range(node["devices_per_host"])],
        )
        for node in cluster
        for number in range(int(node["count"]))
    ]


def _plans(document: Document) -> Table:
    """What each plan attains at the base point."""
    is_estimated = document["provenance"]["is_estimated"]
    rooms = {one["curve"]: one for one in document["head_room"]}
    rows = []
    for point in document["base"]:
        room = rooms.get(point["curve"], {}).get("rate_scale")
        rows.append((
            point["curve"],
            "no plan" if point.get("infeasible") else attainment(point, is_estimated),
            f"{point['goodput_rps']:.4g}",
            milliseconds(point["p50_s"]) or "–",
            milliseconds(point["p99_s"]) or "–",
            "–" if room is None else f"×{room:.3g}",
        ))  # fmt: skip
    columns = ("plan", "SLO attainment", "goodput (1/s)", "p50", "p99", "head-room")
    return Table(columns, tuple(rows), caption="All plans at this point")


def _kinds(groups: Sequence[Document]) -> dict[tuple[str, ...], int]:
    """Sets of models in the order in which they come."""
    kinds: dict[tuple[str, ...], int] = {}
    for group in groups:
        kinds.setdefault(tuple(sorted(group["models"])), len(kinds))
    return kinds


def _letter(index: int) -> str:
    """A to Z, then AA, AB and so on."""
    if index < len(ascii_uppercase):
        return ascii_uppercase[index]
    pairs = ["".join(pair) for pair in product(ascii_uppercase, repeat=2)]
    return pairs[(index - len(ascii_uppercase)) % len(pairs)]


def _legend(groups: Sequence[Document], kinds: Mapping[tuple[str, ...], int]) -> list[Kind]:
    lines = []
    for models, index in kinds.items():
        names = [group["id"] for group in groups if tuple(sorted(group["models"])) == models]
        held = next(list(group["models"]) for group in groups if tuple(sorted(group["models"])) == models)
        words = f"{listed(held) or 'no model'} on {'group' if len(names) == 1 else 'groups'} {listed(names)}"
        lines.append(Kind(_letter(index), index % len(PALETTE) + 1, words))
    return lines


def _box(
    device: str,
    taken: tuple[Document, int] | None,
    kinds: Mapping[tuple[str, ...], int],
    usable_bytes: Mapping[str, int],
) -> Box:
    if taken is None:
        return Box("", 0, f"{device}: free", None)
    group, place = taken
    index, stage = kinds[tuple(sorted(group["models"]))], place // group["tensor"]
    words = f"{device}: stage {stage} of {group['id']}"
    fill = None
    if "memory_bytes" in group and device in usable_bytes:
        used, usable = group["memory_bytes"][stage], usable_bytes[device]
        fill = min(used / usable, 1.0)
        words += f", {size(used)} of {size(usable)}"
    return Box(_letter(index), index % len(PALETTE) + 1, words, fill)


def _fullest(group: Document, usable_bytes: Mapping[str, int]) -> float | None:
    return max(group["memory_bytes"]) if usable_bytes and group.get("memory_bytes") else None
