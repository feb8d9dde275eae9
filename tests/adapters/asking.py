"""Commands sent to a Redis that a URL names, and what its refusals are mapped to."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from redis.exceptions import RedisError

from qcore import BrokerUnavailable
from qcore.adapters.links.redis.async_connection import AsyncSocketConnection
from qcore.adapters.links.redis.connection_base import ConnectionSettings, connecting
from qcore.adapters.links.redis.errors import is_transient, mapped
from qcore.adapters.links.redis.resp import encode
from qcore.adapters.links.redis.sync_connection import sync_connection
from qcore.adapters.links.redis.url import parse
from tests.servers.binaries import SERVERS

WRITE = "return redis.call('HSET', KEYS[1], 'a', '1')"


def settings_of(url: str) -> ConnectionSettings:
    """Return how a URL has a connection made, which waits longer unless the URL says how long."""
    settings = parse(url).connection_settings()
    return settings if "timeout=" in url else evolve(settings, timeout=30.0)


def blocking(url: str, *commands: Any) -> Any:
    """Send commands over a connection that blocks; return the last answer."""
    connection = sync_connection(settings_of(url))
    try:
        with connecting():
            connection.connect()
        answer = None
        for command in commands:
            connection.send_packed_command(encode([command]), check_health=False)
            answer = connection.read_response()
        return answer
    finally:
        connection.disconnect()


def awaiting(url: str, *commands: Any) -> Any:
    """Send commands over a connection that awaits; return the last answer."""

    async def exchange() -> Any:
        connection = AsyncSocketConnection(settings_of(url))
        try:
            await connection.connect()
            answer = None
            for command in commands:
                await connection.send_packed_command(encode([command]), check_health=False)
                answer = await connection.read_response()
            return answer
        finally:
            await connection.disconnect(nowait=False)

    return asyncio.run(exchange())


Colour = Callable[..., Any]
both_colours = pytest.mark.parametrize("send", [blocking, awaiting])
every_server = pytest.mark.parametrize("binary", SERVERS, ids=str)


def refused(send: Colour, url: str, *commands: Any) -> Exception:
    """Return what the error of some commands is mapped to."""
    with pytest.raises((RedisError, OSError)) as raised:
        send(url, *commands)
    told = mapped(raised.value, parse(url).shown, new=True)
    assert is_transient(raised.value, url) is isinstance(told, BrokerUnavailable)
    assert "s3cr3t" not in f"{told}{told!r}{raised.value}{raised.value.__context__}"
    return told


def evaluate(script: str, key: str) -> tuple[Any, ...]:
    """Return the command that runs a script with a key."""
    return "EVAL", script, 1, key
