"""Rules of a deployment: what may be added never breaks one, and what breaks one is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.candidate import empty
from placement.constraints import Constraints, without_devices
from placement.groups import carve, hosts_of
from placement.memory import Memory
from placement.search import search
from tests.placement.fleets import deployment, model, requests
from vocabulary.deployment import Deployment
from vocabulary.errors import Infeasible
from vocabulary.fit import check_fit
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.rules import Apart, PlacementRules

NAMES = ("a", "b", "c", "d", "e")
# Two hosts of two devices.
DEVICES = ("n-0:0", "n-0:1", "n-1:0", "n-1:1")


NO_RULES = PlacementRules()


def fleet(rules: PlacementRules = NO_RULES, **bounds: tuple[int, int | None]) -> Deployment:
    models = (
        model(
            name, 20, min_replicas=bounds.get(name, (0, None))[0], max_replicas=bounds.get(name, (0, None))[1]
        )
        for name in NAMES
    )
    return replace(deployment(*models, num_hosts=2, num_devices=2, memory_bytes=60), rules=rules)


def placed(*groups: tuple[str, str]) -> Placement:
    """Groups of one device, written as (device, "abc")."""
    return Placement(
        tuple(
            Group(f"g{i}", (device,), ParallelConfig(), tuple(held))
            for i, (device, held) in enumerate(groups)
        )
    )


@st.composite
def rules(draw: st.DrawFn) -> PlacementRules:
    """Rules that do not contradict one another."""
    sets = st.lists(st.sampled_from(NAMES), min_size=2, max_size=3, unique=True).map(tuple)
    colocate = draw(st.lists(sets, max_size=1))
    separate = draw(st.lists(st.builds(Apart, sets, st.sampled_from(("group", "host"))), max_size=2))
    separate = [one for one in separate if all(len(set(one.models) & set(c)) < 2 for c in colocate)]
    if draw(st.booleans()):
        separate.append(Apart((draw(st.sampled_from(NAMES)),), "host"))
    devices = st.frozensets(st.sampled_from(DEVICES), min_size=1)
    return PlacementRules(
        tuple(colocate), tuple(separate), draw(st.dictionaries(st.sampled_from(NAMES), devices, max_size=2))
    )


BOUNDS = st.dictionaries(st.sampled_from(NAMES), st.tuples(st.just(0), st.integers(1, 2)), max_size=3)


@settings(max_examples=60, deadline=None)
@given(rules(), BOUNDS, st.sampled_from([(1, 1), (1, 2), (1, 4)]), st.data())
def test_what_is_addable_breaks_no_rule_and_overflows_no_device(asked, bounds, config, data):
    small = fleet(asked, **bounds)
    constraints, memory = Constraints(small), Memory(small, small.catalog())
    candidate = empty(carve(hosts_of(small.cluster), ParallelConfig(*config)))
    for _ in range(8):
        group = data.draw(st.integers(0, len(candidate.layout) - 1))
        allowed = constraints.addable(candidate.layout, candidate.content, group)
        allowed &= memory.fitting(candidate.layout[group], candidate.content[group])
        if allowed.any():
            chosen = data.draw(st.sampled_from(np.flatnonzero(allowed).tolist()))
            for one in constraints.companions(chosen):
                candidate = candidate.plus(group, one)
        placement = candidate.placement(NAMES, keeps_devices=True)
        assert constraints.violations(placement) == ()
        used = memory.used(candidate.layout[group], candidate.content[group])
        assert (used <= candidate.layout[group].usable_bytes).all()


@settings(max_examples=40, deadline=None)
@given(rules(), st.data())
def test_what_is_removable_leaves_every_rule_kept(asked, data):
    small = fleet(asked, a=(1, None))
    constraints, memory = Constraints(small), Memory(small, small.catalog())
    candidate = empty(carve(hosts_of(small.cluster), ParallelConfig()))
    for group in range(len(candidate.layout)):
        allowed = constraints.addable(candidate.layout, candidate.content, group)
        allowed &= memory.fitting(candidate.layout[group], candidate.content[group])
        for chosen in np.flatnonzero(allowed).tolist()[:1]:
            for one in constraints.companions(chosen):
                candidate = candidate.plus(group, one)
    was_placed = candidate.replicas_of(0) > 0
    for _ in range(6):
        group = data.draw(st.integers(0, len(candidate.layout) - 1))
        gone = np.flatnonzero(constraints.removable(candidate.layout, candidate.content, group)).tolist()
        if gone:
            for one in constraints.companions(data.draw(st.sampled_from(gone))):
                candidate = candidate.minus(group, one)
        assert not was_placed or candidate.replicas_of(0) >= 1
        assert (
            was_placed is False
            or constraints.violations(candidate.placement(NAMES, keeps_devices=True)) == ()
        )


def test_colocated_models_are_added_together_or_not_at_all():
    small = fleet(PlacementRules(colocate=(("a", "c"), ("c", "e"))))
    constraints = Constraints(small)
    layout = carve(hosts_of(small.cluster), ParallelConfig())
    assert constraints.companions(0) == (0, 2, 4)
    assert constraints.companions(1) == (1,)
    assert constraints.addable(layout, ((),) * 4, 0).tolist() == [True] * 5
    # One other model leaves room for two, not for all three.
    assert constraints.addable(layout, ((1,), (), (), ()), 0).tolist() == [False, False, False, True, False]


@settings(max_examples=40, deadline=None)
@given(rules(), st.data())
def test_tables_say_the_same_where_they_say_all(asked, data):
    by_group = tuple(apart for apart in asked.separate if apart.by == "group")
    small = fleet(replace(asked, colocate=(), separate=by_group))
    constraints = Constraints(small)
    layout = carve(hosts_of(small.cluster), ParallelConfig())
    content = tuple(
        tuple(sorted(data.draw(st.sets(st.integers(0, 4), max_size=2)))) for _ in range(len(layout))
    )
    for group, held in enumerate(content):
        free = constraints.pinned(layout)[group] & ~constraints.apart[list(held)].any(axis=0)
        free[list(held)] = False
        assert free.tolist() == constraints.addable(layout, content, group).tolist()


def test_every_broken_rule_is_a_sentence():
    asked = PlacementRules(
        colocate=(("a", "b"),),
        separate=(Apart(("c", "d")), Apart(("e",), "host")),
        pin={"d": frozenset({"n-1:0"})},
    )
    small = without_devices(fleet(asked, a=(2, None), c=(0, 1)), ["n-1:1"])
    placement = placed(("n-0:0", "ace"), ("n-0:1", "cde"), ("n-1:1", "b"))
    assert Constraints(small).violations(placement) == (
        "a has 1 replicas, replicas.min is 2",
        "c has 2 replicas, replicas.max is 1",
        "colocate: g0 holds a without b",
        "colocate: g2 holds b without a",
        "separate: group g1 holds c, d",
        "separate: host n-0 holds e, e",
        "pin: g1 with d uses n-0:1, to which it is not pinned",
        "reserved: g2 uses n-1:1",
    )


def test_reserved_devices_are_of_the_cluster_but_not_free():
    small = without_devices(fleet(), ["n-0:1"])
    cluster = small.cluster
    assert cluster.num_devices == 4
    assert [device.id for device in cluster.free_devices] == ["n-0:0", "n-1:0", "n-1:1"]
    layout = carve(hosts_of(cluster), ParallelConfig(1, 2))
    assert [mesh.devices for mesh in layout] == [("n-1:0", "n-1:1"), ("n-0:0",)]


@settings(max_examples=15, deadline=None)
@given(rules(), BOUNDS, st.sampled_from(["auto", "beam", "mp-search", "mp-round-robin", "sr-uniform"]))
def test_no_search_breaks_a_rule_or_overflows_a_device(asked, bounds, algorithm):
    small = without_devices(fleet(asked, **bounds), ["n-1:0"])
    trace = requests(dict(zip(NAMES, (4.0, 2.0, 1.0, 8.0, 0.5), strict=True)), duration_s=10.0)
    try:
        placement = search(small, trace, algorithm=algorithm).placement
    except Infeasible:
        return
    assert Constraints(small).violations(placement) == ()
    check_fit(placement, small)


def test_a_pinned_model_gets_its_device_before_models_with_a_choice():
    asked = PlacementRules(colocate=(("a", "b", "d"),), pin={"c": frozenset({"n-0:1"})})
    small = fleet(asked, b=(1, None), c=(1, None))
    small = replace(small, models=tuple(replace(m, profile=model(m.name, 40).profile) for m in small.models))
    trace = requests(dict.fromkeys(NAMES, 1.0), duration_s=10.0)
    placement = search(small, trace).placement
    (holder,) = placement.holders("c")
    assert placement.groups[holder].devices == ("n-0:1",)
    assert Constraints(small).violations(placement) == ()


def test_without_rules_nothing_needs_to_be_asked():
    assert Constraints(fleet()).is_empty
    assert not Constraints(fleet(a=(0, 1))).is_empty
    assert not Constraints(fleet(PlacementRules(pin={"a": frozenset(DEVICES)}))).is_empty
