"""The brokers, `connect` to make one from a URL, and the wrappers around one.

Each is imported when it is asked for: tests over memory need not wait for the driver of Redis, nor
have that of Postgres.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker, TracedBroker, TransformingBroker
from qcore.entrypoints.connect import connect
from qcore.ports import Broker, Capability

if TYPE_CHECKING:
    from qcore.adapters.links.sqlite import AsyncSqliteLink
    from qcore.adapters.postgres import PostgresBroker
    from qcore.adapters.redis import RedisBroker
    from qcore.adapters.sqlite import SqliteBroker
else:
    _LATE: Final = {
        "AsyncSqliteLink": "qcore.adapters.links.sqlite",
        "PostgresBroker": "qcore.adapters.postgres",
        "RedisBroker": "qcore.adapters.redis",
        "SqliteBroker": "qcore.adapters.sqlite",
    }

    def __getattr__(name: str) -> Any:
        """Import a broker that has a driver."""
        if name not in _LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_LATE[name]), name)


__all__ = [
    "AsyncSqliteLink",
    "Broker",
    "Capability",
    "ForwardingBroker",
    "MemoryBroker",
    "PostgresBroker",
    "RedisBroker",
    "SqliteBroker",
    "TracedBroker",
    "TransformingBroker",
    "connect",
]
