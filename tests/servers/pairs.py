"""A client's connection and the one that is made on its behalf."""

import asyncio
import socket
import struct
from collections.abc import Callable
from threading import Event

from attrs import define, field

from tests.servers.resp import PUSH, Splitter

HOST = "127.0.0.1"
RESET = struct.pack("ii", 1, 0)
"""How to linger so that a close is a reset."""


class Trap:
    """Waits for one request."""

    def __init__(self, which: int | Callable[[bytes], bool]) -> None:
        self._which = which
        self._seen = 0
        self.sprung = Event()

    def catches(self, request: bytes) -> bool:
        """Say whether it is this one."""
        self._seen += 1
        return self._seen == self._which if isinstance(self._which, int) else self._which(request)


@define
class Orders:
    """What all pairs go by, and who they are."""

    to: int
    is_held: bool = False
    trap: Trap | None = None
    pairs: set["Pair"] = field(factory=set)


class Pair:
    """A client's connection, and ours to the server on its behalf."""

    def __init__(self, orders: Orders) -> None:
        self.client = End(self.opened, self.asked, self.ended)
        self.server = End(self.joined, self.replied, self.ended)
        self.is_over = asyncio.Event()
        self._orders = orders
        self._requests, self._replies = Splitter(), Splitter()
        self._sent, self._answered = 0, 0
        self._early, self._held = b"", b""
        self._trap: Trap | None = None
        self._last = 0
        self._part = b""

    def opened(self) -> None:
        """Connect to the server."""
        self._orders.pairs.add(self)
        self._joining = asyncio.create_task(self._join())
        self._joining.add_done_callback(lambda _: self._check())

    def joined(self) -> None:
        """Pass on what the client has said so far, if it is still there."""
        if self.client.is_open:
            early, self._early = self._early, b""
            self.asked(early)
        else:
            self.server.close()

    def asked(self, data: bytes) -> None:
        """Pass on what the client wants, as soon as there is somebody to tell."""
        if not self.server.is_open:
            # to pause the client would not do: before 3.11.4 asyncio reads from it none the less
            self._early += data
            return
        for request in self._requests.feed(data):
            self._sent += 1
            trap = self._orders.trap
            if trap is not None and trap.catches(request):
                self._orders.trap = None
                self._trap, self._last = trap, self._sent
        self.server.write(data)

    def replied(self, data: bytes) -> None:
        """Pass on what the server answers, unless told not to."""
        self._held += data
        if self._orders.is_held:
            return
        held, self._held = self._held, b""
        for reply in self._replies.feed(held):
            self._answered += not reply.startswith(PUSH)
            if self._trap is None or self._answered < self._last:
                self.client.write(reply)
            else:
                self._spring(reply)

    def ended(self) -> None:
        """End the one side with the other."""
        self.client.close()
        self.server.close()
        self._check()

    def cut(self, *, reset: bool) -> None:
        """End both sides now."""
        self.client.close(reset=reset)
        self.server.close(reset=reset)

    def _spring(self, reply: bytes) -> None:
        """Answer with half of the reply, but not before all that was sent is done."""
        self._part = self._part or reply[: len(reply) // 2]
        if self._answered == self._sent:
            self.client.write(self._part)
            self.cut(reset=True)

    def _check(self) -> None:
        if self.client.is_open or self.server.is_open or not self._joining.done():
            return
        self._orders.pairs.discard(self)
        self.is_over.set()
        if self._trap is not None:
            self._trap.sprung.set()

    async def _join(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self.server, HOST, self._orders.to)
        except OSError:
            # Not reset: that might come before the client knows that it is connected.
            self.client.close()


class End(asyncio.Protocol):
    """One side of a pair, which hears of it."""

    def __init__(
        self,
        made: Callable[[], None],
        received: Callable[[bytes], None],
        lost: Callable[[], None],
    ) -> None:
        self._made, self._received, self._lost = made, received, lost
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._made()

    def data_received(self, data: bytes) -> None:
        self._received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        # The socket itself is closed only after this.
        asyncio.get_running_loop().call_soon(self._gone)

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self, *, reset: bool = False) -> None:
        if self._transport is None:
            return
        if not reset:
            self._transport.close()
            return
        end: socket.socket = self._transport.get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._transport.abort()

    def _gone(self) -> None:
        self._transport = None
        self._lost()
