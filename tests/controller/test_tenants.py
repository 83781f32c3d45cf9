"""The tenant of a call comes from its token; a header counts only where the token is trusted."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from controller.calls import Reason, Refusal
from controller.security.secrets import Secret
from controller.tenants import MAX_TENANT_CHARS, ONE_TENANT, Tenants, tenants_of
from vocabulary.errors import InvalidInput
from vocabulary.security import Security, TokenSpec

SECRETS = {"APP": "one", "GATE": "two\n", "BLANK": " \n", "SPACED": "a b", "TWIN": "one"}
APP = TokenSpec("app", "search", secret_env="APP")
GATE = TokenSpec("gate", "gate", secret_env="GATE", is_trusted=True)
OURS, THEIRS = "x-statmux-tenant", "x-llm-d-inference-fairness-id"


def tenants(*tokens: TokenSpec, folder: Path = Path()) -> Tenants:
    return tenants_of(Security(auth="token", tokens=tokens), folder=str(folder), environment=SECRETS)


def of(known: Tenants, **headers: str) -> str | Refusal:
    return known.of({name.replace("_", "-"): value for name, value in headers.items()}.get)


def test_tenant_is_that_of_the_token():
    assert of(tenants(APP, GATE), authorization="Bearer one") == "search"
    assert of(tenants(APP, GATE), authorization="bearer  two") == "gate"


@pytest.mark.parametrize(
    "shown", ["", "one", "Basic one", "Bearer", "Bearer ", "Bearer On", "Bearer two\udcff"]
)
def test_call_without_a_known_token_is_refused(shown):
    refused = of(tenants(APP), authorization=shown)
    assert refused.reason is Reason.UNAUTHENTICATED
    assert of(tenants(APP)).reason is Reason.UNAUTHENTICATED


def test_header_names_the_tenant_only_where_the_token_is_trusted():
    known = tenants(APP, GATE)
    assert of(known, authorization="Bearer one", x_statmux_tenant="other") == "search"
    assert of(known, authorization="Bearer two", x_statmux_tenant="other") == "other"
    both = {OURS: "ours", THEIRS: "theirs", "authorization": "Bearer two"}
    assert known.of(both.get) == "ours"
    assert known.of({**both, OURS: ""}.get) == "theirs"


def test_without_tokens_the_header_counts_only_where_the_file_says_so():
    closed = tenants_of(Security(), folder=".", environment={})
    opened = tenants_of(Security(trust_tenant_header=True), folder=".", environment={})
    assert closed.are_one and ONE_TENANT.are_one and not opened.are_one
    assert of(closed, x_statmux_tenant="a") == "" and of(opened) == ""
    assert of(opened, x_statmux_tenant="a", authorization="Bearer whatever") == "a"


@pytest.mark.parametrize("name", ["x" * (MAX_TENANT_CHARS + 1), "a\tb"])
def test_name_of_a_tenant_that_nobody_could_read_is_refused(name):
    refused = of(tenants(GATE), authorization="Bearer two", x_statmux_tenant=name)
    assert refused.reason is Reason.INVALID_PARAMETER and OURS in refused.message


def test_secret_comes_from_a_file_beside_the_deployment(tmp_path):
    (tmp_path / "secret").write_text("three\n")
    known = tenants(TokenSpec("filed", "t", secret_file="secret"), folder=tmp_path)
    assert of(known, authorization="Bearer three") == "t"


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (TokenSpec("a", "a", secret_env="NOWHERE"), "variable NOWHERE is empty or not there"),
        (TokenSpec("a", "a", secret_env="BLANK"), "variable BLANK is empty or not there"),
        (TokenSpec("a", "a", secret_env="SPACED"), "a character that no header can carry"),
        (TokenSpec("a", "a", secret_file="nowhere"), "cannot read nowhere: No such file"),
        (TokenSpec("a", "a", secret_env="TWIN"), "tokens app and a have the same secret"),
    ],
)
def test_fleet_does_not_start_with_a_secret_that_is_none(token, text):
    with pytest.raises(InvalidInput) as caught:
        tenants(APP, token)
    assert text in str(caught.value)
    assert "a b" not in str(caught.value)


def test_file_of_a_secret_that_others_may_read_is_warned_about(tmp_path):
    path = tmp_path / "secret"
    path.write_text("three")
    token = TokenSpec("filed", "t", secret_file="secret")
    for mode, num_warnings in ((0o644, 1), (0o640, 1), (0o600, 0), (0o400, 0)):
        path.chmod(mode)
        with capture_logs() as logs:
            tenants(token, folder=tmp_path)
        warned = [line for line in logs if "can be read by others" in line["event"]]
        assert len(warned) == num_warnings and "three" not in str(logs)


def test_secret_shows_in_no_words_about_it():
    secret = Secret(APP, "hush")
    assert "hush" not in repr(secret) and "app" in repr(secret)
