"""The machines that look for the smallest cluster and the fastest traffic, against brute force."""

from collections.abc import Callable
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from placement.capacity.bisection import NUM_CHEAPER, Cheapest, Furthest, Size

PRICES = (3.0, 1.0)


def line(num_sizes: int) -> list[Size]:
    return [Size(float(count), (count,)) for count in range(1, num_sizes + 1)]


def grid(num_big: int, num_small: int) -> list[Size]:
    mixes = [mix for mix in product(range(num_big + 1), range(num_small + 1)) if any(mix)]
    return [Size(sum(p * n for p, n in zip(PRICES, mix, strict=True)), mix) for mix in mixes]


def run(machine: Cheapest, holds: Callable[[Size], bool]) -> list[Size]:
    tried: list[Size] = []
    while sizes := machine.decide():
        assert not set(sizes) & set(tried), "a size is tried once"
        for size in sizes:
            machine.observe(size, holds=holds(size))
            tried.append(size)
    return tried


@given(st.integers(1, 200), st.integers(1, 220), st.integers(1, 250))
def test_on_a_monotone_curve_the_smallest_is_found(num_sizes: int, needed: int, start: int) -> None:
    machine = Cheapest(line(num_sizes), start_price=start)
    tried = run(machine, lambda size: size.price >= needed)
    assert machine.best == (Size(float(needed), (needed,)) if needed <= num_sizes else None)
    assert machine.is_monotone
    assert len(tried) <= 4 + 3 * num_sizes.bit_length()


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 60), st.integers(1, 60))
def test_on_any_curve_the_answer_holds_and_its_cheaper_neighbours_fail(
    noise: list[bool], needed: int, start: int
) -> None:
    """`noise` turns some outcomes of a monotone curve round."""
    held = [(count >= needed) != turned for count, turned in enumerate(noise)]
    machine = Cheapest(line(len(held)), start_price=start)
    tried = run(machine, lambda size: held[size.devices[0] - 1])
    if machine.best is None:
        assert len(tried) == 0 or not any(held[size.devices[0] - 1] for size in tried)
        return
    best = machine.best.devices[0]
    assert held[best - 1]
    cheaper = range(max(1, best - NUM_CHEAPER), best)
    assert not any(held[count - 1] for count in cheaper)
    assert {Size(float(count), (count,)) for count in cheaper} <= set(tried)


def test_a_dip_above_the_answer_is_seen_beside_it() -> None:
    held = {4: True, 5: False}
    machine = Cheapest(line(8), start_price=4)
    run(machine, lambda size: held.get(size.devices[0], size.devices[0] > 5))
    assert machine.best == Size(4.0, (4,))
    assert not machine.is_monotone


@settings(max_examples=60)
@given(st.integers(0, 6), st.integers(0, 9), st.integers(1, 40), st.integers(1, 9), st.integers(1, 40))
def test_the_cheapest_mix_of_two_node_classes_is_found(
    num_big: int, num_small: int, needed: int, big_is_worth: int, start: int
) -> None:
    sizes = grid(num_big, num_small)

    def holds(size: Size) -> bool:
        return big_is_worth * size.devices[0] + size.devices[1] >= needed

    machine = Cheapest(sizes, start_price=start)
    run(machine, holds)
    assert machine.best == min((size for size in sizes if holds(size)), default=None)


def test_the_search_starts_at_the_cluster_that_is_there_and_doubles() -> None:
    machine = Cheapest(line(64), start_price=4)
    assert [size.price for size in run(machine, lambda size: size.price >= 14)][:5] == [4, 6, 8, 12, 16]


def explore(machine: Furthest, holds: Callable[[float], bool]) -> list[float]:
    tried: list[float] = []
    while scales := machine.decide():
        assert not set(scales) & set(tried)
        for scale in scales:
            machine.observe(scale, holds=holds(scale))
            tried.append(scale)
    return tried


@given(st.floats(1 / 60, 60))
def test_head_room_is_found_within_two_percent(limit: float) -> None:
    machine = Furthest()
    tried = explore(machine, lambda scale: scale <= limit)
    assert machine.best is not None
    assert machine.best <= limit < machine.best * 1.021
    assert len(tried) <= 20


def test_traffic_that_never_or_always_holds_is_told_so() -> None:
    never, always = Furthest(), Furthest()
    explore(never, lambda scale: False)
    explore(always, lambda scale: True)
    assert never.best is None and not never.is_at_least
    assert always.best == 64.0 and always.is_at_least


@given(st.dictionaries(st.integers(0, 30), st.booleans()))
def test_head_room_stays_below_every_rate_that_was_seen_to_fail(turned: dict[int, bool]) -> None:
    tried: dict[float, bool] = {}

    def holds(scale: float) -> bool:
        tried[scale] = (scale <= 2.5) != turned.get(int(scale * 10), False)
        return tried[scale]

    machine = Furthest()
    explore(machine, holds)
    failed = [scale for scale, held in tried.items() if not held]
    assert machine.best is None or all(machine.best < scale for scale in failed)
