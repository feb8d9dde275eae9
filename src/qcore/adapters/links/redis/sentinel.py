"""A transport to the master of a replication group, as its Sentinels name it."""

from collections.abc import Callable, Sequence
from typing import Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from qcore.adapters.links.redis.address import HostPort
from qcore.adapters.links.redis.pool import Pool, Requests
from qcore.adapters.links.redis.resp import Reply


class SentinelTransport:
    """A pool to the master; after every error the Sentinels are asked for the master again.

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

    async def exchange(self, requests: Requests, replies: list[Reply | Exception]) -> None:
        """Send all commands to the master in one pipeline; append the replies in order."""
        master = self._master
        if master is None:
            found = await self.find_master()
            # another thread or task may have found it meanwhile
            master = self._master = self._master or found
        try:
            await self._pool(master).exchange(requests, replies)
        except (RedisError, OSError):
            await self._forget(master)
            raise
        if any(isinstance(reply, ReadOnlyError) for reply in replies):
            # it was the master, and is a replica now
            await self._forget(master)

    def _pool(self, at: HostPort) -> Pool:
        """Return the one pool to a server, also to threads that ask at the same time."""
        pool = self._pools.get(at)
        # a pool that was made and not stored has no connections yet
        return self._pools.setdefault(at, self._pool_to_server(at)) if pool is None else pool

    async def _forget(self, master: HostPort) -> None:
        if self._master == master:
            self._master = None
        await self._pool(master).close()

    async def find_master(self) -> HostPort:
        """Return the master's address, from the first Sentinel that knows it.

        Raises the last error where none does.
        """
        failure: RedisError | OSError = RedisConnectionError("no Sentinel is named")
        order = self._order
        for sentinel in order:
            replies: list[Reply | Exception] = []
            question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._master_name)
            try:
                await sentinel.exchange([(None, question)], replies)
            except (RedisError, OSError) as error:
                failure = error
                continue
            reply: Reply = replies[0]
            if isinstance(reply, RedisError):
                failure = reply
            elif reply is None:
                failure = ResponseError(f"No such master with that name: {self._master_name}")
            else:
                # the one that has answered is asked first the next time
                self._order = [sentinel, *(each for each in order if each is not sentinel)]
                host, port = reply
                return host.decode(), int(port)
        raise failure

    async def pause(self, seconds: float) -> None:
        """Sleep."""
        await self._order[0].pause(seconds)

    async def close(self) -> None:
        """Close idle connections."""
        for pool in (*self._pools.values(), *self._order):
            await pool.close()
        self._master = None
