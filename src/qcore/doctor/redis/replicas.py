"""Replication: whether a master has as many replicas as it should, and they keep up."""

import re
from collections.abc import Iterator
from typing import Final

from qcore.adapters.links.redis import ConnectionInfo
from qcore.doctor.redis.server_queries import Server
from qcore.domain.diagnostics import Finding, advice, error, ok, warning

ABOUT: Final = "replication"
LATE: Final = 10
"""Seconds after which a replica that has said nothing is late: it should each second."""

_SEE: Final = "look at their logs, and at the network between"


def replication(server: Server, route: ConnectionInfo | None) -> Iterator[Finding]:
    """Tell how a server's replicas are, and whether there are as many as are asked for."""
    if server.is_replica:
        leader = f"{server.info.get('master_host')}:{server.info.get('master_port')}"
        yield error(
            ABOUT,
            f"it is a replica of {leader}, and takes no tasks",
            "name the master in the URL, or Sentinels (redis+sentinel://), who know it",
        )
        return
    if server.info.get("role") != "master":
        return
    fine = len([*_in_step(server)])
    late = [*_late(server)]
    if late:
        yield warning(ABOUT, f"{', '.join(late)} do not keep up", _SEE)
    yield from _too_few(server, fine)
    yield from _promised(server, route, fine)
    yield from _alone(server, route, fine)


def _in_step(server: Server) -> Iterator[str]:
    """Yield the replicas that keep up."""
    for place, state, lag in _replicas(server):
        if state == "online" and lag <= LATE:
            yield place


def _late(server: Server) -> Iterator[str]:
    for place, state, lag in _replicas(server):
        if state != "online" or lag > LATE:
            yield f"{place} ({state}, heard of {lag} s ago)"


def _replicas(server: Server) -> Iterator[tuple[str, str, int]]:
    """Yield where each replica is, its state, and for how many seconds it has said nothing."""
    for name, value in server.info.items():
        if re.fullmatch(r"slave\d+", name):
            pairs = (pair.partition("=") for pair in value.split(","))
            facts = {key: each for key, _, each in pairs}
            place = f"{facts.get('ip')}:{facts.get('port')}"
            yield place, facts.get("state", "unknown"), int(facts.get("lag", 0))


def _too_few(server: Server, fine: int) -> Iterator[Finding]:
    """Tell whether the server refuses writes because it has too few replicas."""
    least = int(server.config.get("min-replicas-to-write", 0))
    if least > fine:
        yield error(
            ABOUT,
            f"min-replicas-to-write is {least}, and {fine} replicas keep up: it takes no tasks",
            f"{_SEE}; or lower min-replicas-to-write",
        )


def _promised(server: Server, route: ConnectionInfo | None, fine: int) -> Iterator[Finding]:
    """Tell whether an enqueue waits for what there is not."""
    if route is None:
        return
    if route.replicas > fine:
        yield error(
            ABOUT,
            f"replicas={route.replicas} in the URL, and {fine} keep up: no enqueue succeeds",
            f"{_SEE}; or ask for fewer",
        )
    if route.fsync is None:
        return
    if server.info.get("aof_enabled") == "0":
        yield error(
            "persistence",
            "fsync= in the URL, and no append-only file: no enqueue succeeds",
            "CONFIG SET appendonly yes, and in redis.conf; or leave fsync= out",
        )
    if route.fsync[1] > fine:
        yield error(
            ABOUT,
            f"fsync={route.fsync[1]} in the URL, and {fine} replicas keep up: no enqueue succeeds",
            f"{_SEE}; or ask for fewer",
        )


def _alone(server: Server, route: ConnectionInfo | None, fine: int) -> Iterator[Finding]:
    kind = "single" if route is None else route.kind
    if fine == 0:
        if kind == "sentinel":
            yield warning(
                ABOUT, "no replica: Sentinels have nobody to promote", "give it a replica"
            )
        elif kind == "cluster":
            yield advice(ABOUT, "no replica: its queues are away while it is", "give it a replica")
        else:
            yield ok(ABOUT, "no replicas")
    elif kind == "single" or server.config.get("min-replicas-to-write", "1") != "0":
        yield ok(ABOUT, f"{fine} replica{'s' if fine > 1 else ''} in step")
    else:
        yield advice(
            ABOUT,
            f"{fine} in step; a master cut off from it takes tasks that a failover then undoes",
            "CONFIG SET min-replicas-to-write 1, or replicas=1 in the URL",
        )
