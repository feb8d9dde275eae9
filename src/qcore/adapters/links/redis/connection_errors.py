"""Failures of the connection itself: told apart by exception type, errno and TLS reason."""

import errno
import re
import socket
import ssl
from collections.abc import Mapping
from typing import Final

from redis.exceptions import InvalidResponse
from redis.exceptions import TimeoutError as RedisTimeoutError

from qcore.adapters.links.redis.connection_base import ConnectFailed
from qcore.adapters.links.redis.server_errors import Meaning, permanent, transient

_BY_ERRNO: Final[Mapping[int | None, Meaning]] = {
    errno.ECONNREFUSED: transient("nothing listens there: is the server running?"),
    errno.EHOSTUNREACH: transient("no way leads there: is the address right?"),
    errno.ENETUNREACH: transient("no way leads there: is the address right?"),
    errno.EMFILE: transient("this process has too many open files: raise its limit (ulimit -n)"),
    errno.EACCES: permanent("this user may not open it: change its permissions"),
}
_RESET: Final = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})
"""Errors of a connection that was there."""
_NO_CONNECTION: Final = "no connection comes about"
_NO_NAME: Final = transient("its host name cannot be resolved: is it right?")
_NO_SOCKET: Final = transient("there is no such socket: is the server running?")
_NO_FILE: Final = permanent("a file that ca=, cert= or key= names is gone")
_NOT_TRUSTED: Final = permanent(
    "its certificate is not trusted: name the file of the authority that signed it, ca=, and the "
    "host as the certificate does"
)
_NO_HANDSHAKE: Final = permanent(
    "no TLS with it: if it speaks none, use redis://; if it wants a certificate of yours, cert= "
    "and key="
)
_SPEAKS_TLS: Final = permanent("it speaks TLS: use rediss://")
_NO_REDIS: Final = permanent("what answers there is no Redis: is the port right?")

_CLIENT_CERTIFICATE: Final = re.compile("_ALERT_(BAD_CERTIFICATE|CERTIFICATE|UNKNOWN_CA)")
"""OpenSSL's reasons, as `ssl.SSLError.reason` has them, for a client certificate refused."""
_TLS_RECORD: Final = re.compile(r'"\\x1[56]"')
"""The byte that hiredis names in a protocol error: an alert's or a handshake's (RFC 8446, 5.1)."""

_LOST: Final = "the connection was lost"
_SILENT: Final = "it did not answer in time"
_IF_NEW: Final = (
    "; a server does so too if it speaks TLS (use rediss://), or is in protected mode "
    "(set requirepass)"
)
_IF_NEW_TLS: Final = (
    "; a server does so too if it speaks no TLS (use redis://), or wants a certificate of yours "
    "(cert=, key=)"
)


def connection_error(error: Exception, scheme: str, *, new: bool) -> Meaning:
    """Return the meaning of an error that is no reply of a server.

    With `new`, the server has never been heard from, and the URL may be wrong.
    """
    is_connecting = isinstance(error, ConnectFailed)
    cause = (error.__cause__ or error) if is_connecting else error
    if isinstance(cause, InvalidResponse):
        return _SPEAKS_TLS if _TLS_RECORD.search(str(cause)) else _NO_REDIS
    hint = "" if not new else _IF_NEW_TLS if scheme.startswith(("rediss", "valkeys")) else _IF_NEW
    # redis-py raises its own error in the handling of the system's
    for each in (cause, cause.__context__):
        if is_connecting and isinstance(each, ssl.SSLEOFError):
            # with TLS 1.3 also a server that has seen no certificate, before its alert is read
            return transient(_NO_CONNECTION + hint)
        if isinstance(each, ssl.SSLError) and (found := _tls_error(each, connecting=is_connecting)):
            return found
    if isinstance(cause, RedisTimeoutError | TimeoutError):
        return transient(_SILENT + hint)
    if is_connecting and isinstance(cause, OSError) and cause.errno not in _RESET:
        return _connect_error(cause, scheme)
    return transient(_LOST + hint)


def _connect_error(error: OSError, scheme: str) -> Meaning:
    if isinstance(error, socket.gaierror):
        return _NO_NAME
    if error.errno == errno.ENOENT:
        return _NO_SOCKET if scheme.endswith("+unix") else _NO_FILE
    return _BY_ERRNO.get(error.errno, transient(_NO_CONNECTION))


def _tls_error(error: ssl.SSLError, *, connecting: bool) -> Meaning | None:
    """Return the meaning of an error of TLS, None for one that lost an established connection."""
    if _CLIENT_CERTIFICATE.search(getattr(error, "reason", None) or ""):
        # with TLS 1.3 it arrives after the handshake, when the server has seen no certificate
        return _NO_HANDSHAKE
    if not connecting or isinstance(error, TimeoutError):
        return None
    if isinstance(error, ssl.SSLCertVerificationError):
        return _NOT_TRUSTED
    return _NO_HANDSHAKE
