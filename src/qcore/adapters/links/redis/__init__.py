"""The links to Redis: one that awaits, one that blocks; to a server, by Sentinels, to a cluster."""

from qcore.adapters.links.redis.link import RedisLink
from qcore.adapters.links.redis.making import link_over, link_to
from qcore.adapters.links.redis.safety import Safety
from qcore.adapters.links.redis.shapes import Call, Link, Reply, Script, Word

__all__ = ["Call", "Link", "RedisLink", "Reply", "Safety", "Script", "Word", "link_over", "link_to"]
