"""TLS and mutual TLS on every endpoint, spoken by real clients."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import numpy as np
import openai
import pytest
import tritonclient.grpc as triton
from prometheus_client import CollectorRegistry, Counter

from controller.grpc_v2.server import start_grpc
from controller.http import start_http
from controller.security.certificates import Certificates, open_certificates
from controller.security.metrics_endpoint import open_metrics
from statmux.client import AsyncClient, Client, Unavailable
from tests.controller.grpc_fleet import story_fleet as echo_fleet
from tests.controller.http.story import story_fleet, story_texts
from tests.controller.security.authority import Authority, Pair
from vocabulary.errors import InvalidInput
from vocabulary.security import TlsFiles

X = np.ones((2, 4), np.float32)


@dataclass(frozen=True, slots=True)
class Secured:
    """Both endpoints, and who may come in."""

    grpc: str
    http: str
    authority: Authority
    client: Pair
    server: Pair


def files_of(pair: Pair, client_ca: Path | None = None) -> TlsFiles:
    return TlsFiles(str(pair.cert), str(pair.key), None if client_ca is None else str(client_ca))


@asynccontextmanager
async def secured(folder: Path, *, mutual: bool) -> AsyncIterator[Secured]:
    authority = Authority(folder)
    server = authority.pair("server")
    tls = files_of(server, authority.ca if mutual else None)
    certificates = Certificates(tls, folder=str(folder))
    grpc = await start_grpc(echo_fleet(), port=0, certificates=certificates)
    http = await start_http(story_fleet(), story_texts(), port=0, certificates=certificates)
    try:
        addresses = f"127.0.0.1:{grpc.port}", f"https://127.0.0.1:{http.port}"
        yield Secured(*addresses, authority, authority.pair("client"), server)
    finally:
        await http.stop(0.0)
        await grpc.stop(0.0)


def context_of(secured: Secured, pair: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=secured.authority.ca)
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    return context


async def shown_by(address: str, context: ssl.SSLContext) -> bytes:
    """The certificate of a server, as a new connection sees it."""
    host, port = address.removeprefix("https://").split(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return shown


def infer_with_triton(address: str, ca: Path, pair: Pair | None) -> np.ndarray:
    own = {} if pair is None else {"private_key": str(pair.key), "certificate_chain": str(pair.cert)}
    client = triton.InferenceServerClient(address, ssl=True, root_certificates=str(ca), **own)
    try:
        tensor = triton.InferInput("x", [2, 4], "FP32")
        tensor.set_data_from_numpy(X)
        return client.infer("echo", [tensor], client_timeout=10).as_numpy("x")
    finally:
        client.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("mutual", [False, True])
async def test_real_clients_speak_to_both_endpoints(tmp_path: Path, mutual: bool) -> None:
    async with secured(tmp_path, mutual=mutual) as fleet:
        pair = fleet.client if mutual else None
        echoed = await asyncio.to_thread(infer_with_triton, fleet.grpc, fleet.authority.ca, pair)
        assert np.array_equal(echoed, X)
        own = {} if pair is None else {"cert": pair.cert, "key": pair.key}
        async with AsyncClient(fleet.grpc, ca=fleet.authority.ca, **own) as ours:
            assert np.array_equal((await ours.infer("echo", {"x": X})).outputs["x"], X)

        def blocking() -> bool:
            with Client(fleet.grpc, ca=fleet.authority.ca, **own) as client:
                return client.is_ready()

        assert await asyncio.to_thread(blocking)
        async with (
            httpx2.AsyncClient(verify=context_of(fleet, pair)) as transport,
            openai.AsyncOpenAI(base_url=f"{fleet.http}/v1", api_key="none", http_client=transport) as client,
        ):
            answer = await client.completions.create(model="mirror", prompt="abc")
            assert answer.choices[0].text == "cba"
            stream = await client.completions.create(model="mirror", prompt="abc", stream=True)
            assert "".join([chunk.choices[0].text async for chunk in stream]) == "cba"


@pytest.mark.asyncio
async def test_client_without_a_certificate_or_with_a_strangers_is_refused(tmp_path: Path) -> None:
    async with secured(tmp_path, mutual=True) as fleet:
        (tmp_path / "elsewhere").mkdir()
        stranger = Authority(tmp_path / "elsewhere").pair("stranger")
        for own in ({}, {"cert": stranger.cert, "key": stranger.key}):
            async with AsyncClient(fleet.grpc, ca=fleet.authority.ca, **own) as ours:
                with pytest.raises(Unavailable):
                    await ours.infer("echo", {"x": X}, timeout_s=10)
            pair = stranger if own else None
            with pytest.raises((ssl.SSLError, ConnectionError)):
                host, port = fleet.http.removeprefix("https://").split(":")
                reader, writer = await asyncio.open_connection(host, int(port), ssl=context_of(fleet, pair))
                writer.write(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
                assert await reader.read() == b""
                raise ConnectionError
        async with AsyncClient(fleet.grpc, ca=fleet.authority.ca, **_own(fleet.client)) as ours:
            assert await ours.is_ready()


@pytest.mark.asyncio
async def test_client_without_tls_gets_nothing(tmp_path: Path) -> None:
    async with secured(tmp_path, mutual=False) as fleet:
        async with AsyncClient(fleet.grpc) as ours:
            assert not await ours.is_ready()
        host, port = fleet.http.removeprefix("https://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            assert b"HTTP" not in await reader.readexactly(12)
            raise ConnectionError


@pytest.mark.asyncio
async def test_renewed_certificates_are_shown_to_new_connections_and_old_ones_go_on(tmp_path: Path) -> None:
    async with secured(tmp_path, mutual=False) as fleet:
        context = context_of(fleet)
        async with (
            AsyncClient(fleet.grpc, ca=fleet.authority.ca) as early,
            httpx2.AsyncClient(verify=context) as kept,
        ):
            assert await early.is_ready()
            assert (await kept.get(f"{fleet.http}/livez")).status_code == 200
            before = await shown_by(fleet.http, context)
            (tmp_path / "new").mkdir()
            other = Authority(tmp_path / "new")
            renewed = other.pair("server")
            shutil.copy(renewed.key, fleet.server.key)
            assert await shown_by(fleet.http, context) == before, "half of a renewal changes nothing"
            shutil.copy(renewed.cert, fleet.server.cert)
            now = ssl.create_default_context(cafile=other.ca)
            after = await shown_by(fleet.http, now)
            assert after == ssl.PEM_cert_to_DER_cert(renewed.cert.read_text()) != before
            async with AsyncClient(fleet.grpc, ca=other.ca) as late:
                assert await late.is_ready()
            assert await early.is_ready()
            assert (await kept.get(f"{fleet.http}/livez")).status_code == 200


@pytest.mark.asyncio
async def test_authority_of_clients_is_read_again_too(tmp_path: Path) -> None:
    async with secured(tmp_path, mutual=True) as fleet:
        (tmp_path / "new").mkdir()
        other = Authority(tmp_path / "new")
        newcomer = other.pair("newcomer")
        shutil.copy(other.ca, fleet.authority.ca)
        server_ca = tmp_path / "server-ca.pem"
        # The server's own certificate is still of the old authority, whose file was overwritten.
        server_ca.write_text(
            ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(fleet.server.cert.read_text()))
        )
        async with AsyncClient(fleet.grpc, ca=server_ca, **_own(fleet.client)) as dismissed:
            assert not await dismissed.is_ready()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(newcomer.cert, newcomer.key)
        async with httpx2.AsyncClient(verify=context) as client:
            assert (await client.get(f"{fleet.http}/livez")).status_code == 200


def test_metrics_speak_tls_and_a_silent_client_holds_nobody_up(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair("server")
    registry = CollectorRegistry()
    Counter("seen", "…", registry=registry).inc()
    certificates = Certificates(files_of(pair, authority.ca), folder=".")
    running = open_metrics(registry, host="127.0.0.1", port=0, certificates=certificates)
    try:
        with socket.create_connection(("127.0.0.1", running.port)):
            context = ssl.create_default_context(cafile=authority.ca)
            context.load_cert_chain(pair.cert, pair.key)
            address = f"https://127.0.0.1:{running.port}/metrics"
            with urllib.request.urlopen(address, context=context, timeout=10) as answer:
                assert b"seen_total 1.0" in answer.read()
            nobody = ssl.create_default_context(cafile=authority.ca)
            with pytest.raises((urllib.error.URLError, OSError)):
                urllib.request.urlopen(address, context=nobody, timeout=10)
    finally:
        running.close()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda pair, ca: pair.cert.unlink(), "server.pem: no such file"),
        (lambda pair, ca: pair.key.write_text("no key"), "are no certificate and its private key"),
        (lambda pair, ca: ca.write_text("no authority"), "holds no certificate of an authority"),
    ],
)
def test_bad_files_are_one_error_that_names_them(tmp_path: Path, spoil: object, words: str) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair("server")
    spoil(pair, authority.ca)  # type: ignore[operator]
    with pytest.raises(InvalidInput) as caught:
        open_certificates(TlsFiles("server.pem", "server.key", "ca.pem"), folder=str(tmp_path))
    assert words in caught.value.message and caught.value.where == "security.tls"


def test_key_of_another_certificate_and_an_encrypted_one_are_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.pair("server"), authority.pair("other"), authority.pair("hidden", password=b"x")
    for cert, key, words in (
        ("server.pem", "other.key", "KEY_VALUES_MISMATCH"),
        ("hidden.pem", "hidden.key", "the private key is encrypted"),
    ):
        with pytest.raises(InvalidInput, match=words):
            open_certificates(TlsFiles(cert, key), folder=str(tmp_path))
    assert open_certificates(None, folder=".") is None


def _own(pair: Pair) -> dict[str, Path]:
    return {"cert": pair.cert, "key": pair.key}


def test_files_that_go_while_they_are_read_leave_the_old_certificates_in_place(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair("server")
    certificates = Certificates(files_of(pair), folder=".")
    stamp = certificates._stamp()
    for file in (pair.key, pair.cert):
        file.unlink()
        with pytest.raises(InvalidInput, match=r"cannot read .*: no such file"):
            certificates._load(stamp)
    assert certificates._newest().stamp == stamp
