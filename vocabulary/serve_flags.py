"""What the command line of `statmux serve` says besides the file; it holds for files applied later, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import combinations

from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class ServeFlags:
    """None: as the file has it. engine: of all models."""

    engine: str | None = None
    grpc_port: int | None = None
    http_port: int | None = None
    metrics_port: int | None = None

    def applied_to(self, deployment: Deployment) -> Deployment:
        """The file's deployment as it is served. Raises InvalidInput where two endpoints have one port."""
        if self.engine is not None:
            models = tuple(replace(model, engine=self.engine) for model in deployment.models)
            deployment = replace(deployment, models=models)
        ports = {"grpc": self.grpc_port, "http": self.http_port, "metrics": self.metrics_port}
        named = {name: port for name, port in ports.items() if port is not None}
        endpoints = {name: replace(getattr(deployment, name), port=port) for name, port in named.items()}
        deployment = replace(deployment, **endpoints)
        _check_ports(deployment)
        return deployment

    def document(self) -> dict[str, object]:
        """JSON-able, for the journal; `flags_of` reads it."""
        return asdict(self)


def flags_of(document: Mapping[str, object]) -> ServeFlags:
    return ServeFlags(**document)  # type: ignore[arg-type]


def _check_ports(deployment: Deployment) -> None:
    named = {"gRPC": deployment.grpc.port, "metrics": deployment.metrics.port}
    if deployment.http.is_enabled:
        named["HTTP"] = deployment.http.port
    for (one, port), (other, other_port) in combinations(named.items(), 2):
        if port == other_port != 0:
            flag = "--metrics-port" if "metrics" in (one, other) else "--http-port"
            raise InvalidInput(
                f"{one} and {other} are both on port {port}", hint=f"choose another with {flag}"
            )
