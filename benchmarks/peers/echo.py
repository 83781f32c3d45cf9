"""The ceiling: a bare grpc.aio server that parses the request, builds the reply and does nothing else."""

from __future__ import annotations

import argparse
import asyncio

import grpc

from benchmarks.peers.wire import add_noop_service, noop_reply


class Echo:
    """The servicer."""

    async def ModelInfer(self, request: object, context: grpc.aio.ServicerContext) -> object:
        return noop_reply(request)


async def serve(port: int) -> None:
    """Answer on loopback until the process is ended."""
    server = grpc.aio.server()
    add_noop_service(Echo(), server)
    assert server.add_insecure_port(f"127.0.0.1:{port}") == port, port
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))
