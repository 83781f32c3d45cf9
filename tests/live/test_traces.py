"""Traces of a fleet of two front ends that computes: one model on two hosts, one that generates.

The collector is this process. The last test stops the fleet: what is not sent yet is sent then.
"""

from __future__ import annotations

import json
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.controller.tracing.collector import Collector, Got, collecting
from tests.controller.tracing.traced_fleet import PARENT_ID, TRACE_ID, traceparent
from tests.live.fleet_files import CHAT_LENGTH, CHAT_PAGES, GPT2, SEQUENCE_LENGTH, write_chat, write_profile
from tests.live.fleet_process import ServedFleet

pytestmark = pytest.mark.cluster
ROUNDING_S = 1e-6
_DEPLOYMENT = f"""\
api_version: v1alpha1
kind: Deployment
metadata: {{name: traced}}
cluster:
  nodes:
  - {{name: n, count: 2, devices: {{type: cpu, count: 2, memory: 64GiB}}}}
serving:
  front_ends: 2
  drain: {{readiness_lead_s: 0, graceful_shutdown_timeout_s: 20}}
models:
- name: gpt2
  source: "{GPT2}"
  profile: large.json
  batch_sizes: [1]
  sequence_lengths: [{SEQUENCE_LENGTH}]
- name: chat
  source: ./chat
  task: generate
  profile: chat.json
  max_model_len: {CHAT_LENGTH}
  batching: {{max_batch_size: 2, max_batch_tokens: 16}}
  kv_cache: {{num_pages: {CHAT_PAGES}, block_size: 8}}
"""
_PLAN = """\
api_version: v1alpha1
kind: PlacementPlan
groups:
- {id: wide, devices: ["n-0:0", "n-1:0"], tensor: 1, pipeline: 2, models: [gpt2]}
- {id: own, devices: ["n-0:1"], tensor: 1, pipeline: 1, models: [chat]}
"""
# Of so many connections, all go to one of two front ends once in 2 ** 23 times.
NUM_CONNECTIONS = 24


@dataclass(frozen=True, slots=True)
class Traced:
    fleet: ServedFleet
    collector: Collector
    http: str

    def post(self, path: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
        """On a connection of its own."""
        headers = {"content-type": "application/json", **headers}
        asked = urllib.request.Request(f"http://{self.http}{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(asked, timeout=60.0) as reply:
            return json.load(reply)


@pytest.fixture(scope="module")
def traced() -> Iterator[Traced]:
    with tempfile.TemporaryDirectory(prefix="live-") as path, ExitStack() as stack:
        collector = stack.enter_context(collecting())
        folder = Path(path)
        write_profile(folder / "large.json", stage_s=0.002, weight_bytes=4 * 10**9)
        write_profile(folder / "chat.json", stage_s=0.002, generates=True)
        write_chat(folder / "chat")
        (folder / "deployment.yaml").write_text(_DEPLOYMENT)
        (folder / "plan.yaml").write_text(_PLAN)
        fleet = ServedFleet(
            folder,
            *("--set", f"observability.tracing.otlp_endpoint={collector.endpoint}"),
            *("--set", "observability.tracing.sample_ratio=1"),
        )
        stack.callback(fleet.kill)
        fleet.until_ready()
        yield Traced(fleet, collector, fleet.ask("status")["endpoints"]["http"])


def below(spans: list[Got], one: Got) -> list[Got]:
    return [each for each in spans if each.parent_id == one.span_id]


def test_a_call_over_two_hosts_tells_its_stages_and_what_crossed(traced: Traced):
    inputs = [{"name": "input_ids", "datatype": "INT64", "shape": [1, 5], "data": [1, 2, 3, 4, 5]}]
    for _ in range(NUM_CONNECTIONS):
        traced.post("/v2/models/gpt2/infer", {"inputs": inputs})
    traced.collector.has(NUM_CONNECTIONS)
    wholes = [one for one in traced.collector.servers() if one.name == "infer gpt2"]
    assert len(wholes) == len({one.trace_id for one in wholes}) == NUM_CONNECTIONS
    # The kernel deals connections out to both front ends, and each tells of its own calls.
    assert {one.resource["statmux.front"] for one in wholes} == {0, 1}
    for whole in wholes:
        parts = below(traced.collector.of(whole.trace_id), whole)
        assert [one.name for one in parts][1:] == [
            "queue",
            "stage 0",
            "transfer 0 to 1",
            "stage 1",
            "transfer of results",
        ]
        assert whole.start_s - ROUNDING_S <= parts[0].start_s
        assert parts[-1].end_s <= whole.end_s + ROUNDING_S
        assert all(before.end_s <= after.start_s + ROUNDING_S for before, after in pairwise(parts))
        assert parts[3].attributes["statmux.to_devices"] == ["n-1:0"]


def test_a_chat_tells_its_prompt_and_its_tokens(traced: Traced):
    asked = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 6}
    reply = traced.post("/v1/chat/completions", asked, traceparent=traceparent())
    traced.collector.has(NUM_CONNECTIONS + 1)
    spans = traced.collector.of(TRACE_ID)
    (whole,) = (one for one in spans if one.parent_id == PARENT_ID)
    assert whole.name == "chat chat"
    assert [one.name for one in below(spans, whole)][-2:] == ["prefill", "decode"]
    prefill = below(spans, whole)[-2]
    assert [one.name for one in below(spans, prefill)] == ["stage 0"]
    usage = reply["usage"]
    assert whole.attributes["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert whole.attributes["gen_ai.usage.output_tokens"] == usage["completion_tokens"]


def test_what_was_not_sent_yet_is_sent_when_the_fleet_stops(traced: Traced):
    with pytest.raises(urllib.error.HTTPError):
        traced.post("/v2/models/nobody/infer", {"inputs": []})
    stopped = traced.fleet.run_verb("stop", "--wait", "-o", "json")
    assert stopped.returncode == 0, stopped.stderr
    assert traced.fleet.wait() == 0, traced.fleet.said
    traced.fleet.check_clean_end()
    assert "unknown_model" in [one.attributes.get("error.type") for one in traced.collector.servers()]
