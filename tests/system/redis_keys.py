"""What is left in a Redis."""

from typing import Final

from tests.servers.redis import RedisServer

FOR_EVER: Final = -1
"""How long a key lives that does not expire, as PTTL says it."""


def keys_left(server: RedisServer) -> set[str]:
    """Return which keys a server has that do not go away by themselves."""
    return {key for key in server.cli("KEYS", "*") if server.cli("PTTL", key) == FOR_EVER}
