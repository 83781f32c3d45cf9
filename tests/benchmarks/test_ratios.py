"""Medians and paired ratios over rounds, from made-up cells."""

import pytest

from benchmarks.load import Cell
from benchmarks.ratios import BARS, Sample, medians, paired_ratios, table, verdict_line, verdicts

RATE_TO_SERVE, P50_TO_SERVE, _, RATE_TO_ECHO = BARS


def cells(peer, *, rates_rps, p50s_s=(1e-3, 1e-3, 1e-3), num_in_flight=16):
    return [
        Sample(index, peer, Cell(num_in_flight, 100, rate, p50, 2 * p50))
        for index, (rate, p50) in enumerate(zip(rates_rps, p50s_s, strict=False))
    ]


def four_peers(num_in_flight=16):
    return [
        *cells("echo", rates_rps=(6000, 3000, 4000), num_in_flight=num_in_flight),
        *cells("serve-haproxy", rates_rps=(2000, 500, 1600), num_in_flight=num_in_flight),
        *cells("serve-default", rates_rps=(200, 1000, 150), num_in_flight=num_in_flight),
        *cells("statmux", rates_rps=(4000, 2000, 4800), num_in_flight=num_in_flight),
    ]


def test_median_is_taken_over_rounds_for_each_measure_alone():
    (median,) = medians(cells("echo", rates_rps=(3, 1, 2), p50s_s=(1.0, 9.0, 2.0)))
    assert (median.cell.rate_rps, median.cell.p50_s, median.cell.p99_s) == (2, 2.0, 4.0)


def test_better_serve_mode_is_chosen_in_each_round():
    assert paired_ratios(four_peers(), RATE_TO_SERVE) == (2.0, 2.0, 3.0)


def test_lower_latency_of_the_serve_modes_is_the_one_to_beat():
    samples = [
        *cells("serve-haproxy", rates_rps=(1,), p50s_s=(2e-3,), num_in_flight=1),
        *cells("serve-default", rates_rps=(1,), p50s_s=(4e-3,), num_in_flight=1),
        *cells("statmux", rates_rps=(1,), p50s_s=(1e-3,), num_in_flight=1),
    ]
    assert paired_ratios(samples, P50_TO_SERVE) == (pytest.approx(0.5),)


def test_ratio_is_the_median_of_paired_ratios_not_the_ratio_of_medians():
    verdict = next(one for one in verdicts(four_peers()) if one.bar == RATE_TO_ECHO)
    assert verdict.ratio == pytest.approx(4000 / 6000)
    assert verdict.is_met


def test_equal_latency_does_not_meet_the_bar():
    verdict = next(one for one in verdicts(four_peers(num_in_flight=1)) if one.bar == P50_TO_SERVE)
    assert verdict.ratio == 1.0
    assert not verdict.is_met


def test_bars_of_numbers_in_flight_that_were_not_measured_are_left_out():
    assert {one.bar.num_in_flight for one in verdicts(four_peers())} == {16}


def test_without_statmux_there_is_a_table_and_no_verdict():
    samples = [one for one in four_peers() if one.peer != "statmux"]
    assert verdicts(samples) == []
    assert "3000-6000" in table(samples)


def test_line_shows_ratio_bar_and_rounds():
    line = verdict_line(verdicts(four_peers())[0])
    assert line.startswith(
        "statmux / the better Serve mode, rate_rps at 16 in flight: 2.00 (bar >= 1.5, met;"
    )
    assert line.endswith("rounds 2.00 2.00 3.00)")
