"""No queue: qcore's own script over one socket, as directly as Python calls a Redis server.

What qcore takes longer than this, its client takes: the command is the one that it has sent for a
task, sent again and again with another id.
"""

import socket
from collections.abc import Iterable
from typing import Any, Final

import hiredis

from bench.peers.systems.qcore import noop
from bench.peers.systems.shapes import EMAIL, PORT, URL, Blocking
from qcore import Qcore
from qcore.adapters.links.redis import link_over
from qcore.adapters.links.redis.connection_base import SyncConnection
from qcore.adapters.links.redis.sync_connection import sync_connection
from qcore.adapters.links.redis.url import parse
from qcore.adapters.redis import RedisBroker

READ_BYTES: Final = 1 << 16
WARM_UP: Final = 3
"""Tasks after which the queue is there and the server knows the script."""

# hiredis' stub takes tuples of one argument only
_hiredis: Any = hiredis


class Bare(Blocking):
    def __init__(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", PORT))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()
        task, words = _recorded()
        self._words = words
        self._places = [n for n, word in enumerate(words) if task in word]
        self._before = [words[n].partition(task)[0] for n in self._places]
        assert self._places

    def put(self, n: int) -> None:
        for place, before in zip(self._places, self._before, strict=True):
            self._words[place] = before + b"%016x" % n
        self._socket.sendall(_hiredis.pack_command(tuple(self._words)))
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(READ_BYTES))
        assert reply == b"", reply


def _recorded() -> tuple[bytes, list[bytes]]:
    """Return a task's id as it is sent, and the words of the command that has stored it."""
    sent: list[bytes] = []
    settings = parse(URL).connection_settings()

    def recording() -> Any:
        return _Recording(sync_connection(settings), sent)

    q = Qcore(broker=RedisBroker(link_over(_none, recording)))
    task = q.task(noop.name)(noop.function)
    handles = [task.enqueue_sync(n=1_000_000, email=EMAIL) for _ in range(WARM_UP)]
    reader = hiredis.Reader()
    reader.feed(b"".join(sent))
    return bytes.fromhex(handles[-1].id), reader.gets()


class _Recording:
    """A connection that keeps the last command it has sent."""

    def __init__(self, inner: SyncConnection, sent: list[bytes]) -> None:
        self._inner = inner
        self._sent = sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def send_packed_command(self, command: Iterable[bytes], *, check_health: bool) -> None:
        self._sent[:] = command
        self._inner.send_packed_command(self._sent, check_health=check_health)


def _none() -> Any:
    raise AssertionError("nothing here awaits")


system = Bare
