"""What h2load writes, read back: its log of requests and its summary."""

import numpy as np
import pytest

from benchmarks.load import Call, Counts, check_counts, counts_of, latencies_of
from vocabulary.errors import RuntimeFailure

SUMMARY = """
finished in 1.50s, 5284.67 req/s, 999.38KB/s
requests: 7927 total, 7927 started, 7927 done, 7926 succeeded, 1 failed, 2 errored, 3 timeout
status codes: 7927 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.46MB (1535040) total, 30.47KB (31200) headers (space savings 96.29%), 1.36MB (1421375) data
"""
CALL = Call(port=1, path="/a/b", request=b"", reply_bytes=132)


def test_third_column_of_the_log_is_microseconds():
    log = "1795255270889074\t200\t328\n1795255270889453\t200\t345\n"
    np.testing.assert_allclose(latencies_of(log), [328e-6, 345e-6])


def test_percentiles_are_of_all_requests_in_any_order():
    log = "\n".join(f"1\t200\t{us}" for us in range(1000, 0, -1))
    assert np.percentile(latencies_of(log), 99) == pytest.approx(990.01e-6)


def test_log_without_a_reply_is_refused():
    with pytest.raises(RuntimeFailure, match="not one reply"):
        latencies_of("")


def test_log_with_a_failed_stream_is_refused():
    with pytest.raises(RuntimeFailure, match="1 of 2 replies"):
        latencies_of("1\t200\t328\n2\t-1\t345\n")


def test_summary_gives_successes_losses_and_body_bytes():
    assert counts_of(SUMMARY) == Counts(num_succeeded=7926, num_lost=6, body_bytes=1421375)


def test_output_without_a_summary_is_refused_with_its_end():
    with pytest.raises(RuntimeFailure, match="could not connect"):
        counts_of("could not connect to host")


def test_replies_without_bodies_are_grpc_errors():
    whole = Counts(num_succeeded=10, num_lost=0, body_bytes=10 * 137)
    check_counts(CALL, whole, 1)
    with pytest.raises(RuntimeFailure, match="gRPC errors"):
        check_counts(CALL, Counts(num_succeeded=10, num_lost=0, body_bytes=9 * 137), 1)


def test_lost_requests_void_the_run():
    with pytest.raises(RuntimeFailure, match="2 requests to port 1"):
        check_counts(CALL, Counts(num_succeeded=10, num_lost=2, body_bytes=10 * 137), 1)
