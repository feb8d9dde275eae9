"""How the way to a Redis may fail, and what to do about it.

redis-py 8 tells by its words alone whether it failed to connect, or lost a connection on which a
command was already on its way.
"""

import errno
import re
from collections.abc import Mapping
from typing import Final

from redis.exceptions import InvalidResponse
from redis.exceptions import TimeoutError as TimedOut

from qcore.adapters.links.redis.server_errors import Complaint, later, never
from qcore.domain.errors import BrokerUnavailable

_CONNECTING: Final = re.compile(
    r"Error (?:(?P<number>-?\d+) |(?P<before>.*) )?connecting to (?P<to>.+?)\.(?: (?P<why>.*)\.)?$",
    re.DOTALL,
)
_AMONG_SEVERAL: Final = re.compile(r"\[Errno (-?\d+)\]")
_OUR_CERTIFICATE: Final = re.compile("_ALERT_(BAD_CERTIFICATE|CERTIFICATE|UNKNOWN_CA)")
_TLS_TALK: Final = re.compile(r'got "\\x1[56]"')

_BY_NUMBER: Final[Mapping[int, Complaint]] = {
    errno.ECONNREFUSED: later("nothing listens there: is the server running?"),
    errno.EHOSTUNREACH: later("no way leads there: is the address right?"),
    errno.ENETUNREACH: later("no way leads there: is the address right?"),
    errno.EMFILE: later("this process has too many open files: raise its limit (ulimit -n)"),
    errno.EACCES: never("this user may not open it: change its permissions"),
}
_NO_CONNECTION: Final = later("no connection comes about")
_NO_NAME: Final = later("its host name cannot be resolved: is it right?")
_NO_SOCKET: Final = later("there is no such socket: is the server running?")
_NO_FILE: Final = never("a file that ca=, cert= or key= names is gone")
_NOT_TRUSTED: Final = never(
    "its certificate is not trusted: name the file of the authority that signed it, ca=, and the "
    "host as the certificate does"
)
_NO_HANDSHAKE: Final = never(
    "no TLS with it: if it speaks none, use redis://; if it wants a certificate of yours, cert= "
    "and key="
)
_TALKS_TLS: Final = never("it speaks TLS: use rediss://")
_NO_REDIS: Final = never("what answers there is no Redis: is the port right?")

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


def failed(error: Exception, scheme: str, *, new: bool) -> Complaint:
    """Return what an error means that no server has answered with."""
    if (known := _known(error)) is not None:
        return known
    said = str(error)
    if connecting := _CONNECTING.search(said):
        return _unconnected(connecting, unix=scheme.endswith("+unix"))
    tls = scheme.startswith(("rediss", "valkeys"))
    hint = "" if not new else _IF_NEW_TLS if tls else _IF_NEW
    if isinstance(error, TimedOut | TimeoutError):
        return Complaint(BrokerUnavailable, _SILENT + hint, refused="connecting" in said)
    # of a bare OSError, only a refusal tells that nothing was on its way yet
    return Complaint(BrokerUnavailable, _LOST + hint, isinstance(error, ConnectionRefusedError))


def _known(error: Exception) -> Complaint | None:
    """Return what an error means that is told by its kind, or by all of its words."""
    said = str(error)
    if isinstance(error, InvalidResponse):
        return _TALKS_TLS if _TLS_TALK.search(said) else _NO_REDIS
    return _NO_HANDSHAKE if _OUR_CERTIFICATE.search(said) else None


def _unconnected(connecting: re.Match[str], *, unix: bool) -> Complaint:
    """Return what it means that no connection came about."""
    why = connecting["why"] or connecting["before"] or ""
    if why.startswith(("[SSL", "[X509")):
        if "CERTIFICATE_VERIFY_FAILED" in why:
            return _NOT_TRUSTED
        return _NO_CONNECTION if "EOF" in why else _NO_HANDSHAKE
    among = _AMONG_SEVERAL.search(why)
    number = int(connecting["number"] or (among[1] if among else 0))
    if number == errno.ENOENT:
        return _NO_SOCKET if unix else _NO_FILE
    if number < 0:
        return _NO_NAME
    return _BY_NUMBER.get(number, _NO_CONNECTION)
