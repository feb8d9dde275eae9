"""`diagnose` for Redis: findings about servers, permissions, scripts and stored tasks."""

from secrets import token_hex
from typing import Final

from qcore.adapters.links.redis import Link, Topology
from qcore.adapters.redis.keys import Keys
from qcore.adapters.redis.script_runner import ScriptRunner
from qcore.doctor.redis import failover, keyspace, queues, timing, workers
from qcore.doctor.redis.memory import eviction, memory
from qcore.doctor.redis.merge import merged_findings
from qcore.doctor.redis.permissions import missing_rules, permissions, user_of
from qcore.doctor.redis.persistence import persistence
from qcore.doctor.redis.replicas import replication
from qcore.doctor.redis.server_info import clients, connection, version
from qcore.doctor.redis.server_queries import Server, ServerQueries, rule_of
from qcore.doctor.redis.task_lifecycle import check_lifecycle
from qcore.domain.diagnostics import Finding, error
from qcore.domain.errors import QcoreError
from qcore.domain.new_task import DEFAULT_QUEUE
from qcore.domain.task import RetentionPolicy

__all__ = ["diagnose"]

USUAL: Final = RetentionPolicy()
SERVER_CHECKS: Final = (version, persistence, eviction, memory, clients)
"""The checks of what each server says of itself."""


async def diagnose(link: Link, namespace: str) -> list[Finding]:
    """Return findings; raise as `link.open` does where nothing can be said.

    What it writes to try things out is gone afterwards, as long as the server answers.
    """
    try:
        await link.open()
    except QcoreError as why:
        if rule_of(why) is None:
            raise
        return await _refused(link, namespace, why)
    return await _Examination(link, namespace, await link.topology()).whole()


async def _refused(link: Link, namespace: str, why: QcoreError) -> list[Finding]:
    """Return which permissions are missing besides the one without which there is no way in."""
    topology = await link.topology()
    keys = Keys(namespace)
    rules = await missing_rules(link, topology.masters, keys, _probe_queue(), topology.connection)
    if not rules:
        # somebody has just given what was missing
        return [error("connection", str(why), "ask again")]
    return permissions(rules, keys, user_of(topology.connection))


def _probe_queue() -> str:
    """Return the name of a queue that nobody uses."""
    return f"{keyspace.PROBE_PREFIX}{token_hex(8)}"


class _Examination:
    """One examination, part by part."""

    def __init__(self, link: Link, namespace: str, topology: Topology) -> None:
        self._link = link
        self._namespace = namespace
        self._topology = topology
        self._nodes = topology.masters
        self._servers: list[Server] = []
        self._keys = Keys(namespace)
        self._user = user_of(topology.connection)
        self._lacking: list[str] = []
        self._questions = ServerQueries()

    async def whole(self) -> list[Finding]:
        """Return all that is found; where a part of it gets no answers, that is told instead."""
        found = [*connection(self._topology.connection), *await self._answering()]
        for part in (self._failover, self._timing, self._rights, self._life, self._tasks):
            try:
                found += await part()
            except QcoreError as why:
                found.append(error("connection", str(why)))
        return [*found, *self._questions.findings(self._user, besides=self._lacking)]

    async def _answering(self) -> list[Finding]:
        """Return what servers tell of themselves; those that do not answer are asked no more."""
        silent: list[Finding] = []
        told: dict[str, list[Finding]] = {}
        for node in self._nodes:
            try:
                server = await self._questions.server(node)
            except QcoreError as why:
                silent.append(error("connection", str(why)))
                continue
            self._servers.append(server)
            told[server.name] = [
                *(each for look in SERVER_CHECKS for each in look(server)),
                *replication(server, self._topology.connection),
            ]
        self._nodes = [server.node for server in self._servers]
        return [*silent, *merged_findings(told)]

    async def _failover(self) -> list[Finding]:
        """Return how those see each other who have to agree on a master."""
        route = self._topology.connection
        if self._topology.sentinels and route is not None:
            return await failover.sentinels(self._topology.sentinels, route.master)
        return (
            [] if self._link.is_multi_slot else await failover.cluster(self._nodes, self._questions)
        )

    async def _timing(self) -> list[Finding]:
        """Return how quick the servers are, and what time they have."""
        taken = {node.name: [await timing.latency(node)] for node in self._nodes}
        clocks = {node.name: await timing.clock_offset(node) for node in self._nodes}
        slow = {
            server.name: await timing.slow_log(server, self._namespace, self._questions)
            for server in self._servers
        }
        told = {name: seconds for name, seconds in clocks.items() if seconds is not None}
        return [*merged_findings(taken), *timing.clocks(told), *merged_findings(slow)]

    async def _rights(self) -> list[Finding]:
        """Return which permissions are missing."""
        self._lacking = await missing_rules(
            self._link, self._nodes, self._keys, _probe_queue(), self._topology.connection
        )
        return permissions(self._lacking, self._keys, self._user)

    async def _life(self) -> list[Finding]:
        """Return whether a task can live, unless that is known not to be so."""
        return (
            []
            if self._lacking
            else await check_lifecycle(self._link, self._namespace, _probe_queue())
        )

    async def _tasks(self) -> list[Finding]:
        """Return what is stored, whether it fits together, and whether somebody serves it."""
        keys, queries, nodes = self._keys, self._questions, self._nodes
        names = await keyspace.names(nodes, keys, queries)
        known = list(dict.fromkeys((*names.known, *names.unknown, DEFAULT_QUEUE)))
        looked = known[: queues.MOST]
        now = self._link.time()
        queue_reports = await queues.queue_reports(nodes, keys, looked, now, queries)
        ours = [look for look in queue_reports if look.is_made and not look.foreign]
        runner = ScriptRunner(self._link, USUAL, self._namespace)
        return [
            *keyspace.namespace(names, keys),
            *queues.formats(queue_reports, beyond=len(known) - len(looked)),
            *await queues.leftovers(runner, nodes, ours, queries),
            *await workers.workers(self._topology, keys, ours, queries),
        ]
