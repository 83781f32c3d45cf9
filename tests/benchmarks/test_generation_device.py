"""The benchmark of a device runs through, tiny, wherever it is; its shares are of what is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.device_peaks import peaks_of
from benchmarks.generation_device import Point, main
from benchmarks.generation_device_model import SIZES


def test_every_measurement_is_in_the_table_and_in_the_document(tmp_path: Path, capsys) -> None:
    written = tmp_path / "points.json"
    sizes = ["--rows", "2", "--context", "64", "--chunk", "64", "--rounds", "1"]
    assert main([*sizes, "-o", str(written)]) == 0
    points = json.loads(written.read_bytes())["points"]
    assert {point["what"] for point in points} == {
        "decode, 1 layer", "chunk, 1 layer", "decode step", "prefill step",
    }  # fmt: skip
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(table) == len(points) + 1
    assert all(point["seconds"] > 0 for point in points)


def test_shares_are_of_the_devices_peaks() -> None:
    point = Point("decode", "8b", "xla", "bfloat16", 8, 1024, 8, seconds=0.01, bytes=24e9, flop=98.9e10)
    assert point.shares(peaks_of("NVIDIA H200")) == pytest.approx((0.5, 0.1))
    assert point.shares(peaks_of("cpu")) == (None, None)


def test_published_sizes_have_about_the_parameters_of_their_names() -> None:
    """Besides the table of input words, which a step does not read."""
    billions = {name: sizes.read_elements / 1e9 for name, sizes in SIZES.items()}
    assert billions["1b"] == pytest.approx(1.24, rel=0.01)
    assert billions["8b"] == pytest.approx(7.5, rel=0.01)
