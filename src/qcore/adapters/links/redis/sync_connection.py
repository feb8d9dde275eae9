"""The blocking connection: redis-py's own, made from our settings.

One of ours saved up to 8 % of a blocking enqueue, 3 % on an idle machine: too little to keep
hand-written sockets for.
"""

from typing import Any

import redis
from redis.maint_notifications import MaintNotificationsConfig

from qcore.adapters.links.redis.connection_base import (
    ConnectionSettings,
    SyncConnection,
    TlsSettings,
)


def sync_connection(settings: ConnectionSettings) -> SyncConnection:
    """Return a connection, not yet connected, that repeats no command and checks no health.

    Without `retry` a connection of redis-py has no retries, where a client of redis-py would repeat
    commands that may have been executed.
    """
    common: dict[str, Any] = {
        "db": settings.db,
        "username": settings.username,
        "password": settings.password,
        "client_name": settings.client_name,
        "driver_info": settings.driver,
        "socket_timeout": settings.timeout,
        "socket_connect_timeout": settings.timeout,
        "protocol": 2,
        "health_check_interval": 0,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    made: SyncConnection
    if settings.path is not None:
        made = _untyped.UnixDomainSocketConnection(path=settings.path, **common)
        return made
    common |= {"host": settings.host, "port": settings.port, "socket_keepalive": True}
    if settings.tls is None:
        made = _untyped.Connection(**common)
    else:
        made = _untyped.SSLConnection(**common, **_tls_keywords(settings.tls))
    return made


def _tls_keywords(tls: TlsSettings) -> dict[str, Any]:
    return {
        "ssl_ca_certs": tls.ca,
        "ssl_certfile": tls.cert,
        "ssl_keyfile": tls.key,
        "ssl_cert_reqs": "required" if tls.verify else "none",
        "ssl_check_hostname": tls.verify,
    }


_untyped: Any = redis
"""redis-py's connections are annotated in part only."""
