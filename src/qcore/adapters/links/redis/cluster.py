"""A transport to a Redis Cluster: each command goes to the node that serves its key's hash slot.

Not redis-py's cluster client, which neither pipelines scripts, nor lets WAIT follow a write on the
same connection, nor leaves it to its caller when a command is sent again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from random import SystemRandom
from typing import Any, Final, TypeAlias

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from qcore.adapters.links.redis.address import HostPort
from qcore.adapters.links.redis.errors import must_leave
from qcore.adapters.links.redis.pool import PendingReplies, Pool, Request, Requests, Transport
from qcore.adapters.links.redis.resp import RedisCommand, Reply

Failure: TypeAlias = RedisError | OSError

ASKING: Final[RedisCommand] = ("ASKING",)
SLOTS: Final[RedisCommand] = ("CLUSTER", "SLOTS")


class ClusterTransport(Transport):
    """A pool per node, and the slot map, read from any node; asynchronous or blocking as they are.

    Where a slot has moved, or its node does not answer, the error takes the place of the reply. A
    node that does not answer, or says that it is not the one to ask, is a suspect until it answers:
    once it is left, the slot map is read again, and from the other nodes first. A node that was cut
    off from the others has the map that was.
    """

    def __init__(self, make_pool: Callable[[HostPort], Pool], seeds: Sequence[HostPort]) -> None:
        self._make_pool = make_pool
        self._seeds = seeds
        self._pools: dict[HostPort, Pool] = {}
        self._slots: Mapping[range, HostPort] = {}
        self._new_owners: list[HostPort] = []
        """Nodes that were given a slot lately: they know so before the others do."""
        self._suspects: set[HostPort] = set()

    @property
    def nodes(self) -> list[HostPort]:
        """Return which nodes may answer: those that serve slots first, then the seeds."""
        return list(dict.fromkeys(chain(self._slots.values(), self._seeds)))

    async def exchange(self, requests: Requests, replies: list[Reply | Exception]) -> None:
        """Send all commands, a pipeline per node; append replies or errors in order."""
        requests = [*requests]
        if not self._slots:
            self._slots = await self._read_slots()
        answers: list[Reply | Exception] = [None] * len(requests)
        positions: dict[HostPort, list[int]] = {}
        for n, (key, _) in enumerate(requests):
            positions.setdefault(self._node_of_key(key), []).append(n)
        pending = await self._send(requests, positions, answers)
        await _receive(pending, positions, answers)
        errors = {n: each for n, each in enumerate(answers) if isinstance(each, Exception)}
        if errors or self._suspects:
            self._learn(positions, errors)
        for n, error in errors.items():
            if isinstance(error, AskError) and not isinstance(error, MovedError):
                node: HostPort = _redirected_to(error)
                answers[n] = await self._ask_importing_node(node, requests[n][1])
        replies += answers

    def _learn(
        self, positions: Mapping[HostPort, Sequence[int]], errors: Mapping[int, Exception]
    ) -> None:
        """Note which nodes are suspects, and which have been given slots."""
        for node, its in positions.items():
            if any(_is_refusal(errors[n]) for n in its if n in errors):
                self._suspects.add(node)
            else:
                self._suspects.discard(node)
        moved = [error for error in errors.values() if isinstance(error, MovedError)]
        self._new_owners = [_redirected_to(error) for error in moved]

    async def locate(self, key: str) -> HostPort | None:
        """Return the node that serves a key's slot; another one where that is a suspect."""
        if not self._slots:
            self._slots = await self._read_slots()
        node = self._node_of_key(key)
        others = [each for each in self.nodes if each not in self._suspects]
        if node in self._suspects and others:
            return SystemRandom().choice(others)
        return node

    def leave(self, at: HostPort | None = None) -> None:
        """Forget the slot map, and close the connections to suspects; from any thread."""
        if at is not None:
            self._suspects.add(at)
        self._slots = {}
        for node in [*self._suspects]:
            if node in self._pools:
                self._pools[node].leave()

    async def pause(self, seconds: float) -> None:
        """Sleep."""
        await self.pool_to(self._seeds[0]).pause(seconds)

    async def close(self) -> None:
        """Close idle connections, and forget the slot map."""
        self._slots = {}
        for pool in [*self._pools.values()]:
            await pool.close()

    async def masters(self) -> list[HostPort]:
        """Return the nodes that serve slots."""
        if not self._slots:
            self._slots = await self._read_slots()
        return list(dict.fromkeys(self._slots.values()))

    def pool_to(self, node: HostPort) -> Pool:
        """Return the one pool to a node, also to threads that ask at the same time."""
        pool = self._pools.get(node)
        # a pool that was made and not stored has no connections yet
        return self._pools.setdefault(node, self._make_pool(node)) if pool is None else pool

    def _node_of_key(self, key: str | None) -> HostPort:
        """Return the node that serves a key's slot; any, for no key or a slot without a node."""
        if key is not None:
            slot = key_slot(key.encode())
            for slots, node in self._slots.items():
                if slot in slots:
                    return node
        nodes = self.nodes
        return next((node for node in nodes if node not in self._suspects), nodes[0])

    async def _send(
        self,
        requests: Sequence[Request],
        positions: Mapping[HostPort, Sequence[int]],
        answers: list[Reply | Exception],
    ) -> dict[HostPort, PendingReplies]:
        pending: dict[HostPort, PendingReplies] = {}
        try:
            # sorted: two callers that took connections in different orders would wait for each
            # other where the pools are full
            for node, its in sorted(positions.items()):
                try:
                    pending[node] = await self.pool_to(node).send([requests[n] for n in its])
                except (RedisError, OSError) as error:
                    _fill(answers, its, [], error)
        except BaseException:
            for each in pending.values():
                await each.abandon()
            raise
        return pending

    async def _read_slots(self) -> Mapping[range, HostPort]:
        """Return which node serves which slots, from the first node that knows, suspects last."""
        failure: Failure = RedisConnectionError("the cluster has no nodes")
        nodes = dict.fromkeys([*self._new_owners, *self.nodes, *self._pools])
        for node in sorted(nodes, key=self._suspects.__contains__):
            try:
                reply: Reply = await self.pool_to(node).ask((None, SLOTS))
            except (RedisError, OSError) as error:
                failure = error
                self._suspects.add(node)
                continue
            if isinstance(reply, RedisError):
                failure = reply
            elif slots := dict(_parse_slots(reply, node)):
                self._leave_others(slots.values())
                return slots
            else:
                failure = ClusterDownError("CLUSTERDOWN no slot is served")
        raise failure

    def _leave_others(self, masters: Iterable[HostPort]) -> None:
        """Close the connections to nodes that serve no slot any more."""
        for node in {*self._pools} - {*masters}:
            self._pools[node].leave()

    async def _ask_importing_node(
        self, node: HostPort, command: RedisCommand | bytes
    ) -> Reply | Exception:
        """Return the reply of the node that a slot is being moved to."""
        replies: list[Reply | Exception] = []
        try:
            await self.pool_to(node).exchange([(None, ASKING), (None, command)], replies)
        except (RedisError, OSError) as error:
            return error
        return replies[1]


