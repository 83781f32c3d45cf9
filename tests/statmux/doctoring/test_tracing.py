"""Traces: what would become of them."""

from __future__ import annotations

import socket

import pytest

from statmux.doctoring.finding import Level
from statmux.doctoring.tracing import tracing_findings
from vocabulary.deployment import Deployment
from vocabulary.mesh import Cluster
from vocabulary.tracing import Tracing


def fleet(endpoint: str | None) -> Deployment:
    return Deployment("demo", Cluster(()), (), tracing=Tracing(endpoint, sample_ratio=0.25))


@pytest.mark.parametrize("deployment", [None, fleet(None)])
def test_where_no_traces_are_asked_for_nothing_is_said(deployment: Deployment | None):
    assert list(tracing_findings(deployment)) == []


def test_a_collector_that_answers_is_well_and_one_that_does_not_is_told_with_why():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        (found,) = tracing_findings(fleet(endpoint))
        assert found.level is Level.OK
        assert found.words.startswith(f"0.25 of the requests without a trace to {endpoint}")
    (found,) = tracing_findings(fleet(endpoint))
    assert found.level is Level.WARN
    assert "refused" in found.words
    assert "until then they are dropped" in found.remedy
