"""A bounded share of `python -m tests.fuzz`: whatever comes in is taken or refused, and in time."""

from __future__ import annotations

import time

import pytest

from tests.fuzz.file_targets import file_targets
from tests.fuzz.mutations import MAX_BYTES, mutated
from tests.fuzz.runner import Target, fuzz
from tests.fuzz.wire_targets import wire_targets

# About ten seconds for all on two cores; parsers of whole days of traffic are slow.
NUM_INPUTS = 200
TARGETS = {target.name: target for target in (*wire_targets(), *file_targets())}


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_comes_in_is_a_bug_of_ours(name: str) -> None:
    target = TARGETS[name]
    num_inputs = max(int(NUM_INPUTS * target.weight * 2), len(target.samples) + 5)
    report = fuzz(target, num_inputs=num_inputs, seed=11)
    assert not report.findings, [(one.words, one.data[:200]) for one in report.findings]
    assert report.num_inputs == num_inputs


@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"v2 gRPC fields", "chat templates", "JSON depth"}))
def test_every_sample_is_taken_as_it_is(name: str) -> None:
    target = TARGETS[name]
    taken = 0
    for sample in target.samples:
        try:
            target.run(sample)
            taken += 1
        except target.expected:
            continue
    assert taken, "no sample is taken, so mutations of them reach nothing"


def test_a_bug_is_found_and_told_with_its_input() -> None:
    def read(data: bytes) -> None:
        if data.count(b"a") > 3:
            raise KeyError("four of them")

    report = fuzz(Target("bug", (b"aaa", b"bbb"), read, ()), num_inputs=500, seed=1)
    assert report.findings and all(one.data.count(b"a") > 3 for one in report.findings)
    assert "KeyError" in report.findings[0].words and "test_fuzz.py" in report.findings[0].words


def test_the_same_seed_gives_the_same_inputs() -> None:
    seen: list[list[bytes]] = []
    for _ in range(2):
        heard: list[bytes] = []
        fuzz(Target("same", (b"one two", b"{}"), heard.append, ()), num_inputs=100, seed=5)
        seen.append(heard)
    assert seen[0] == seen[1] and len(set(seen[0])) > 50
    assert all(len(data) <= MAX_BYTES for data in seen[0])


def test_a_hang_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.runner.HANG_S", 0.05)

    def read(data: bytes) -> None:
        end_s = time.monotonic() + 5
        while time.monotonic() < end_s:
            try:
                sum(range(1000))
            except Exception:
                continue

    report = fuzz(Target("hang", (b"x",), read, ()), num_inputs=1, seed=1)
    assert report.findings[0].words == "took longer than 0.05 s" and report.longest_s < 4


def test_mutations_of_nothing_are_possible() -> None:
    from random import Random

    assert {mutated(b"", (b"",), Random(seed)) for seed in range(200)} > {b"", b"\0"}
