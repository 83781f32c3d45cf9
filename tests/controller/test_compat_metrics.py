"""The same numbers under other servers' names, where a deployment asks for them."""

from __future__ import annotations

import asyncio
from contextlib import closing
from urllib.request import Request, urlopen

import pytest

from controller.compat_metrics import KINDS
from controller.security.metrics_endpoint import open_metrics
from tests.controller.test_metrics import some_load, told
from tests.controller.two_fronts import TwoFronts
from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.formats.deployment import parse_deployment

VLLM = {
    "vllm:num_requests_waiting",
    "vllm:num_requests_running",
    "vllm:kv_cache_usage_perc",
    "vllm:lora_requests_info",
    "vllm:time_to_first_token_seconds",
    "vllm:e2e_request_latency_seconds",
}
TRITON = {
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_pending_request_count",
    "nv_inference_queue_duration_us",
}


@pytest.mark.parametrize("compat", [(), ("vllm",), ("triton",), ("vllm", "triton")])
def test_other_names_are_there_only_where_they_were_asked_for(compat: tuple[str, ...]):
    async def story(fleet: TwoFronts) -> None:
        await some_load(fleet)
        others = {name for name in fleet.scraped() if not name.startswith("statmux_")}
        assert others == (VLLM if "vllm" in compat else set()) | (TRITON if "triton" in compat else set())

    told(story, compat=compat)


def test_vllms_names_say_what_ours_say():
    async def story(fleet: TwoFronts) -> None:
        await some_load(fleet)
        calls = [asyncio.ensure_future(fleet.encode()) for _ in range(4)]
        await asyncio.sleep(0.001)
        fleet.beat()
        await asyncio.sleep(0)
        for theirs, ours in (("waiting", "queue"), ("running", "running")):
            value = fleet.value(f"vllm:num_requests_{theirs}", model_name="encode")
            groups = [
                fleet.value(f"statmux_{ours}_requests", model="encode", group=group) for group in ("g0", "g1")
            ]
            assert value == sum(groups)
        usage = fleet.value("statmux_kv_cache_usage_ratio", model="chat", group="g0")
        assert fleet.value("vllm:kv_cache_usage_perc", model_name="chat") == usage
        first, counted = "vllm:time_to_first_token_seconds", "statmux_time_to_first_token_seconds"
        assert fleet.value(f"{first}_count", model_name="chat") == 4
        for end, more in (("sum", {}), ("bucket", {"le": "0.04"})):
            assert fleet.value(f"{first}_{end}", model_name="chat", **more) == fleet.value(
                f"{counted}_{end}", model="chat", **more
            )
        served = [
            fleet.value("statmux_request_duration_seconds_count", model="encode", group=group) or 0
            for group in ("g0", "g1")
        ]
        assert fleet.value("vllm:e2e_request_latency_seconds_count", model_name="encode") == sum(served) > 0
        nobody = {"max_lora": "0", "running_lora_adapters": "", "waiting_lora_adapters": ""}
        assert fleet.value("vllm:lora_requests_info", **nobody) > 0
        await asyncio.gather(*calls)

    told(story, compat=("vllm",))


def test_tritons_names_say_what_ours_say():
    async def story(fleet: TwoFronts) -> None:
        await asyncio.gather(*(fleet.encode() for _ in range(30)))
        labels = {"model": "encode", "version": "1"}
        good = fleet.value("nv_inference_request_success", **labels)
        refused = fleet.value("nv_inference_request_failure", reason="REJECTED", **labels)
        assert good + refused == 30
        assert refused == fleet.value(
            "statmux_requests_rejected_total", model="encode", reason="slo_infeasible"
        )
        waited_s = [
            fleet.value("statmux_queue_duration_seconds_sum", model="encode", group=group) or 0
            for group in ("g0", "g1")
        ]
        assert fleet.value("nv_inference_queue_duration_us", **labels) == int(sum(waited_s) * 1e6) > 0
        fleet.beat()
        await asyncio.sleep(0)
        assert fleet.value("nv_inference_pending_request_count", **labels) == 0

    told(story, compat=("triton",))


def test_who_asks_for_openmetrics_gets_the_names_as_they_are_too():
    async def story(fleet: TwoFronts) -> None:
        await some_load(fleet)
        running = open_metrics(fleet.metrics[0].registry, host="127.0.0.1", port=0)
        asked = Request(f"http://127.0.0.1:{running.port}/metrics")
        asked.add_header(
            "Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        )
        with closing(running), urlopen(asked) as answer:
            text = answer.read().decode()
        assert 'nv_inference_request_success{model="encode",version="1"}' in text
        assert 'vllm:num_requests_waiting{model_name="encode"}' in text
        assert 'vllm:e2e_request_latency_seconds_bucket{le="+Inf",model_name="encode"}' in text

    told(story, compat=tuple(KINDS))


def test_a_deployment_names_the_servers_whose_names_it_wants():
    def parsed(compat: str) -> Deployment:
        text = f"models: [{{name: a, source: s}}]\nobservability: {{metrics: {{compat: {compat}}}}}"
        return parse_deployment(text, name="d.yaml", read_profile=lambda _: None)

    assert parsed("[]").metrics.compat == ()
    asked = parsed("[vllm, triton]")
    assert asked.metrics.compat == ("vllm", "triton")
    assert not [key for key in asked.accepted_only if "compat" in key]
    with pytest.raises(InvalidInput, match="compat"):
        parsed("[another]")
