"""TLS for connections that own their socket: bytes in, bytes out, no I/O.

asyncio's TLS belongs to its streams and transports. `ssl.SSLObject` over two memory buffers is the
standard library's way to have TLS without them (docs.python.org, "Memory BIO Support").
"""

import ssl
from contextlib import suppress
from typing import Final

from qcore.adapters.links.redis.connection_base import TlsSettings

RECORD_BYTES: Final = 1 << 14
"""Plaintext of one TLS record at most (RFC 8446, 5.1)."""


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities and `ca`; raise as `check_files`."""
    context = ssl.create_default_context()
    context.check_hostname = settings.verify
    context.verify_mode = ssl.CERT_REQUIRED if settings.verify else ssl.CERT_NONE
    _load_files(context, settings)
    return context


def check_files(settings: TlsSettings) -> None:
    """Raise `OSError` where a file is missing, is no PEM file, or has a password.

    Cheap beside `client_context`, which takes milliseconds to load the system's authorities.
    """
    _load_files(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), settings)


def _load_files(context: ssl.SSLContext, settings: TlsSettings) -> None:
    if settings.ca is not None:
        context.load_verify_locations(settings.ca)
    if settings.cert is not None:
        # without a password to try, OpenSSL would ask for one on the terminal
        context.load_cert_chain(settings.cert, settings.key, password=str)


class TlsSession:
    """One connection's encryption: its caller moves the bytes."""

    def __init__(self, context: ssl.SSLContext, hostname: str) -> None:
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_hostname=hostname)

    def handshake(self, received: bytes = b"") -> tuple[bool, bytes]:
        """Go on with the handshake; return whether it is complete, and what to send.

        Raises `ssl.SSLError`, as an `ssl.SSLCertVerificationError` where the server is not trusted.
        """
        self._received.write(received)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False, self._to_send.read()
        return True, self._to_send.read()

    def alert(self) -> bytes:
        """Return what tells the other side why a handshake failed, if there is anything."""
        return self._to_send.read()

    def encrypt(self, data: bytes) -> bytes:
        """Return what to send for some plaintext."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]
        return self._to_send.read()

    def decrypt(self, received: bytes) -> bytes:
        """Return the plaintext that is complete; nothing if a record is not, or TLS was closed."""
        self._received.write(received)
        plain: list[bytes] = []
        with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while read := self._tls.read(RECORD_BYTES):
                plain.append(read)
        return b"".join(plain)
