"""A fleet's journal keeps what the deployment says, and none of its tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.journal import RequestLine
from controller.journal.read import JournalFile
from controller.life.fleet_journal import journal_of, journal_path
from vocabulary.errors import InvalidInput
from vocabulary.formats.disk import deployment_of

DEPLOYMENT = """\
metadata: {name: f}
models: [{name: m, source: 'random://bert-tiny'}]
security:
  auth:
    mode: token
    tokens: [{name: app, secret_env: APP_TOKEN}, {name: ops, secret_file: ops.token}]
observability: {journal: {requests: refused, max_rows: 100}}
"""
APP, OPS = "the-token-of-the-app", "the-token-of-the-operator"


def test_tokens_of_a_deployment_are_not_in_the_file_whoever_repeats_them(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ops.token").write_text(OPS + "\n")
    (tmp_path / "ops.token").chmod(0o600)
    fleet = deployment_of(
        DEPLOYMENT, name="d", folder=tmp_path, environment={"APP_TOKEN": APP}, needs_profiles=False
    )
    with pytest.raises(InvalidInput, match="APP_TOKEN"):
        journal_of(fleet, environment={})
    journal = journal_of(fleet, environment={"APP_TOKEN": APP})
    journal.open()
    journal.request(RequestLine("served", "m", 1.0, 0.1))
    journal.request(RequestLine(APP, "m", 1.0, 0.1, fate="unauthenticated", words=f"no token {OPS}"))
    journal.event("admin", header=f"Bearer {OPS}")
    assert journal.remember("plan", [APP]).result(timeout=30)
    journal.close()
    written = b"".join(each.read_bytes() for each in journal_path("f").parent.iterdir())
    assert APP.encode() not in written and OPS.encode() not in written
    (line,) = JournalFile(journal_path("f")).latest_requests(9)
    assert (line.request_id, line.words) == ("(hidden)", "no token (hidden)")
