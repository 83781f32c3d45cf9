"""Sizes, bandwidths and durations as people write them."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocabulary.units import (
    NEVER_S,
    TIME_TOLERANCE_S,
    format_bytes,
    parse_bandwidth,
    parse_bytes,
    parse_seconds,
)


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("1024", 1024),
        ("1024B", 1024),
        ("13GiB", 13 * 2**30),
        ("16 GB", 16 * 10**9),
        (" 64MiB ", 64 * 2**20),
        ("2k", 2000),
        ("2KB", 2000),
        ("1.5KiB", 1536),
        ("1e3", 1000),
        ("3Ti", 3 * 2**40),
        ("0.5PB", 5 * 10**14),
    ],
)
def test_sizes_are_decimal_or_binary_by_their_prefix(text: str, num_bytes: int) -> None:
    assert parse_bytes(text) == num_bytes


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [("300GB/s", 300e9), ("100Gb/s", 12.5e9), ("100Gbps", 12.5e9), ("8 MBps", 8e6), ("1GiB/s", 2.0**30)],
)
def test_a_small_b_in_a_bandwidth_means_bits(text: str, bytes_per_s: float) -> None:
    assert parse_bandwidth(text) == bytes_per_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20us", 20e-6),
        ("20µs", 20e-6),
        ("5ms", 5e-3),
        ("1.5s", 1.5),
        ("20m", 1200.0),
        ("20min", 1200.0),
        ("2h", 7200.0),
        ("3 ns", 3e-9),
    ],
)
def test_durations_carry_their_unit(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds, rel=1e-15)


@pytest.mark.parametrize(
    ("parse", "text", "remedy"),
    [
        (parse_bytes, "13 gibibytes", "13GiB"),
        (parse_bytes, "-1GB", "13GiB"),
        (parse_bytes, "", "13GiB"),
        (parse_bandwidth, "300GB", "300GB/s"),
        (parse_bandwidth, "fast", "300GB/s"),
        (parse_seconds, "20", "20us"),
        (parse_seconds, "1m30s", "20us"),
    ],
)
def test_what_is_not_a_quantity_is_refused_with_the_accepted_forms(parse, text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text)) + ".*" + re.escape(remedy)):
        parse(text)


def test_sizes_for_people_have_one_decimal_and_a_binary_prefix() -> None:
    assert [format_bytes(n) for n in (0, 128, 1024, 13 * 2**30, 1.5 * 2**40, -(2**20))] == [
        "0 B", "128 B", "1.0 KiB", "13.0 GiB", "1.5 TiB", "-1.0 MiB",
    ]  # fmt: skip


@given(st.integers(min_value=0, max_value=2**60))
def test_a_formatted_size_parses_back_within_its_last_digit(num_bytes: int) -> None:
    text = format_bytes(num_bytes)
    assert parse_bytes(text) == pytest.approx(num_bytes, rel=0.05)


def test_never_is_later_than_any_time_and_the_tolerance_is_a_nanosecond() -> None:
    assert math.inf == NEVER_S
    assert TIME_TOLERANCE_S == 1e-9
