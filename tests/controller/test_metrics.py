"""What a scrape says of fleets that serve, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from controller.journal import NoJournal
from controller.journal.metrics import JournalMetrics
from controller.metric_families import catalogue
from controller.plan_facts import PlanFacts
from controller.tracing.metrics import TracingMetrics
from tests.controller.two_fronts import (
    DEVICE_BYTES,
    ENCODE_S,
    NUM_PAGES,
    PAGE_TOKENS,
    PLACEMENT,
    WEIGHT_BYTES,
    TwoFronts,
)
from tests.virtual_loop import VirtualLoop
from workers.busy_shares import BusyShares
from workers.multicast import STORE, Load

Story = Callable[[TwoFronts], Awaitable[None]]
_CREATED = "_created"


def told(story: Story, *, compat: tuple[str, ...] = ()) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(story(TwoFronts(loop, loop.soon, compat=compat)))
    finally:
        loop.close()


async def some_load(fleet: TwoFronts) -> None:
    """12 calls of encode and 4 of chat by each front end, at once: some of them are refused."""
    calls = [fleet.encode(front) for front in (0, 1) for _ in range(12)]
    calls += [fleet.chat(front, prompt=(front, number) * 6) for front in (0, 1) for number in range(4)]
    await asyncio.gather(*calls)
    fleet.beat()
    await asyncio.sleep(0)


def test_a_scrape_has_the_families_of_the_catalogue_with_their_types_and_labels_and_no_others():
    async def story(fleet: TwoFronts) -> None:
        await some_load(fleet)
        metrics = fleet.metrics[0]
        metrics.registry.register(JournalMetrics(NoJournal()))
        metrics.registry.register(TracingMetrics(None))
        metrics.plan(PlanFacts("abc", "search", {"encode": 0.99}))
        metrics.weights_loaded("g0", (Load("encode", STORE, 100, 2.0, compile_s=3.0),))
        found = fleet.scraped()
        known = {family.name.removesuffix("_total"): family for family in catalogue()}
        assert set(found) == set(known)
        for name, family in known.items():
            assert (found[name].type, found[name].documentation) == (family.kind, family.words)
            samples = [one for one in found[name].samples if not one.name.endswith(_CREATED)]
            assert samples, name
            for sample in samples:
                assert set(sample.labels) - {"le"} == set(family.labels), sample
                for label, values in (family.values or {}).items():
                    assert sample.labels[label] in values, sample

    told(story)


def test_help_texts_are_sentences_that_stand_alone_and_names_have_units():
    for family in catalogue():
        assert (family.words.endswith(".") and family.words[0].isupper()) or family.words[0] == "1", family
        assert family.name.startswith("statmux_")
        assert not {"ms", "us", "milliseconds", "percent", "mb"} & set(family.name.split("_")), family.name
    names = [family.name for family in catalogue()]
    assert len(set(names)) == len(names)


def test_no_label_holds_an_id_or_what_a_client_made_up():
    async def story(fleet: TwoFronts) -> None:
        await some_load(fleet)
        allowed = {"encode", "chat", "g0", "g1", "n-0", "n-1", "default", "grpc_v2", "openai", "OK", ""}
        allowed |= {device.id for device in fleet.fronts[0].deployment.cluster.devices}
        allowed |= {"0", "1", "latency", "ttft", "tpot", "slo_infeasible", "RESOURCE_EXHAUSTED"}
        allowed |= {"READY", "LOADING", "UNLOADING", "FAILED", "UNAVAILABLE"}
        for name, family in fleet.scraped().items():
            for sample in family.samples:
                free = {value for label, value in sample.labels.items() if label != "le"}
                assert name.endswith("_info") or free <= allowed, sample

    told(story)


def test_every_call_is_counted_once_by_the_front_end_that_answers_it():
    async def story(fleet: TwoFronts) -> None:
        await asyncio.gather(*(fleet.encode(0) for _ in range(3)), fleet.encode(1), fleet.chat(1))
        labels = {"protocol": "grpc_v2", "code": "OK", "slo_class": "default"}
        assert fleet.value("statmux_requests_total", 0, model="encode", **labels) == 3
        assert fleet.value("statmux_requests_total", 1, model="encode", **labels) == 1
        labels["protocol"] = "openai"
        assert fleet.value("statmux_requests_total", 1, model="chat", **labels) == 1
        served = [
            fleet.value("statmux_request_duration_seconds_count", 0, model="encode", group=group) or 0
            for group in ("g0", "g1")
        ]
        assert sum(served) == 3
        assert fleet.value("statmux_input_tokens_total", 1, model="chat") == 12
        assert fleet.value("statmux_output_tokens_total", 1, model="chat") == 8
        assert fleet.value("statmux_inter_token_latency_seconds_count", 1, model="chat") == 7
        for objective in ("latency", "ttft", "tpot"):
            assert fleet.value("statmux_slo_met_total", 1, model="chat", objective=objective) == 1

    told(story)


def test_what_a_change_brings_is_there_at_zero_before_anybody_asks_for_it():
    """A rate that begins with its first sample misses the first fault."""

    async def story(fleet: TwoFronts) -> None:
        front = fleet.fronts[0]
        first, *others = front.deployment.models
        front.adopt(replace(front.deployment, models=(replace(first, name="later"), first, *others)))
        assert fleet.value("statmux_slo_missed_total", model="later", objective="latency") == 0
        assert fleet.value("statmux_requests_retried_total", model="later") == 0

    told(story)


def test_attainment_is_met_over_all_and_what_is_refused_has_missed():
    async def story(fleet: TwoFronts) -> None:
        answers = await asyncio.gather(*(fleet.encode() for _ in range(40)))
        refused = [one for one in answers if hasattr(one, "reason")]
        met = fleet.value("statmux_slo_met_total", model="encode", objective="latency")
        missed = fleet.value("statmux_slo_missed_total", model="encode", objective="latency")
        assert 0 < len(refused) < 40
        assert (met, missed) == (40 - len(refused), len(refused))
        turned_away = fleet.value("statmux_requests_rejected_total", model="encode", reason="slo_infeasible")
        assert turned_away == len(refused)
        assert fleet.value("statmux_slo_target_ratio", model="encode") == 0.9
        assert fleet.value("statmux_slo_target_ratio", model="chat") is None

    told(story)


def test_objectives_and_losses_are_counted_from_zero_so_that_rates_see_the_first():
    async def story(fleet: TwoFronts) -> None:
        assert fleet.value("statmux_slo_met_total", model="encode", objective="latency") == 0
        assert fleet.value("statmux_slo_missed_total", model="encode", objective="latency") == 0
        assert fleet.value("statmux_slo_missed_total", model="chat", objective="tpot") == 0
        assert fleet.value("statmux_slo_missed_total", model="encode", objective="tpot") is None
        assert fleet.value("statmux_groups_lost_total", group="g1") == 0

    told(story)


def test_gauges_say_what_waits_and_runs_of_each_model_alike_on_both_front_ends():
    async def story(fleet: TwoFronts) -> None:
        calls = [asyncio.ensure_future(fleet.encode(0)) for _ in range(6)]
        chats = [asyncio.ensure_future(fleet.chat(1)) for _ in range(2)]
        await asyncio.sleep(ENCODE_S / 4)
        fleet.beat()
        await asyncio.sleep(0)
        for name in ("statmux_queue_requests", "statmux_running_requests"):
            both = [
                {
                    (model, group): fleet.value(name, front, model=model, group=group)
                    for group, model in (("g0", "encode"), ("g1", "encode"), ("g0", "chat"))
                }
                for front in (0, 1)
            ]
            assert both[0] == both[1]
        encodes = [
            fleet.value(f"statmux_{name}_requests", model="encode", group=group)
            for name in ("queue", "running")
            for group in ("g0", "g1")
        ]
        assert sum(encodes) == 6
        # One at least runs, and no stage has two.
        assert 1 <= encodes[2] + encodes[3] <= 3
        of_chat = [
            fleet.value(f"statmux_{one}_requests", model="chat", group="g0") for one in ("queue", "running")
        ]
        assert sum(of_chat) == 2
        await asyncio.gather(*calls, *chats)
        fleet.beat()
        await asyncio.sleep(0)
        assert fleet.value("statmux_running_requests", model="encode", group="g1") == 0
        assert fleet.value("statmux_queue_requests", model="chat", group="g0") == 0

    told(story)


def test_memory_of_emulated_devices_is_weights_and_pages_of_all_that_a_device_has():
    async def story(fleet: TwoFronts) -> None:
        fleet.beat()
        await asyncio.sleep(0)
        cache = NUM_PAGES * PAGE_TOKENS
        expected = {
            "n-0:0": 2 * WEIGHT_BYTES + cache,
            "n-0:1": 2 * WEIGHT_BYTES + cache,
            "n-1:0": WEIGHT_BYTES,
        }
        for group in PLACEMENT.groups:
            for device in group.devices:
                labels = {"node": device.partition(":")[0], "device": device, "group": group.id}
                assert fleet.value("statmux_device_memory_used_bytes", **labels) == expected[device]
                assert fleet.value("statmux_device_memory_total_bytes", **labels) == DEVICE_BYTES
        free = {"node": "n-1", "device": "n-1:1", "group": ""}
        assert fleet.value("statmux_device_memory_total_bytes", **free) == DEVICE_BYTES
        assert fleet.value("statmux_device_memory_used_bytes", **free) is None

    told(story)


def test_a_device_is_busy_for_the_share_of_time_that_its_stage_works():
    async def story(fleet: TwoFronts) -> None:
        fleet.beat()
        for _ in range(5):
            await fleet.encode()
            await asyncio.sleep(ENCODE_S)
        fleet.beat()
        await asyncio.sleep(0)
        busy = {
            group: fleet.value("statmux_group_stage_busy_seconds_total", group=group, stage="0")
            for group in ("g0", "g1")
        }
        # Alone, a call takes 20 ms on either group: 10 of each stage of g0.
        assert busy["g0"] * 2 + busy["g1"] == pytest.approx(5 * ENCODE_S)
        for device, group in (("n-0:0", "g0"), ("n-0:1", "g0"), ("n-1:0", "g1")):
            ratio = fleet.value("statmux_device_busy_ratio", node=device[:3], device=device, group=group)
            assert ratio == pytest.approx(busy[group] / (10 * ENCODE_S))

    told(story)


def test_a_share_of_work_is_of_the_last_window_and_never_more_than_all():
    shares = BusyShares(window_s=10.0)
    assert shares.of((0.0, 0.0), now_s=100.0) == (0.0, 0.0)
    assert shares.of((2.0, 4.0), now_s=104.0) == (0.5, 1.0)
    # Work is told when it begins: a batch of 20 s.
    assert shares.of((2.0, 24.0), now_s=105.0) == (0.4, 1.0)
    for second in range(106, 120):
        last = shares.of((2.0, 24.0), now_s=float(second))
    assert last == (0.0, 0.0)


def test_a_group_that_is_lost_is_down_and_its_beats_are_not_told_any_more():
    async def story(fleet: TwoFronts) -> None:
        fleet.beat()
        await asyncio.sleep(0)
        assert fleet.value("statmux_group_up", group="g1") == 1
        fleet.lose(1)
        await asyncio.sleep(0)
        assert fleet.value("statmux_group_up", group="g1") == 0
        assert fleet.value("statmux_groups_lost_total", group="g1") == 1
        assert fleet.value("statmux_queue_requests", model="encode", group="g1") is None
        assert fleet.value("statmux_model_state", model="encode", group="g1", state="READY") == 0
        assert fleet.value("statmux_model_state", model="encode", group="g1", state="FAILED") == 1
        assert fleet.value("statmux_model_state", model="encode", group="g1", state="UNAVAILABLE") == 0
        assert fleet.value("statmux_group_up", group="g0") == 1

    told(story)


def test_each_load_is_counted_once_however_often_a_worker_tells_of_it():
    async def story(fleet: TwoFronts) -> None:
        metrics = fleet.metrics[0]
        first = Load("encode", STORE, 100, 2.0, compile_s=3.0)
        second = Load("chat", "g1", 50, 0.5, compile_s=0.25)
        metrics.weights_loaded("g0", (first,))
        metrics.weights_loaded("g0", (first, second))
        metrics.weights_loaded("g0", (first, second))
        labels = {"model": "encode", "group": "g0"}
        assert fleet.value("statmux_model_load_duration_seconds_count", **labels) == 1
        assert fleet.value("statmux_model_load_duration_seconds_sum", **labels) == 5.0
        assert fleet.value("statmux_weights_load_seconds", origin="store", **labels) == 2.0
        assert fleet.value("statmux_reshard_bytes_total", **labels) == 0
        assert fleet.value("statmux_reshard_bytes_total", model="chat", group="g0") == 50
        metrics.weights_loaded("g0", (Load("encode", STORE, 100, 1.0),))
        assert fleet.value("statmux_model_load_duration_seconds_count", **labels) == 2

    told(story)


def test_a_plan_takes_the_place_of_the_one_before():
    async def story(fleet: TwoFronts) -> None:
        metrics = fleet.metrics[0]
        metrics.plan(PlanFacts("abc", "search", {"encode": 0.99}))
        metrics.plan(PlanFacts("def", "by hand", {}))
        assert fleet.value("statmux_plan_info", plan_id="abc", algorithm="search") is None
        assert fleet.value("statmux_plan_info", plan_id="def", algorithm="by hand") == 1
        assert fleet.value("statmux_plan_predicted_attainment_ratio", model="encode") is None

    told(story)


def test_counters_and_buckets_never_go_down():
    async def story(fleet: TwoFronts) -> None:
        scrapes = []
        for _ in range(4):
            await some_load(fleet)
            scrapes.append(
                {
                    (sample.name, *sorted(sample.labels.items())): sample.value
                    for family in fleet.scraped().values()
                    if family.type in ("counter", "histogram")
                    for sample in family.samples
                }
            )
        for before, after in pairwise(scrapes):
            assert before.keys() <= after.keys()
            assert all(value <= after[key] for key, value in before.items())
        assert scrapes[0] != scrapes[-1]

    told(story)


def test_prefixes_that_came_before_are_hits():
    async def story(fleet: TwoFronts) -> None:
        for _ in range(2):
            await fleet.chat(prompt=tuple(range(13)))
        fleet.beat()
        await asyncio.sleep(0)
        labels = {"model": "chat", "group": "g0"}
        assert fleet.value("statmux_prefix_cache_queries_total", **labels) == 26
        assert fleet.value("statmux_prefix_cache_hits_total", **labels) == 12
        assert 0 <= fleet.value("statmux_kv_cache_usage_ratio", **labels) <= 1
        assert fleet.value("statmux_preemptions_total", **labels) == 0

    told(story)
