"""INFO, read: version and mode of a server, and whether it will do."""

import re
from typing import Final

from qcore.domain.errors import BrokerUnusable

OLDEST: Final = (6, 2)


def refuse_unfit(info: bytes, server: str, *, cluster: bool) -> None:
    """Raise `BrokerUnusable` for a server that is too old, or of another kind than its URL says."""
    fields = info_fields(info)
    version = fields.get("redis_version", "0")
    # Valkey has its own version in valkey_version, and here that of the Redis it replaces: 7.2.4
    if version_of(version) < OLDEST:
        raise BrokerUnusable(
            f"{server} is Redis {version}: qcore needs 6.2 or newer, or Valkey; upgrade the server"
        )
    # Valkey has server_mode; redis_mode only with extended-redis-compatibility
    mode = fields.get("redis_mode") or fields.get("server_mode", "standalone")
    if mode == "sentinel":
        raise BrokerUnusable(
            f"{server} is a Sentinel: name the master it watches, as in "
            "redis+sentinel://host:26379/mymaster"
        )
    if (mode == "cluster") is not cluster:
        expected = "redis+cluster://" if mode == "cluster" else "redis://"
        raise BrokerUnusable(f"{server} runs in {mode} mode: use a URL that begins with {expected}")


def is_replica(info: bytes) -> bool:
    """Return whether a server follows another one, by its reply to INFO replication."""
    return info_fields(info).get("role") == "slave"


def info_fields(info: bytes) -> dict[str, str]:
    """Return the fields of a reply to INFO by name."""
    rows = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in rows if colon}


def version_of(text: str) -> tuple[int, ...]:
    """Return a version as numbers."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])
