"""Links to Redis: to a server, a master behind Sentinels, or a cluster; see `link` for how."""

from qcore.adapters.links.redis.durability import Durability
from qcore.adapters.links.redis.factory import link_over, link_to
from qcore.adapters.links.redis.interfaces import Link, Script, ScriptCall
from qcore.adapters.links.redis.link import RedisLink
from qcore.adapters.links.redis.resp import Arg, RedisCommand, Reply
from qcore.adapters.links.redis.topology import ConnectionInfo, Node, Topology

__all__ = [
    "Arg",
    "ConnectionInfo",
    "Durability",
    "Link",
    "Node",
    "RedisCommand",
    "RedisLink",
    "Reply",
    "Script",
    "ScriptCall",
    "Topology",
    "link_over",
    "link_to",
]
