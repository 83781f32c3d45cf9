"""Whether what traces need is installed: OpenTelemetry's SDK and its exporter over OTLP and gRPC."""

from __future__ import annotations

from importlib.util import find_spec

from vocabulary.errors import InvalidInput
from vocabulary.tracing import HOW_TO_INSTALL, Tracing

PACKAGES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.grpc.trace_exporter")


def missing(packages: tuple[str, ...] = PACKAGES) -> tuple[str, ...]:
    """Those that are not there. Imports nothing of size."""
    return tuple(name for name in packages if not _is_there(name))


def check(tracing: Tracing, *, packages: tuple[str, ...] = PACKAGES) -> None:
    """Raises InvalidInput where traces are asked for and cannot be made."""
    lacking = missing(packages) if tracing.otlp_endpoint is not None else ()
    if lacking:
        raise InvalidInput(
            f"traces are to go to {tracing.otlp_endpoint}, and {' and '.join(lacking)} is not installed",
            where="observability.tracing.otlp_endpoint",
            hint=f"{HOW_TO_INSTALL}, or leave the key out",
        )


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
