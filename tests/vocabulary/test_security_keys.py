"""What a deployment file says of tokens, and what it may not say."""

from __future__ import annotations

import pytest

from vocabulary.deployment import Deployment, Security, TokenSpec
from vocabulary.errors import InvalidInput
from vocabulary.formats.deployment import parse_deployment

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


def test_what_a_token_is_limited_to_is_said_to_have_no_effect():
    limited = "{name: a, secret_env: A, scopes: [infer], models: [a]}"
    deployment = parse(f"{{auth: {{mode: token, tokens: [{limited}]}}}}")
    assert deployment.accepted_only == ("security.auth.tokens[].scopes", "security.auth.tokens[].models")


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
    ],
)
def test_what_could_not_be_meant_is_told_with_its_place(security, where, text):
    with pytest.raises(InvalidInput) as caught:
        parse(security)
    assert where in caught.value.message and text in caught.value.message
