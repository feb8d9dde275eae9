"""A wire to the master that Sentinels know."""

from collections.abc import Callable, Sequence
from typing import Final

from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from qcore.adapters.links.redis.address import Place
from qcore.adapters.links.redis.pool import Pool, Requests
from qcore.adapters.links.redis.resp import Reply


class SentinelWire:
    """A pool to a master, who is asked for again whenever something went wrong.

    It awaits or blocks as the pools do. `master` is the name by which the Sentinels know it.
    """

    def __init__(
        self,
        make: Callable[[Place], Pool],
        ask: Callable[[Place], Pool],
        sentinels: Sequence[Place],
        master: str,
    ) -> None:
        self._make = make
        self.sentinels: Final = {place: ask(place) for place in sentinels}
        """Those who are asked for the master, by where they are."""
        self._sentinels = list(self.sentinels.values())
        self._name = master
        self._pools: dict[Place, Pool] = {}
        self._master: Place | None = None

    async def exchange(self, requests: Requests, into: list[Reply | Exception]) -> None:
        """Send commands to the master all at once; put answers into a list in order."""
        master = self._master
        if master is None:
            place = await self.find()
            # somebody else may have found it meanwhile
            master = self._master = self._master or place
        try:
            await self._pool(master).exchange(requests, into)
        except (RedisError, OSError):
            await self._let_go(master)
            raise
        if any(isinstance(reply, ReadOnlyError) for reply in into):
            # it was the master, and is a replica now
            await self._let_go(master)

    def _pool(self, place: Place) -> Pool:
        """Return the one pool to a place, also to threads that come at once."""
        pool = self._pools.get(place)
        # one that was made and not taken in has no connections yet
        return self._pools.setdefault(place, self._make(place)) if pool is None else pool

    async def _let_go(self, master: Place) -> None:
        if self._master == master:
            self._master = None
        await self._pool(master).close()

    async def find(self) -> Place:
        """Return where the master is, by the first Sentinel who knows."""
        trouble: RedisError | OSError = Disconnected("no Sentinel is named")
        asked = self._sentinels
        for sentinel in asked:
            replies: list[Reply | Exception] = []
            question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)
            try:
                await sentinel.exchange([(None, question)], replies)
            except (RedisError, OSError) as error:
                trouble = error
                continue
            reply: Reply = replies[0]
            if isinstance(reply, RedisError):
                trouble = reply
            elif reply is None:
                trouble = ResponseError(f"No such master with that name: {self._name}")
            else:
                # who answered is asked first the next time
                self._sentinels = [sentinel, *(each for each in asked if each is not sentinel)]
                host, port = reply
                return host.decode(), int(port)
        raise trouble

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await self._sentinels[0].pause(seconds)

    async def close(self) -> None:
        """Close what is not in use."""
        for pool in (*self._pools.values(), *self._sentinels):
            await pool.close()
        self._master = None
