"""Layouts as text: what they mean, and what a wrong one is told."""

from __future__ import annotations

import pytest

from resharding.layouts import parse_layout
from vocabulary.errors import InvalidInput


def test_a_layout_names_the_axes_that_shard_each_dimension() -> None:
    spec = parse_layout(" (2,4) : S0, S1,R ", shape=(8, 8, 8), where="--source")
    assert (spec.num_hosts, spec.devices_per_host) == (2, 4)
    assert spec.dims == (("hosts",), ("devices",), ())


def test_s01_shards_over_hosts_and_then_their_devices() -> None:
    placed = parse_layout("(2,2):S01", shape=(8,), where="--source").on((5, 6))
    starts = {device: box.start[0] for device, box in placed.boxes((8,)).items()}
    assert starts == {(5, 0): 0, (5, 1): 2, (6, 0): 4, (6, 1): 6}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2,4:S0,R", "is no layout"),
        ("(2,4):S0,X", "'X'"),
        ("(2,4):S0,S0", "shards 2 dimensions over the hosts"),
        ("(2,4):S01,S1", "shards 2 dimensions over the devices"),
        ("(2,4):S0", "lays 1 dimensions"),
        ("(2,4):S2,R", "names axis 2, and a mesh has axes 0 and 1"),
        ("(2,4):S00,R", "shards dimension 0 2 times, over hosts and hosts"),
        ("(0,4):S0,R", "0 hosts"),
        ("(2,4):R,S01", "dimension 1 of 4 elements into 8 shards"),
    ],
)
def test_a_wrong_layout_is_told_the_numbers_and_the_remedy(text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match="--source") as raised:
        parse_layout(text, shape=(64, 4), where="--source")
    assert words in str(raised.value)
    assert raised.value.hint
