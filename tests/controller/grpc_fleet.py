"""The fleet that the endpoint's tests serve, and how they serve it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controller.calls import Reason, Refusal
from controller.fleet import Fleet
from controller.grpc_v2.echo_fleet import EchoFleet, echo_view
from controller.grpc_v2.server import start_grpc
from vocabulary.tensors import DATATYPES, TensorSpec

X = TensorSpec("x", "FP32", (-1, 4))
# One input of two elements for each datatype, named like it.
EVERY_TYPE = tuple(TensorSpec(datatype, datatype, (2,)) for datatype in DATATYPES)
REFUSALS = {
    "busy": Refusal(Reason.QUEUE_FULL, "64 requests wait, as many as may", retry_after_s=0.25),
    "late": Refusal(Reason.SLO_INFEASIBLE, "would finish after 0.120 s, the SLO is 0.100 s"),
}


def story_fleet() -> EchoFleet:
    """echo, text and every answer; busy and late refuse; stuck never answers."""
    views = [
        echo_view("echo", X),
        echo_view("text", TensorSpec("text", "BYTES", (-1,))),
        echo_view("every", *EVERY_TYPE),
        *(echo_view(name, X) for name in ("busy", "late", "stuck")),
    ]
    return EchoFleet(views, refusals=REFUSALS, stuck=frozenset({"stuck"}))


@asynccontextmanager
async def serving(fleet: Fleet) -> AsyncIterator[str]:
    """The address of an endpoint of `fleet`."""
    endpoint = await start_grpc(fleet, port=0)
    try:
        yield f"127.0.0.1:{endpoint.port}"
    finally:
        await endpoint.stop(0.0)
