"""The links to Redis: one that awaits, one that blocks; to a server, by Sentinels, to a cluster."""

from qcore.adapters.links.redis.durability import Safety
from qcore.adapters.links.redis.factory import link_over, link_to
from qcore.adapters.links.redis.interfaces import (
    Call,
    Link,
    Manner,
    Script,
    Spot,
    Surroundings,
)
from qcore.adapters.links.redis.link import RedisLink
from qcore.adapters.links.redis.resp import Command, Reply, Word

__all__ = [
    "Call",
    "Command",
    "Link",
    "Manner",
    "RedisLink",
    "Reply",
    "Safety",
    "Script",
    "Spot",
    "Surroundings",
    "Word",
    "link_over",
    "link_to",
]