def _is_refusal(error: Exception) -> bool:
    """Return whether a node gave no answer, or said that it serves nothing: not where a slot is."""
    return not isinstance(error, MovedError) and must_leave(error)


async def _receive(
    pending: Mapping[HostPort, PendingReplies],
    positions: Mapping[HostPort, Sequence[int]],
    answers: list[Reply | Exception],
) -> None:
    unread = dict(pending)
    try:
        for node, each in pending.items():
            replies: list[Reply | Exception] = []
            error: Failure | None = None
            try:
                await each.receive(replies)
            except (RedisError, OSError) as raised:
                error = raised
            del unread[node]
            _fill(answers, positions[node], replies, error)
    finally:
        # a cancelled caller must leave no replies for the next one to read
        for each in unread.values():
            await each.abandon()


def _fill(
    answers: list[Reply | Exception],
    positions: Sequence[int],
    replies: Sequence[Reply | Exception],
    error: Failure | None,
) -> None:
    """Put a node's replies at their positions, and the error at those without a reply."""
    for n, reply in zip(positions, replies, strict=False):
        answers[n] = reply
    for n in positions[len(replies) :]:
        answers[n] = error


def _parse_slots(
    reply: Sequence[Sequence[Reply]], asked: HostPort
) -> Iterator[tuple[range, HostPort]]:
    """Yield slots and their masters, from a reply to CLUSTER SLOTS (redis.io, since 3.0)."""
    for first, last, master, *_ in reply:
        host, port = master[:2]
        # a node that does not know its own address means the one it was asked at
        yield range(first, last + 1), (host.decode() if host else asked[0], port)


def _redirected_to(error: Any) -> HostPort:
    """Return the node that a MOVED or ASK error names; redis-py does not annotate it."""
    return error.host, error.port
