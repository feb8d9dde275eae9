"""Whether a server will do."""

import re
from typing import Final

from qcore.domain.errors import BrokerUnusable

OLDEST: Final = (6, 2)


def refuse_unfit(info: bytes, shown: str, *, cluster: bool) -> None:
    """Raise `BrokerUnusable` for a server that is too old, or of another kind than its URL says."""
    said = facts(info)
    version = said.get("redis_version", "0")
    # Valkey tells of itself elsewhere, and here of the Redis it stands in for: 7.2.4
    if version_of(version) < OLDEST:
        raise BrokerUnusable(
            f"{shown} is Redis {version}: qcore needs 6.2 or newer, or Valkey; upgrade the server"
        )
    mode = said.get("redis_mode", "standalone")
    if mode == "sentinel":
        raise BrokerUnusable(
            f"{shown} is a Sentinel: name the master it watches, as in "
            "redis+sentinel://host:26379/mymaster"
        )
    if (mode == "cluster") is not cluster:
        expected = "redis+cluster://" if mode == "cluster" else "redis://"
        raise BrokerUnusable(f"{shown} runs in {mode} mode: use a URL that begins with {expected}")


def facts(info: bytes) -> dict[str, str]:
    """Return what INFO answers as names and values."""
    rows = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in rows if colon}


def version_of(text: str) -> tuple[int, ...]:
    """Return a version as numbers."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])
