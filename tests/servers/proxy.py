"""A connection to Redis that fails as told."""

import asyncio
from collections.abc import Callable, Coroutine
from threading import Event, Thread
from typing import Any, Self, TypeVar

from tests.servers.pairs import HOST, Orders, Pair, Trap
from tests.servers.ports import free_port

T = TypeVar("T")

PATIENCE = 30.0
# What a connection goes through in asyncio before its protocol hears of it, and one to spare.
TURNS = 6


class Proxy:
    """A port that leads to another one on this machine, until told otherwise.

    What a method does is in effect when it returns. It works in a thread of its own, so that tests
    that block and tests that await can use it alike. A reply travels as a whole, or not at all.
    """

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self._orders = Orders(port)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name=f"proxy-{port}", daemon=True)
        self._listening: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def connections(self) -> int:
        """Return how many clients are connected."""
        return self._do(self._count())

    def __enter__(self) -> Self:
        self._thread.start()
        self.accept()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self, *, reset: bool = True) -> None:
        """Drop all connections, as a crash does (reset), or as a server that leaves (its end)."""
        self._do(self._cut(reset=reset))

    def refuse(self) -> None:
        """Refuse new connections; those that are stay."""
        self._do(self._refuse())

    def accept(self) -> None:
        """Accept new connections again."""
        self._do(self._accept())

    def lead_to(self, port: int) -> None:
        """Lead new connections to another port; those that are stay where they are.

        So does whatever stands in front of servers when one takes the place of another: a DNS name,
        a load balancer, a service of Kubernetes.
        """
        self._do(self._lead_to(port))

    def hold(self) -> None:
        """Keep all replies to ourselves: requests arrive, and are carried out."""
        self._do(self._hold())

    def release(self) -> None:
        """Pass on the replies that were held, and all that follow."""
        self._do(self._release())

    def cut_reply(self, which: int | Callable[[bytes], bool] = 1) -> Event:
        """Let a request be carried out, and drop its connection in the middle of the reply.

        `which` is how many requests from now (1 is the next), or says so of a request's bytes. What
        was sent along with it is carried out too; of the replies, those before it arrive. Returns
        an event that is set when the connection has been dropped. In a connection that subscribes,
        where a request may have several replies, it finds the wrong one.
        """
        trap = Trap(which)
        self._do(self._set(trap))
        return trap.sprung

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _count(self) -> int:
        await _arrivals()
        return sum(pair.client.is_open for pair in self._orders.pairs)

    async def _cut(self, *, reset: bool) -> None:
        await _arrivals()
        pairs = tuple(self._orders.pairs)
        for pair in pairs:
            pair.cut(reset=reset)
        await asyncio.gather(*(pair.is_over.wait() for pair in pairs))

    async def _refuse(self) -> None:
        if self._listening is not None:
            self._listening.close()
        self._listening = None

    async def _accept(self) -> None:
        if self._listening is None:
            serve = self._loop.create_server(lambda: Pair(self._orders).client, HOST, self.port)
            self._listening = await serve

    async def _lead_to(self, port: int) -> None:
        await _arrivals()
        self._orders.to = port

    async def _hold(self) -> None:
        self._orders.is_held = True

    async def _release(self) -> None:
        self._orders.is_held = False
        for pair in tuple(self._orders.pairs):
            pair.replied(b"")

    async def _set(self, trap: Trap) -> None:
        self._orders.trap = trap


async def _arrivals() -> None:
    """Let those arrive who had connected before we were called."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
