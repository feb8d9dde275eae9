"""The server and the connection: version, TLS, password, number of clients."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from qcore.adapters.links.redis import ConnectionInfo
from qcore.doctor.redis.server_queries import Server
from qcore.domain.diagnostics import Finding, advice, ok, warning

CROWDED: Final = 0.8
"""Of maxclients."""


def connection(route: ConnectionInfo | None) -> Iterator[Finding]:
    """Tell how safe the way there is."""
    if route is None:
        yield ok("connection", "over connections of the caller's own")
        return
    client = f"as client {route.client}"
    if route.tls and not route.verify:
        yield warning(
            "connection",
            f"TLS, with verify=none: anybody may answer in the server's place; {client}",
            "leave verify=none out, and name who signed the server's certificate: ca=",
        )
    elif route.tls:
        yield ok("connection", f"TLS, the server's certificate checked, {client}")
    elif is_local(route):
        yield ok("connection", f"without TLS, within this machine, {client}")
    else:
        yield advice(
            "connection",
            f"without TLS: whoever is on the way reads tasks, and the password; {client}",
            "use rediss://, where the server speaks TLS",
        )
    if not (route.is_authenticated or is_local(route)):
        yield warning(
            "connection",
            "without a password: whoever reaches it may read and delete tasks",
            "set requirepass, or users with ACL SETUSER, and name one in the URL",
        )


def is_local(route: ConnectionInfo) -> bool:
    """Return whether nobody else is on the way."""
    return all(host == "localhost" or _is_loopback(host) for host in route.hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def version(server: Server) -> Iterator[Finding]:
    """Tell what it is: what is too old was refused when the link was opened."""
    info = server.info
    if "valkey_version" in info:
        yield ok("version", f"Valkey {info['valkey_version']}, {_mode(server)}")
    elif "redis_version" in info:
        yield ok("version", f"Redis {info['redis_version']}, {_mode(server)}")


def _mode(server: Server) -> str:
    return server.info.get("redis_mode") or server.info.get("server_mode") or "standalone"


def clients(server: Server) -> Iterator[Finding]:
    """Tell whether there is room for more workers."""
    most, now = server.number("maxclients"), server.number("connected_clients")
    if not most:
        return
    found = f"{now:,.0f} of {most:,.0f} connected"
    if now >= CROWDED * most:
        yield warning("clients", found, "raise maxclients, and the limit of open files with it")
    else:
        yield ok("clients", found)
    refused = server.number("rejected_connections")
    if refused:
        yield advice(
            "clients",
            f"{refused:,.0f} connections refused since it started, as there were too many",
            "look for who opens so many, or raise maxclients",
        )
