"""Endpoints beyond this machine need protection that is really there, or the user's word."""

from __future__ import annotations

import pytest

from vocabulary.deployment import (
    Deployment,
    GrpcEndpoint,
    HttpEndpoint,
    MetricsEndpoint,
    Security,
    TokenSpec,
)
from vocabulary.errors import InvalidInput
from vocabulary.exposure import check_exposure, is_loopback
from vocabulary.mesh import Cluster

NOTHING, HTTP = Security(), HttpEndpoint()
TOKENS = Security(auth="token", tokens=(TokenSpec("app", "app", secret_env="APP"),))
LIMITED = Security(auth="token", tokens=(TokenSpec("app", "app", secret_env="APP", models=("chat",)),))


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


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]"])
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


def test_tokens_that_are_not_enforced_do_not_count():
    for host in ("0.0.0.0", "127.0.0.1"):
        with pytest.raises(InvalidInput, match="does not enforce yet"):
            check_exposure(deployment(grpc=host, security=TOKENS), enforced=frozenset())
    with pytest.raises(InvalidInput, match="mutual TLS"):
        check_exposure(deployment(security=Security(client_ca="ca.pem")))


def test_tokens_open_the_host():
    check_exposure(deployment(grpc="0.0.0.0", security=TOKENS))
    no_token = Security(auth="token")
    with pytest.raises(InvalidInput, match="can be reached"):
        check_exposure(deployment(grpc="0.0.0.0", security=no_token))


def test_token_for_some_models_is_not_taken_for_one_that_is_held_to_them():
    with pytest.raises(InvalidInput, match=r"tokens\[\]\.models asks for tokens for some models only"):
        check_exposure(deployment(security=LIMITED))
    check_exposure(deployment(security=LIMITED), insecure=True)
