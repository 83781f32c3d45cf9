"""`statmux reshard`, as a stranger calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from statmux.main import run

MOVE = ("reshard", "--shape", "4096,4096", "--source", "(2,4):S0,R", "--target", "(3,4):R,S1")


def test_document_holds_bound_plan_bytes_and_strategies(capsys: pytest.CaptureFixture) -> None:
    assert run([*MOVE, "--latency", "0", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["lower_bound_s"] <= document["makespan_s"] <= 1.01 * document["lower_bound_s"]
    assert document["bytes_in"] == {host: 2**25 for host in "234"}
    assert document["strategies"]["send_recv"] > document["strategies"]["broadcast"]
    assert document["estimated"] is True


def test_table_shows_volumes_ways_and_ports(capsys: pytest.CaptureFixture) -> None:
    assert run(MOVE) == 0
    printed = capsys.readouterr().out
    for words in ("lower bound", "local_allgather", "held by hosts", "receives", "messages"):
        assert words in printed


def test_several_targets_are_one_multicast(capsys: pytest.CaptureFixture) -> None:
    assert run([*MOVE, "--target", "(3,4):R,S1", "--latency", "0", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["moved_bytes"] == 6 * 2**25
    assert document["ratio"] <= 1.05


def test_hosts_that_are_shared_keep_what_they_hold(capsys: pytest.CaptureFixture) -> None:
    assert run([*MOVE, "--shared-hosts", "2", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bytes_in"] == {"0": 2**24, "1": 2**24, "2": 2**25}
    assert set(document["strategies"].values()) == {None}


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_plot_draws_the_messages(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"plan{suffix}"
    assert run([*MOVE, "--plot", str(path)]) == 0
    assert path.read_bytes().startswith(b"<?xml" if suffix == ".svg" else b"\x89PNG")


def test_plot_of_thousands_of_messages_stays_small_and_names_the_colours(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "plan.svg"
    assert run([*MOVE, "--latency", "0", "--plot", str(path), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_messages"] > 4000
    drawn = path.read_text()
    assert len(drawn) < 2**18
    assert "0 to 2, 3, 4" in drawn
    assert "host 0 receives" not in drawn  # Nothing comes there.


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--dtype", "int3"), "unknown type 'int3'"),
        (("--shape", "4096,0"), "has 0 elements in dimension 1"),
        (("--shape", "4096x4096"), "is no shape"),
        (("--nic", "100"), "is not a bandwidth"),
        (("--nic", "0Gb/s"), "is no speed of a link"),
        (("--intra", "1e400GB/s"), "is no speed of a link"),
        (("--shared-hosts", "9"), "9 shared hosts, and a mesh of 2"),
        (("--plot", "plan.gif"), "cannot draw"),
        (("--shape", "99999999999999999999,8"), "takes more than 1 EiB"),
        (("--target", "(3,4):R,R,R"), "lays 3 dimensions"),
        (("--target", "(3,4):S0,S0"), "shards 2 dimensions over the hosts"),
        (("--target", "(3,4):S2,R"), "names axis 2"),
        (("--shape", "4096,3"), "'(3,4):R,S1' cuts dimension 1 of 3 elements into 4 shards"),
        (("--target", "(64,128):S01,R"), "'(64,128):S01,R' is a mesh of 64 hosts x 128 devices"),
        (("--target", "(3,0):R,R"), "a mesh of 3 hosts x 0 devices"),
        (("--source", "(256,16):S01,R", "--target", "(256,16):R,S01"), "into 4096 x 4096 cells"),
        (("--source", "(512,1):S0,R", "--target", "(512,1):R,R"), "263680 messages at least"),
        (("--latency", "soon"), "is not a duration"),
        (("--nics", "0"), "'--nics'"),
    ],
)
def test_wrong_flags_get_one_error_with_a_remedy(
    flags: tuple[str, ...], words: str, capsys: pytest.CaptureFixture
) -> None:
    assert run([*MOVE, *flags]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "hint:" in error


def test_times_of_small_moves_are_no_zeros(capsys: pytest.CaptureFixture) -> None:
    words = ("reshard", "--shape", "64,64", "--source", "(1,4):S0,R", "--target", "(2,2):S0,S1")
    assert run(words) == 0
    assert " 0.0 ms" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("target", "words"),
    [("(2,4):S0,R", "nowhere: every device holds its part already"), ("(2,4):S0,S1", "nowhere")],
)
def test_what_stays_where_it_is_needs_no_table(
    target: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    flags = ("--shape", "64,64", "--source", "(2,4):S0,R", "--target", target, "--shared-hosts", "2")
    assert run(["reshard", *flags, "--plot", str(tmp_path / "empty.svg")]) == 0
    assert words in capsys.readouterr().out


def test_what_moves_between_devices_of_a_host_is_told_so(capsys: pytest.CaptureFixture) -> None:
    flags = ("--shape", "64,64", "--source", "(1,4):S1,R", "--target", "(1,4):R,S1", "--shared-hosts", "1")
    assert run(["reshard", *flags]) == 0
    assert "inside the hosts only" in capsys.readouterr().out


def test_half_duplex_and_several_ports_change_the_bound(capsys: pytest.CaptureFixture) -> None:
    bounds = []
    for flags in ((), ("--nics", "2"), ("--half-duplex",)):
        move = ("--shape", "4096,4096", "--source", "(1,4):R,R", "--target", "(2,4):R,R", "--latency", "0")
        assert run(["reshard", *move, *flags, "-o", "json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["ratio"] <= 1.02
        bounds.append(document["lower_bound_s"])
    # One message at a time among three hosts that send or receive.
    assert bounds == pytest.approx([bounds[0], bounds[0] / 2, bounds[0] * 2])


def test_a_plot_that_cannot_be_written_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    assert run([*MOVE, "--plot", str(tmp_path / "file" / "plan.svg")]) == 1
    assert "cannot be written" in capsys.readouterr().err
