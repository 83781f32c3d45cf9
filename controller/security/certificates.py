"""The certificates of `security.tls`: checked before anything starts, read again when their files change."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import final

import grpc
import structlog

from vocabulary.errors import InvalidInput
from vocabulary.security import TlsFiles

_log = structlog.get_logger("statmux.security")
_WHERE = "security.tls"
# Of every file: when it was changed, how long it is, which one it is.
Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What the files held at one time."""

    stamp: Stamp
    context: ssl.SSLContext
    configuration: grpc.ServerCertificateConfiguration


@final
class Certificates:
    """What both kinds of endpoint show, and whom they ask for a certificate. Any thread may ask.

    The files are looked at for each new connection. Those that do not fit together, as between two writes of
    one renewal, leave what was there in place, and a line in the log.
    """

    def __init__(self, files: TlsFiles, *, folder: str) -> None:
        """Raises InvalidInput for files that are no certificate, key, or authority."""
        self._paths = [
            Path(folder, name) for name in (files.certificate, files.key, files.client_ca) if name is not None
        ]
        self._is_mutual = files.client_ca is not None
        self._lock = threading.Lock()
        self._loaded = self._load(self._stamp())
        self._refused: Stamp = self._loaded.stamp

    def ssl_context(self) -> ssl.SSLContext:
        """For a server's socket. Connections that are open keep what they began with."""

        def show_newest(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            connection.context = self._newest().context

        outer = _context(self._paths)
        outer.sni_callback = show_newest
        return outer

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """For a gRPC server. Connections that are open keep what they began with."""
        return grpc.dynamic_ssl_server_credentials(
            self._loaded.configuration,
            lambda: self._newest().configuration,
            require_client_authentication=self._is_mutual,
        )

    def _newest(self) -> _Loaded:
        with self._lock:
            try:
                stamp = self._stamp()
                if stamp not in (self._loaded.stamp, self._refused):
                    self._refused = stamp
                    self._loaded = self._load(stamp)
                    _log.info("certificates read again", certificate=str(self._paths[0]))
            except InvalidInput as error:
                _log.error("certificates not read again: the old ones stay", why=error.message)
            return self._loaded

    def _stamp(self) -> Stamp:
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in map(_stat, self._paths))

    def _load(self, stamp: Stamp) -> _Loaded:
        try:
            context = _context(self._paths)
            certificate, key, *client_ca = (path.read_bytes() for path in self._paths)
        except OSError as error:  # gone since they were looked at
            raise _unreadable(error.filename or self._paths[0], error) from None
        configuration = grpc.ssl_server_certificate_configuration(
            [(key, certificate)], root_certificates=client_ca[0] if client_ca else None
        )
        return _Loaded(stamp, context, configuration)


def open_certificates(files: TlsFiles | None, *, folder: str) -> Certificates | None:
    """None without TLS. Raises InvalidInput, which says which file is wrong, and how."""
    return None if files is None else Certificates(files, folder=folder)


def _context(paths: list[Path]) -> ssl.SSLContext:
    certificate, key, *client_ca = paths
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        raise _wrong(f"{certificate} and {key} are no certificate and its private key", error) from None
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(client_ca[0])
        except ssl.SSLError as error:
            raise _wrong(f"{client_ca[0]} holds no certificate of an authority", error) from None
    return context


def _no_password() -> str:
    """Else the key's password would be asked for at the terminal."""
    raise InvalidInput(
        "the private key is encrypted", where=_WHERE, hint="give one without a password, for this user only"
    )


def _wrong(message: str, error: ssl.SSLError) -> InvalidInput:
    hint = "give files in PEM: the certificate with its chain, and its key; see `openssl x509 -text -in FILE`"
    return InvalidInput(f"{message} ({error.reason or 'no PEM'})", where=_WHERE, hint=hint)


def _stat(path: Path) -> object:
    try:
        with path.open("rb") as file:
            file.read(1)
        return path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path | str, error: OSError) -> InvalidInput:
    message = f"cannot read {path}: {(error.strerror or str(error)).lower()}"
    return InvalidInput(message, where=_WHERE, hint="paths start at the deployment's folder")
