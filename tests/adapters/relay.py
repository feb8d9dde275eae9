"""A server that answers some requests in its own words, and has another one answer the rest."""

import socket
from collections.abc import Callable
from threading import Thread
from typing import Self

from tests.servers.redis import HOST
from tests.servers.resp import Splitter

SIZE = 1 << 16


class Relay:
    """In front of a Redis on this machine; `answer` returns a reply as it goes over the wire.

    It returns None for a request that the Redis is to answer.
    """

    def __init__(self, port: int, answer: Callable[[bytes], bytes | None]) -> None:
        self._to = port
        self._answer = answer
        self._listening = socket.create_server((HOST, 0))
        self._ends: list[socket.socket] = []
        self.url = f"redis://{HOST}:{self._listening.getsockname()[1]}/0"

    def __enter__(self) -> Self:
        self._threads = [Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listening.close()
        for end in self._ends:
            end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            thread = Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        requests, replies = Splitter(), Splitter()
        with client, socket.create_connection((HOST, self._to)) as server:
            while data := _received(client):
                for request in requests.feed(data):
                    reply = self._answer(request)
                    if reply is None:
                        server.sendall(request)
                        reply = _one(server, replies)
                    client.sendall(reply)


def _received(end: socket.socket) -> bytes:
    try:
        return end.recv(SIZE)
    except OSError:
        return b""


def _one(server: socket.socket, replies: Splitter) -> bytes:
    found: list[bytes] = []
    while not found:
        found = list(replies.feed(server.recv(SIZE)))
    return found[0]
