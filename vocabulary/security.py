"""What a deployment asks of its endpoints: certificates, tokens, and what each token may do."""

from __future__ import annotations

from dataclasses import dataclass

INFER, ADMIN, METRICS = "infer", "admin", "metrics"
SCOPES = (INFER, ADMIN, METRICS)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths, from the deployment's folder. With client_ca, callers need a certificate that it signed."""

    certificate: str
    key: str
    client_ca: str | None = None


@dataclass(frozen=True, slots=True)
class Clamp:
    """What is left of a call's own wishes. None and True change nothing.

    may_set_slo: False: objectives that calls name are not heeded. min_slo_s: slo_s and ttft_s below it become
    it. max_priority: the most important that may be asked for, 1 being the highest.
    """

    may_set_slo: bool = True
    min_slo_s: float | None = None
    max_priority: int | None = None

    def objective_s(self, wanted_s: float | None) -> float | None:
        """A latency from arrival."""
        if wanted_s is None or not self.may_set_slo:
            return None
        return wanted_s if self.min_slo_s is None else max(wanted_s, self.min_slo_s)

    def pace_s(self, wanted_s: float | None) -> float | None:
        """A time for each token."""
        return wanted_s if self.may_set_slo else None

    def priority(self, wanted: int) -> int:
        """0, the default, stays what it is."""
        return wanted if self.max_priority is None or wanted == 0 else max(wanted, self.max_priority)


NO_CLAMP = Clamp()


@dataclass(frozen=True, slots=True)
class TokenSpec:
    """A secret that callers show. It is read when the fleet starts, from a file or an environment variable.

    tenant: whose calls are made with it, for fair queueing. is_trusted: such calls may name another tenant.
    models: the only ones that it is for; None: all. scopes: of SCOPES, what it may be used for.
    """

    name: str
    tenant: str
    secret_file: str | None = None
    secret_env: str | None = None
    is_trusted: bool = False
    models: tuple[str, ...] | None = None
    scopes: tuple[str, ...] = (INFER,)
    clamp: Clamp = NO_CLAMP


@dataclass(frozen=True, slots=True)
class Security:
    """What a file asks of the endpoints. `auth` is none or token.

    trust_tenant_header: without tokens, every call may name its tenant. allow_python_models: models may be
    functions of the user's own Python code, which is run to build them.
    """

    auth: str = "none"
    tokens: tuple[TokenSpec, ...] = ()
    trust_tenant_header: bool = False
    tls: TlsFiles | None = None
    allow_python_models: bool = False

    @property
    def asks_for_tokens(self) -> bool:
        """Whether a call without a token is refused."""
        return self.auth == "token" and bool(self.tokens)

    @property
    def asks_for_certificates(self) -> bool:
        """Whether a client without a certificate is refused."""
        return self.tls is not None and self.tls.client_ca is not None
