"""A group that is lost while it serves, on a virtual clock: what its calls' traces tell."""

from __future__ import annotations

import asyncio
import contextvars

from controller.calls import InferCall, InferReply, Reason, Refusal
from controller.metrics import FleetMetrics
from controller.server import FleetServer
from controller.tracing.outbox import Outbox
from controller.tracing.spans import spans_of
from controller.tracing.tracer import Tracer
from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from tests.controller.tracing.test_outbox import PATIENCE_S, GatedSender
from tests.virtual_loop import VirtualLoop
from tests.workers.group_visits import INPUT
from vocabulary.deployment import Deployment, ModelSpec, Policy
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from workers.emulated_engine import EmulatedEngine
from workers.link import memory_pair
from workers.server import GroupServer

STAGE_S, LOST_S = 0.1, 0.05
POLICY = Policy(router="round_robin", admission="none")


def served(loop: VirtualLoop, tracer: Tracer) -> FleetServer:
    """m on g0 and on g1."""
    entry = ProfileEntry(ParallelConfig(), (1,), {}, {1: (STAGE_S,)})
    profile = profile_of("m", "cpu", [entry], provenance=Provenance("imported"))
    models = (ModelSpec("m", profile=profile, engine="emulated"),)
    deployment = Deployment("virtual", Cluster((NodeClass("n", 1, "cpu", 2, 100),)), models, policy=POLICY)
    groups = tuple(Group(f"g{index}", (f"n-0:{index}",), ParallelConfig(), ("m",)) for index in range(2))
    placement, catalog = Placement(groups), deployment.catalog()
    server = FleetServer(
        deployment,
        placement,
        ClusterScheduler(placement, catalog=catalog, policy=POLICY),
        clock=loop.time,
        soon=loop.soon(0),
        metrics=FleetMetrics(deployment.model_names),
        tracer=tracer,
    )
    for index, group in enumerate(groups):
        engine = EmulatedEngine(group, catalog=catalog, loop=loop)
        machine = GroupScheduler(group, catalog=catalog, policy=POLICY)
        worker = GroupServer(machine, engine, loop=loop, soon=loop.soon(1 + index))
        down, up = memory_pair(lambda frame, index=index: server.receive(index, frame), worker.receive)
        worker.attach(up)
        server.open_group(index, down, engine.interfaces())
    return server


def test_a_call_that_had_not_begun_tells_both_groups_and_one_that_had_is_lost():
    loop, sender = VirtualLoop(), GatedSender()
    sender.opened.set()
    outbox = Outbox(sender, max_waiting=100, interval_s=60.0)
    outbox.start()
    tracer = Tracer(outbox, sample_ratio=1.0, clock=loop.time, unix=loop.time)

    async def ask(server: FleetServer, number: int) -> InferReply | Refusal:
        tracer.receive(lambda name: None)
        return await server.infer(InferCall(str(number), "m", "", INPUT))

    async def story() -> list[InferReply | Refusal]:
        server = served(loop, tracer)
        loop.call_at(LOST_S, server.lose_group, 0, "it is gone")
        tasks = [loop.create_task(ask(server, number), context=contextvars.Context()) for number in range(4)]
        return await asyncio.gather(*tasks)

    try:
        answers = loop.run_until_complete(story())
    finally:
        loop.close()
    outbox.close(PATIENCE_S)
    # Two calls a group: the first of g0 had begun, the second goes to g1, before one that came later.
    assert [one.reason for one in answers if isinstance(one, Refusal)] == [Reason.LOST]
    wholes = {letter.record.call_id: spans_of(letter.record) for letter in sender.sent}
    (lost,) = (one for one in wholes.values() if one[0].error)
    assert (lost[0].attributes["error.type"], lost[0].end_s) == ("lost", LOST_S)
    (again,) = (one for one in wholes.values() if one[0].attributes["statmux.tries"] == 2)
    whole, queue, stage = again
    assert [(one.name, one.at_s) for one in whole.events] == [("retry: the group before was lost", LOST_S)]
    assert [one.attributes["statmux.group"] for one in queue.events] == ["g0", "g1"]
    assert whole.attributes["statmux.group"] == "g1"
    assert (queue.end_s, stage.start_s, stage.end_s) == (STAGE_S, STAGE_S, whole.end_s)
