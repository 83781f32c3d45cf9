"""Endpoints beyond this machine need protection that is really there, or the user's word."""

from __future__ import annotations

import pytest

from vocabulary.deployment import (
    Deployment,
    GrpcEndpoint,
    HttpEndpoint,
    MetricsEndpoint,
)
from vocabulary.errors import InvalidInput
from vocabulary.exposure import check_exposure, is_loopback
from vocabulary.mesh import Cluster
from vocabulary.security import Security, TlsFiles, TokenSpec

NOTHING, HTTP = Security(), HttpEndpoint()
TOKENS = Security(auth="token", tokens=(TokenSpec("app", "app", secret_env="APP"),))
TLS, MUTUAL = TlsFiles("c.pem", "k.pem"), TlsFiles("c.pem", "k.pem", "ca.pem")
GUARDED = Security(auth="token", tokens=TOKENS.tokens, tls=TLS)


def deployment(
    *,
    grpc: str = "127.0.0.1",
    http: HttpEndpoint = HTTP,
    metrics: str = "127.0.0.1",
    security: Security = NOTHING,
) -> Deployment:
    grpc_endpoint, metrics_endpoint = GrpcEndpoint(grpc), MetricsEndpoint(metrics)
    return Deployment(
        "f",
        Cluster(()),
        (),
        grpc=grpc_endpoint,
        http=http,
        metrics=metrics_endpoint,
        security=security,
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]", "::ffff:127.0.0.1"])
def test_loopback_needs_nothing(host):
    assert is_loopback(host)
    check_exposure(deployment(grpc=host, metrics=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "fleet.example", "192.168.1.1", ""])
def test_an_open_host_is_refused_unless_the_user_insists(host):
    assert not is_loopback(host)
    with pytest.raises(InvalidInput, match=r"endpoints\.grpc\.host") as caught:
        check_exposure(deployment(grpc=host))
    assert "--insecure" in caught.value.hint
    with pytest.raises(InvalidInput, match=r"observability\.metrics\.host"):
        check_exposure(deployment(metrics=host))
    with pytest.raises(InvalidInput, match=r"endpoints\.http\.host"):
        check_exposure(deployment(http=HttpEndpoint(host=host)))
    check_exposure(deployment(http=HttpEndpoint(is_enabled=False, host=host)))
    check_exposure(deployment(grpc=host, metrics=host), insecure=True)


def test_tokens_open_the_host_once_nobody_can_read_them_on_their_way():
    check_exposure(deployment(grpc="0.0.0.0", security=GUARDED))
    with pytest.raises(InvalidInput, match="tokens would be read on their way") as caught:
        check_exposure(deployment(grpc="0.0.0.0", security=TOKENS))
    assert "security.tls" in caught.value.hint
    with pytest.raises(InvalidInput, match="neither tokens nor mutual TLS"):
        check_exposure(deployment(grpc="0.0.0.0", security=Security(auth="token", tls=TLS)))
    check_exposure(deployment(grpc="0.0.0.0", security=TOKENS), insecure=True)


def test_certificates_of_clients_open_the_host_without_tokens():
    check_exposure(deployment(grpc="0.0.0.0", metrics="0.0.0.0", security=Security(tls=MUTUAL)))
    with pytest.raises(InvalidInput, match="neither tokens nor mutual TLS"):
        check_exposure(deployment(grpc="0.0.0.0", security=Security(tls=TLS)))


def test_metrics_beyond_this_machine_need_a_token_that_may_read_them():
    with pytest.raises(InvalidInput, match="no token is for metrics"):
        check_exposure(deployment(metrics="0.0.0.0", security=GUARDED))
    reader = TokenSpec("prometheus", "prometheus", secret_env="P", scopes=("metrics",))
    security = Security(auth="token", tokens=(reader,), tls=TLS)
    check_exposure(deployment(metrics="0.0.0.0", security=security))
