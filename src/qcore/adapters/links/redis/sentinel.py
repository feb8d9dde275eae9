"""A transport to the master of a replication group, as its Sentinels name it."""

from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from qcore.adapters.links.clock_sync import monotonic
from qcore.adapters.links.redis.address import HostPort
from qcore.adapters.links.redis.pool import Pool, Request, Requests
from qcore.adapters.links.redis.resp import Reply

QUICK: Final = 0.1
"""Seconds in which a Sentinel that is there answers, and one that is gone refuses a connection."""
TRUST: Final = 60.0
"""Seconds for which nobody asks whether the master was replaced, after a Sentinel was silent."""


class SentinelTransport:
    """A pool to the master; once that is left, the Sentinels are asked for the master again.

    Asynchronous or blocking, as the pools are. `master_name` is the name that the Sentinels monitor
    it under.
    """

    def __init__(
        self,
        pool_to_server: Callable[[HostPort], Pool],
        pool_to_sentinel: Callable[[HostPort], Pool],
        sentinels: Sequence[HostPort],
        master_name: str,
    ) -> None:
        self._pool_to_server = pool_to_server
        self.sentinels: Final = {at: pool_to_sentinel(at) for at in sentinels}
        """A pool to each Sentinel."""
        self._order = list(self.sentinels.values())
        self._master_name = master_name
        self._pools: dict[HostPort, Pool] = {}
        self._master: HostPort | None = None
        self._left: HostPort | None = None
        """The master that was left last."""
        self._trusted_until = -inf
        """Until when it is not asked whether the master was replaced."""

    async def exchange(self, requests: Requests, replies: list[Reply | Exception]) -> None:
        """Send all commands to the master in one pipeline; append the replies in order."""
        pool = await self._pool_to_master()
        await pool.exchange(requests, replies)

    async def ask(self, request: Request) -> Reply | Exception:
        """Send one command to the master; return its reply, an error reply as an exception."""
        pool = await self._pool_to_master()
        return await pool.ask(request)

    async def _pool_to_master(self) -> Pool:
        master = self._master
        if master is None:
            found = await self.find_master()
            # another thread or task may have found it meanwhile
            master = self._master = self._master or found
        return self._pool(master)

    def _pool(self, at: HostPort) -> Pool:
        """Return the one pool to a server, also to threads that ask at the same time."""
        pool = self._pools.get(at)
        # a pool that was made and not stored has no connections yet
        return self._pools.setdefault(at, self._pool_to_server(at)) if pool is None else pool

    async def find_master(self) -> HostPort:
        """Return the master's address, from the first Sentinel that knows it.

        A Sentinel that was cut off together with a master goes on naming it: the master that was
        left last is returned only where most Sentinels name it, or no other is named. Raises the
        last error where none is.
        """
        failure: RedisError | OSError = RedisConnectionError("no Sentinel is named")
        order, again = self._order, 0
        for sentinel in order:
            try:
                named = await self._named_by(sentinel)
            except (RedisError, OSError) as error:
                failure = error
                continue
            again += named == self._left
            if named != self._left or again * 2 > len(order):
                # the one that has answered is asked first the next time
                self._order = [sentinel, *(each for each in order if each is not sentinel)]
                return named
        if again and self._left is not None:
            return self._left
        raise failure

    async def has_moved(self) -> bool:
        """Return whether most Sentinels name another master than the one that is used.

        A master that an operator has replaced (SENTINEL FAILOVER) is told so eight seconds later,
        takes writes until then, and loses them. One Sentinel that still names it is enough for it
        to stay: the usual answer is to cost one request.
        """
        used, others = self._master, 0
        if used is None or monotonic() < self._trusted_until:
            return False
        for sentinel in self._order:
            began = monotonic()
            try:
                named = await self._named_by(sentinel)
            except (RedisError, OSError):
                self._order = [*(each for each in self._order if each is not sentinel), sentinel]
                if monotonic() - began > QUICK:
                    # messages wait meanwhile: where Sentinels are silent, they wait once a minute
                    self._trusted_until = monotonic() + TRUST
                    return False
                continue
            if named == used:
                return False
            others += 1
        return others * 2 > len(self._order)

    async def _named_by(self, sentinel: Pool) -> HostPort:
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._master_name)
        reply: Reply = await sentinel.ask((None, question))
        if isinstance(reply, Exception):
            raise reply
        if reply is None:
            raise ResponseError(f"No such master with that name: {self._master_name}")
        host, port = reply
        return host.decode(), int(port)

    async def locate(self, key: str) -> HostPort | None:  # noqa: ARG002  (the master has all keys)
        """Return the master's address, asked for again."""
        return await self.find_master()

    def leave(self, at: HostPort | None = None) -> None:  # noqa: ARG002  (there is only one)
        """Forget the master, and close the connections to it; from any thread."""
        if self._master is not None:
            self._left, self._master = self._master, None
        for pool in [*self._pools.values()]:
            pool.leave()

    async def pause(self, seconds: float) -> None:
        """Sleep."""
        await self._order[0].pause(seconds)

    async def close(self) -> None:
        """Close idle connections."""
        for pool in (*self._pools.values(), *self._order):
            await pool.close()
        self._master = None
