"""What a deployment file says of tokens, and what it may not say."""

from __future__ import annotations

import pytest

from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.formats.deployment import parse_deployment
from vocabulary.security import Clamp, Security, TlsFiles, TokenSpec

MODELS = "models: [{name: a, source: 'random://gpt2-tiny'}]\n"


def parse(security: str) -> Deployment:
    text = f"{MODELS}security: {security}\n"
    return parse_deployment(text, name="d.yaml", read_profile=lambda path: None, needs_profiles=False)


def test_token_without_a_tenant_is_its_own():
    tokens = "[{name: app, secret_env: APP}, {name: gate, secret_file: g, tenant: front, trusted: true}]"
    deployment = parse(f"{{auth: {{mode: token, tokens: {tokens}}}}}")
    assert deployment.security == Security(
        auth="token",
        tokens=(
            TokenSpec("app", "app", secret_env="APP"),
            TokenSpec("gate", "front", secret_file="g", is_trusted=True),
        ),
    )
    assert deployment.accepted_only == ()


def test_header_may_be_trusted_without_tokens():
    assert parse("{auth: none, trust_tenant_header: true}").security == Security(trust_tenant_header=True)


def test_token_says_what_it_is_for_and_how_much_of_its_calls_wishes_counts():
    limits = "scopes: [admin, metrics], models: [a], may_set_slo: false, min_slo_ms: 250, max_priority: 2"
    deployment = parse(f"{{auth: {{mode: token, tokens: [{{name: a, secret_env: A, {limits}}}]}}}}")
    (token,) = deployment.security.tokens
    assert (token.scopes, token.models) == (("admin", "metrics"), ("a",))
    assert token.clamp == Clamp(may_set_slo=False, min_slo_s=0.25, max_priority=2)
    assert deployment.accepted_only == ()


def test_certificate_and_key_come_together():
    tls = parse("{tls: {cert: c.pem, key: k.pem, client_ca: ca.pem}}").security.tls
    assert tls == TlsFiles("c.pem", "k.pem", "ca.pem")
    assert parse("{tls: {cert: null, key: null}}").security.tls is None
    for half in ("cert: c.pem", "key: k.pem", "client_ca: ca.pem"):
        with pytest.raises(InvalidInput, match="TLS needs the certificate and its private key"):
            parse(f"{{tls: {{{half}}}}}")


def test_clamp_leaves_of_a_wish_what_may_be():
    clamp = Clamp(min_slo_s=0.2, max_priority=2)
    assert [clamp.objective_s(wish) for wish in (None, 0.1, 0.3)] == [None, 0.2, 0.3]
    assert [clamp.priority(wish) for wish in (0, 1, 2, 3)] == [0, 2, 2, 3]
    assert clamp.pace_s(0.01) == 0.01
    silent = Clamp(may_set_slo=False)
    assert (silent.objective_s(9.0), silent.pace_s(9.0), silent.priority(1)) == (None, None, 1)


@pytest.mark.parametrize(
    ("security", "where", "text"),
    [
        ("{auth: token}", "security.auth", "there are no tokens"),
        ("{auth: {tokens: [{name: a}]}}", "tokens[0]", "one of secret_file and secret_env"),
        ("{auth: {tokens: [{name: a, secret_env: A, secret_file: f}]}}", "tokens[0]", "one of"),
        (
            "{auth: {tokens: [{name: a, secret_env: A}, {name: a, secret_env: B}]}}",
            "tokens[1].name",
            "taken",
        ),
        (
            "{trust_tenant_header: true, auth: {mode: token, tokens: [{name: a, secret_env: A}]}}",
            "security.trust_tenant_header",
            "each says for itself",
        ),
        ("{auth: {tokens: [{name: a, secret: hush}]}}", "tokens[0].secret", "unknown key"),
        ("{auth: {tokens: [{name: a, secret_env: A, scopes: [root]}]}}", "tokens[0].scopes[0]", "root"),
        ("{auth: {tokens: [{name: a, secret_env: A, models: []}]}}", "tokens[0].models", ""),
    ],
)
def test_what_could_not_be_meant_is_told_with_its_place(security, where, text):
    with pytest.raises(InvalidInput) as caught:
        parse(security)
    assert where in caught.value.message and text in caught.value.message
