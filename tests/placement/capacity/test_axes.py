"""What people write after --sweep, and what they are told when it is wrong."""

from itertools import pairwise

import pytest

from placement.capacity.axes import parse_at, parse_sweep, parse_sweeps, parse_within
from vocabulary.errors import InvalidInput


def values(text: str, *, node_devices: int = 8, fixed_devices: int = 0) -> tuple[float, ...]:
    return parse_sweep(text, node_devices=node_devices, fixed_devices=fixed_devices).values


def test_devices_go_in_whole_nodes_between_the_ends() -> None:
    assert values("devices=8..32") == (8, 16, 24, 32)
    assert values("devices=4..20") == (4, 8, 16, 20)
    assert values("devices=3..3") == (3,)


def test_devices_of_other_node_classes_come_before_whole_nodes() -> None:
    assert values("devices=5..30", fixed_devices=4) == (5, 12, 20, 28, 30)
    assert values("devices=4..13", fixed_devices=4) == (4, 12, 13)


def test_a_scale_goes_in_eight_equal_ratios() -> None:
    found = values("rate_scale=0.5..4")
    assert len(found) == 8
    assert (found[0], found[-1]) == (0.5, 4.0)
    ratios = [after / before for before, after in pairwise(found)]
    assert ratios == pytest.approx([8 ** (1 / 7)] * 7, rel=1e-3)


def test_a_step_counts_from_the_first_value() -> None:
    assert values("devices=8..64:24") == (8, 32, 56)
    assert values("slo_scale=0.1..0.3:0.1") == (0.1, 0.2, 0.3)
    assert values("rate_scale=1..2:5") == (1.0,)


def test_a_list_is_sorted_and_each_value_taken_once() -> None:
    assert values("cv_scale=4,1, 2,1") == (1.0, 2.0, 4.0)
    assert values("devices=16,8") == (8, 16)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("devices", "no values given"),
        ("devices=", "no values given"),
        ("device=8..16", "there is no axis 'device'"),
        ("devices=8..x", "'x' is not a whole number"),
        ("devices=1.5,2", "'1.5' is not a whole number"),
        ("devices=0..8", "0 is not above 0"),
        ("devices=16..8", "16 is above 8"),
        ("devices=8..16:0", "0 is not above 0"),
        ("devices=1..9999999", "too many"),
        ("rate_scale=-1", "-1 is not above 0"),
        ("rate_scale=nan", "nan is not above 0"),
        ("rate_scale=1..inf", "inf is not above 0"),
        ("rate_scale=1e-320,1", "is no multiple that a point can have"),
        ("slo_scale=1,1e9", "1e+09 is no multiple that a point can have"),
        ("rate_scale=1,,2", "'' is not a number"),
        ("rate_scale=0.001..1000:0.0001", "too many; at most 1000"),
        ("slo_scale=1...4", "1 is above 0.4"),
    ],
)
def test_a_wrong_range_is_refused_with_its_text_and_a_hint(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        values(text)
    assert says in str(caught.value)
    assert text in str(caught.value)
    assert caught.value.hint


def test_an_axis_is_swept_once() -> None:
    with pytest.raises(InvalidInput, match="devices is swept twice"):
        parse_sweeps(("devices=8..16", "devices=32"), node_devices=8)


def test_the_base_point_and_the_range_of_sizes_have_their_own_forms() -> None:
    assert parse_at("slo_scale=5") == ("slo_scale", 5.0)
    assert parse_within("8..128") == (8, 128)
    for parse, wrong in (
        (parse_at, "slo=5"),
        (parse_at, "slo_scale"),
        (parse_within, "8"),
        (parse_within, "8..4"),
    ):
        with pytest.raises(InvalidInput) as caught:
            parse(wrong)
        assert caught.value.hint
