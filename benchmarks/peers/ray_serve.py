"""Ray Serve's gRPC endpoint with one replica of a no-op deployment, in its own Ray cluster.

Two modes. `haproxy` sets what Ray's "high throughput" guide asks for, RAY_SERVE_ENABLE_HA_PROXY=1 and
RAY_SERVE_THROUGHPUT_OPTIMIZED=1: HAProxy on the endpoint's port, a gRPC server inside the replica. `default`
sets nothing. Both raise max_ongoing_requests from 5, which would queue at 16 in flight, and otherwise keep
Serve's defaults.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from benchmarks.peers.ports import free_ports

REPOSITORY = Path(__file__).parents[2]
MAX_ONGOING_REQUESTS = 1000


def environment(mode: str, folder: Path) -> dict[str, str]:
    """What to set before ray is imported: the mode, and ports and files that no other cluster uses."""
    common = {"PYTHONPATH": str(REPOSITORY), "RAY_USAGE_STATS_ENABLED": "0"}
    if mode == "default":
        return common
    metrics, stats, fallback_http, fallback_grpc = free_ports(4)
    http, grpc = free_ports(10), free_ports(10)
    return common | {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback_http),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(fallback_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(http.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(http.stop),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(grpc.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(grpc.stop),
    }


def serve_noop(port: int, folder: Path) -> None:
    """Start a cluster and the deployment. Returns when it is up. Needs `environment` in os.environ."""
    # Both read the environment when they are imported.
    import ray
    from ray import serve

    from benchmarks.peers.wire import noop_reply

    @serve.deployment(max_ongoing_requests=MAX_ONGOING_REQUESTS)
    class Noop:
        async def ModelInfer(self, request: object) -> object:
            return noop_reply(request)

    ray.init(
        num_cpus=4,
        include_dashboard=False,
        _temp_dir=str(folder / "ray"),
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
    )
    grpc_options = {
        "port": port,
        "grpc_servicer_functions": ["benchmarks.peers.wire.add_noop_service"],
    }
    serve.start(http_options={"host": "127.0.0.1", "port": free_ports(1)[0]}, grpc_options=grpc_options)
    serve.run(Noop.bind(), name="noop", route_prefix="/noop")


def stop() -> None:
    import ray
    from ray import serve

    serve.shutdown()
    ray.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=("default", "haproxy"), required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="of this cluster alone; a short path")
    options = parser.parse_args()
    os.environ.update(environment(options.mode, options.folder))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        serve_noop(options.port, options.folder)
        signal.pause()
    finally:
        stop()


if __name__ == "__main__":
    main()
