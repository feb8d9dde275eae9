"""Tell a request that is refused for its size from an outage: both can close the connection.

A server whose `proto-max-bulk-len` is exceeded replies with a protocol error and closes the
connection; the reply is lost where the client is still sending by then. One whose
`client-query-buffer-limit` is exceeded closes it without a reply, and so do proxies. In an outage,
however, the server answers nothing else either. So a request is refused if it is large, its
connections were lost several times in a row, and the server has answered a small one in between.
"""

from contextlib import suppress
from typing import Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from qcore.adapters.links.redis.connection_base import ConnectFailed
from qcore.adapters.links.redis.pool import Request, Transport
from qcore.adapters.links.redis.resp import is_error_reply
from qcore.adapters.links.redis.server_errors import TOO_LARGE
from qcore.domain.errors import BrokerRefused

LARGE: Final = 1 << 16
"""Bytes from which a request may be refused for its size: no limit of a server is smaller."""


def is_lost(error: Exception | None) -> bool:
    """Return whether a connection was lost that had been established."""
    return (
        isinstance(error, RedisConnectionError | ConnectionError)
        and not isinstance(error, ConnectFailed)
        and not is_error_reply(error)
    )


def is_large(request: Request) -> bool:
    """Return whether a request is so large that it may be refused for it."""
    return _size(request) >= LARGE


async def answers_another(transport: Transport, request: Request) -> bool:
    """Return whether the server that a request goes to answers a small one."""
    with suppress(RedisError, OSError):
        return not isinstance(await transport.ask((request[0], ("TIME",))), Exception)
    return False


def refusal(request: Request, shown: str) -> BrokerRefused:
    """Return the error for a request on which the server closes the connection."""
    return BrokerRefused(
        f"{shown}: {TOO_LARGE.advice} (it closes the connection on {_size(request):,} bytes, and "
        "answers smaller requests)"
    )


def _size(request: Request) -> int:
    command = request[1]
    if isinstance(command, bytes):
        return len(command)
    return sum(len(arg) for arg in command if not isinstance(arg, int))
