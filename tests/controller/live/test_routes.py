"""The page's paths: files for everybody, the document for those who may; the rest of the API as it was."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from controller.front.words import Totals
from controller.http import start_http
from controller.live.files import INDEX, page_files
from controller.live.routes import live_routes
from controller.live.view import LiveView
from controller.tenants import tenants_of
from tests.controller.live.story import Story
from tests.controller.live.story_server import Told, serving
from tests.controller.scripted_fleet import ScriptedFleet
from vocabulary.deployment import HttpEndpoint
from vocabulary.formats.disk import load_deployment
from vocabulary.security import Security, TokenSpec

SECRETS = {"READER": "reader-secret-1", "ADMIN": "admin-secret-22", "APP": "app-secret-333"}
SCOPES = {"READER": ("metrics",), "ADMIN": ("admin",), "APP": ("infer",)}
NOTHING: dict[str, Any] = {"schema_version": 1}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(url: str, method: str = "GET", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, method=method, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Answer(answer.status, _lower(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, _lower(error.headers), error.read())


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.fixture(scope="module")
def open_to_all() -> Iterator[str]:
    with serving(lambda _: NOTHING) as told:
        yield told.address


@contextmanager
def guarded() -> Iterator[Told]:
    tokens = tuple(TokenSpec(name, "", secret_env=name, scopes=scopes) for name, scopes in SCOPES.items())
    tenants = tenants_of(Security(auth="token", tokens=tokens), folder=".", environment=SECRETS)
    with serving(lambda _: NOTHING, tenants=tenants) as told:
        yield told


def test_the_page_is_at_the_root_with_guards_round_it(open_to_all: str) -> None:
    answer = ask(f"{open_to_all}/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.body.startswith(b"<!doctype html>")


def test_each_file_is_sent_once_and_then_only_if_it_has_changed(open_to_all: str) -> None:
    types = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    for name in page_files():
        url = f"{open_to_all}/" if name == INDEX else f"{open_to_all}/live/{name}"
        first = ask(url)
        assert first.status == 200 and first.body == page_files()[name].content
        assert first.headers["content-type"].startswith(types.get(name.rpartition(".")[2], "text/html"))
        again = ask(url, if_none_match=first.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        assert ask(url, if_none_match='"another"').status == 200
        head = ask(url, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(first.body))


def test_all_that_the_page_names_is_there_and_nothing_lies_about_unused() -> None:
    named = {INDEX, "types.js"}
    for name, file in page_files().items():
        text = file.content.decode()
        assert not re.search(r"(?:src|href)=\"?(?:https?:)?//|url\(|@import", text), name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(|document\.write", text), name
        named |= set(re.findall(r"from '\./(\w+\.js)'", text))
        named |= set(re.findall(r"(?:src|href)=\"live/([\w.]+)\"", text))
    assert named == set(page_files())


def test_every_file_is_small_and_lies_in_the_package() -> None:
    folder = resources.files("controller.live").joinpath("page")
    assert {one.name for one in folder.iterdir()} == set(page_files())
    assert sum(len(file.content) for file in page_files().values()) < 120_000
    for name, file in page_files().items():
        assert file.content.count(b"\n") <= 200, f"{name} is long"


def test_files_and_document_of_the_page_are_packaged() -> None:
    """An editable install finds everything; a wheel has what pyproject.toml names."""
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    line = next(line for line in text.splitlines() if line.startswith("controller = ["))
    assert '"live/page/*"' in line


def test_paths_that_are_not_of_the_page_stay_errors_of_the_api(open_to_all: str) -> None:
    for path in (
        "/live",
        "/live/",
        "/live/index.html",
        "/live/../page.css",
        "/live/nothing.js",
        "/index.html",
    ):
        answer = ask(f"{open_to_all}{path}")
        assert answer.status == 404, path
        assert json.loads(answer.body)["error"]["message"].endswith("is no path of this server")
    assert ask(f"{open_to_all}/", method="POST").status == 405
    assert ask(f"{open_to_all}/v1/models").status == 200


def test_the_document_is_json_never_kept_and_smaller_where_that_is_understood(open_to_all: str) -> None:
    url = f"{open_to_all}/live/document"
    plain, packed = ask(url), ask(url, accept_encoding="gzip, br")
    assert json.loads(plain.body) == json.loads(gzip.decompress(packed.body)) == NOTHING
    assert plain.headers["cache-control"] == "no-store"
    assert packed.headers["content-encoding"] == "gzip"
    assert ask(url, method="POST").status == 405


def test_with_tokens_the_page_is_open_and_its_document_is_not() -> None:
    with guarded() as told:
        assert ask(f"{told.address}/").status == 200
        url = f"{told.address}/live/document"
        assert ask(url).status == 401
        assert ask(url).headers["www-authenticate"] == "Bearer"
        assert ask(url, authorization="Bearer nobody").status == 401
        refused = ask(url, authorization=f"Bearer {SECRETS['APP']}")
        assert refused.status == 403 and b"scope" in refused.body
        for name in ("READER", "ADMIN"):
            assert ask(url, authorization=f"Bearer {SECRETS[name]}").status == 200
        assert told.num == 2, "nothing is made for those who may not see it"


def test_a_fleet_that_does_not_answer_yet_is_an_error_with_words() -> None:
    async def story() -> None:
        fleet = ScriptedFleet([], scripts={})
        running = await start_http(fleet, {}, port=0, routing=[live_routes(dict)])
        try:
            url = f"http://127.0.0.1:{running.port}/live/document"
            answer = await asyncio.to_thread(ask, url)
        finally:
            await running.stop(0.0)
        assert answer.status == 503
        assert "says nothing of itself yet" in json.loads(answer.body)["error"]["message"]

    asyncio.run(story())


def test_the_page_can_be_switched_off(tmp_path: Path) -> None:
    path = tmp_path / "off.yaml"
    path.write_text("""\
api_version: v1alpha1
kind: Deployment
metadata: {name: off}
cluster: {nodes: [{name: n, count: 1, devices: {type: cpu, count: 1, memory: 1GiB}}]}
models: [{name: m, engine: emulated, source: "random://bert-tiny"}]
endpoints: {http: {live_page: false}}
""")
    assert not load_deployment(path).http.has_live_page
    assert HttpEndpoint().has_live_page


def test_however_many_look_at_once_the_document_is_made_once(told: Story, tmp_path: Path) -> None:
    num = 0

    async def status(words: Mapping[str, Any]) -> Mapping[str, Any]:
        nonlocal num
        num += 1
        await asyncio.sleep(0)
        return {**told.document(), "models": {}}

    async def story() -> None:
        view = LiveView(
            status,
            deployment=lambda: told.deployment,
            members=told.members,
            metrics=told.metrics,
            elsewhere=lambda _: Totals(),
            journal=tmp_path / "journal.db",
        )
        found = await asyncio.gather(*(view.look({}) for _ in range(5)))
        assert num == 1 and all(one is found[0] for one in found)

    asyncio.run(story())
