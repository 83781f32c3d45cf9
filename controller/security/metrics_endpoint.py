"""The metrics over HTTP, on a thread of their own: over TLS and for a token where the deployment says so."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from typing import Any, final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from controller.security.certificates import Certificates
from controller.tenants import ONE_TENANT, Tenants
from vocabulary.errors import RuntimeFailure
from vocabulary.exposure import is_loopback
from vocabulary.security import ADMIN, METRICS

# Scrapers are few and quick; who is neither is cut off.
_MAX_CONNECTIONS = 16
_TIMEOUT_S = 10.0
_REFUSED = b"a token with the scope metrics or admin is needed\n"
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@final
class RunningMetrics:
    """A started endpoint. `port` is the one it listens on, also where 0 was asked for."""

    def __init__(self, server: _Server) -> None:
        self.port = server.server_port
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Idempotent. Scrapes that have begun end by themselves."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def open_metrics(
    registry: CollectorRegistry,
    *,
    host: str,
    port: int,
    certificates: Certificates | None = None,
    tenants: Tenants = ONE_TENANT,
) -> RunningMetrics:
    """Tokens are asked for beyond this machine only. Raises RuntimeFailure if the port cannot be had."""
    application = _as_text(make_wsgi_app(registry))
    if tenants.ask_for_tokens and not is_loopback(host):
        application = _guarded(application, tenants)
    context = certificates.ssl_context() if certificates is not None else None
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server = _Server(address[:2], family, application, context)
    except OSError as error:
        raise RuntimeFailure(
            f"cannot serve metrics on {host}:{port}: {error.strerror or error}",
            hint="free the port, or choose another with --metrics-port",
        ) from error
    return RunningMetrics(server)


def _as_text(application: Application) -> Application:
    """The text format, which all scrapers read, whatever one would rather have: our library's OpenMetrics
    writes `vllm:x` as `vllm_x`, and nothing of ours is in OpenMetrics only."""

    def plain(environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        return application({**environment, "HTTP_ACCEPT": "text/plain"}, start)

    return plain


def _guarded(application: Application, tenants: Tenants) -> Application:
    def guarded(environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        def header(name: str) -> str | None:
            return environment.get("HTTP_" + name.upper().replace("-", "_"))

        if tenants.refusal_of(header, METRICS, ADMIN) is None:
            return application(environment, start)
        start("401 Unauthorized", [("www-authenticate", "Bearer"), ("content-type", "text/plain")])
        return [_REFUSED]

    return guarded


@final
class _Server(WSGIServer):
    """A thread for each connection, of which there are few; the handshake is in that thread, too."""

    request_queue_size = _MAX_CONNECTIONS

    def __init__(
        self,
        address: tuple[str, int],
        family: socket.AddressFamily,
        application: Application,
        context: ssl.SSLContext | None,
    ) -> None:
        self.address_family = family
        self._context = context
        self._places = threading.Semaphore(_MAX_CONNECTIONS)
        super().__init__(address, _Scrape)
        self.set_app(application)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, peer = self.socket.accept()
        connection.settimeout(_TIMEOUT_S)
        if self._context is not None:
            connection = self._context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, peer

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        threading.Thread(target=self._answer, args=(request, client_address), daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or that speaks no TLS, is no news."""

    def _answer(self, request: Any, client_address: Any) -> None:
        # The socket's own time-out begins again with every byte that comes.
        end = threading.Timer(_TIMEOUT_S, socket.socket.shutdown, (request, socket.SHUT_RDWR))
        end.start()
        try:
            self.finish_request(request, client_address)
        except OSError:
            self.handle_error(request, client_address)
        finally:
            end.cancel()
            self.shutdown_request(request)
            self._places.release()


@final
class _Scrape(WSGIRequestHandler):
    """Says nothing on stderr."""

    def log_message(self, format: str, *words: object) -> None:
        return None

    def address_string(self) -> str:
        """As it is: looking its name up may take long."""
        return str(self.client_address[0])
