"""A wire to a cluster: each command to the node that has its slot.

Written here, as redis-py's own cluster client neither pipelines scripts, nor lets WAIT follow a
write on its connection, nor leaves it to its caller when a command is sent again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, TypeAlias

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError
from redis.exceptions import ConnectionError as Disconnected

from qcore.adapters.links.redis.pool import Channel, Pool, Request, Requests
from qcore.adapters.links.redis.resp import Command, Reply

Node: TypeAlias = tuple[str, int]
Trouble: TypeAlias = RedisError | OSError

ASKING: Final[Command] = ("ASKING",)
SLOTS: Final[Command] = ("CLUSTER", "SLOTS")


class ClusterWire:
    """Pools to the nodes of a cluster, known from any of its seeds; it awaits or blocks as they do.

    Where a slot is elsewhere, or its node does not answer, the error takes the place of the answer,
    and the map is drawn anew before the next exchange.
    """

    def __init__(self, make: Callable[[Node], Pool], seeds: Sequence[Node]) -> None:
        self._make = make
        self._seeds = seeds
        self._pools: dict[Node, Pool] = {}
        self._slots: Mapping[range, Node] = {}
        self._knowing: list[Node] = []
        """Who was given a slot lately, and knows it before the others do."""

    @property
    def nodes(self) -> list[Node]:
        """Return where somebody may answer: those with slots first, then the seeds."""
        return list(dict.fromkeys(chain(self._slots.values(), self._seeds)))

    async def exchange(self, requests: Requests, into: list[Reply | Exception]) -> None:
        """Send commands to their nodes all at once; put answers or errors into a list in order."""
        requests = [*requests]
        if not self._slots:
            self._slots = await self._map()
        answers: list[Reply | Exception] = [None] * len(requests)
        places: dict[Node, list[int]] = {}
        for n, (key, _) in enumerate(requests):
            places.setdefault(self._node(key), []).append(n)
        channels = await self._send(requests, places, answers)
        await _receive(channels, places, answers)
        for n, answer in enumerate(answers):
            if isinstance(answer, AskError) and not isinstance(answer, MovedError):
                node: Node = _node_of(answer)
                answers[n] = await self._asking(node, requests[n][1])
        if any(isinstance(answer, _MAP_IS_OLD) for answer in answers):
            self._slots = {}
            self._knowing = [_node_of(each) for each in answers if isinstance(each, MovedError)]
        into += answers

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await self._pool(self._seeds[0]).pause(seconds)

    async def close(self) -> None:
        """Close what is not in use."""
        for pool in self._pools.values():
            await pool.close()

    async def masters(self) -> list[Node]:
        """Return who has slots."""
        if not self._slots:
            self._slots = await self._map()
        return list(dict.fromkeys(self._slots.values()))

    def at(self, node: Node) -> Pool:
        """Return a wire to one node."""
        return self._pool(node)

    def _pool(self, node: Node) -> Pool:
        pool = self._pools.get(node)
        # of threads that come at once all have the one that is closed in the end
        return self._pools.setdefault(node, self._make(node)) if pool is None else pool

    def _node(self, key: str | None) -> Node:
        """Return who has a key's slot; anybody, for no key or a slot that nobody has."""
        slot = 0 if key is None else key_slot(key.encode())
        for slots, node in self._slots.items():
            if slot in slots:
                return node
        return self.nodes[0]

    async def _send(
        self,
        requests: Sequence[Request],
        places: Mapping[Node, Sequence[int]],
        answers: list[Reply | Exception],
    ) -> dict[Node, Channel]:
        channels: dict[Node, Channel] = {}
        try:
            # in one order: who holds connections to some nodes waits for others
            for node, theirs in sorted(places.items()):
                try:
                    channels[node] = await self._pool(node).send([requests[n] for n in theirs])
                except (RedisError, OSError) as error:
                    _fill(answers, theirs, [], error)
        except BaseException:
            for channel in channels.values():
                await channel.abandon()
            raise
        return channels

    async def _map(self) -> Mapping[range, Node]:
        """Return which node has which slots, by the first who knows."""
        trouble: Trouble = Disconnected("the cluster has no nodes")
        for node in dict.fromkeys([*self._knowing, *self.nodes, *self._pools]):
            replies: list[Reply | Exception] = []
            try:
                await self._pool(node).exchange([(None, SLOTS)], replies)
            except (RedisError, OSError) as error:
                trouble = error
                continue
            reply: Reply = replies[0]
            if isinstance(reply, RedisError):
                trouble = reply
            elif slots := dict(_read(reply, node)):
                return slots
            else:
                trouble = ClusterDownError("CLUSTERDOWN no slot is served")
        raise trouble

    async def _asking(self, node: Node, command: Command) -> Reply | Exception:
        """Return the answer of a node that a slot is just moving to."""
        replies: list[Reply | Exception] = []
        try:
            await self._pool(node).exchange([(None, ASKING), (None, command)], replies)
        except (RedisError, OSError) as error:
            return error
        return replies[1]


_MAP_IS_OLD: Final = (MovedError, ClusterDownError, Disconnected, OSError)


async def _receive(
    channels: Mapping[Node, Channel],
    places: Mapping[Node, Sequence[int]],
    answers: list[Reply | Exception],
) -> None:
    left = dict(channels)
    try:
        for node, channel in channels.items():
            replies: list[Reply | Exception] = []
            error: Trouble | None = None
            try:
                await channel.receive(replies)
            except (RedisError, OSError) as raised:
                error = raised
            del left[node]
            _fill(answers, places[node], replies, error)
    finally:
        # somebody who was cancelled leaves no answers behind for the next to read
        for channel in left.values():
            await channel.abandon()


def _fill(
    answers: list[Reply | Exception],
    places: Sequence[int],
    replies: Sequence[Reply | Exception],
    error: Trouble | None,
) -> None:
    """Put what came into its places, and an error into those for which nothing came."""
    for n, reply in zip(places, replies, strict=False):
        answers[n] = reply
    for n in places[len(replies) :]:
        answers[n] = error


def _read(reply: Sequence[Sequence[Reply]], asked: Node) -> Iterator[tuple[range, Node]]:
    """Yield slots and who has them, of an answer to CLUSTER SLOTS (redis.io, since 3.0)."""
    for first, last, master, *_ in reply:
        host, port = master[:2]
        # a node that does not know its own address means the one it was asked at
        yield range(first, last + 1), (host.decode() if host else asked[0], port)


def _node_of(error: Any) -> Node:
    """Return where an error says that the slot is; redis-py does not say of what type."""
    return error.host, error.port
