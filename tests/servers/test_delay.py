import socket
from collections.abc import Iterator
from threading import Thread
from time import monotonic

import pytest

from bench.proxy import delayed
from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer

ROUND_TRIP = 0.02
MEGABYTES = 40


@pytest.fixture(scope="module")
def far_away() -> Iterator[int]:
    """Give the port of a server twenty milliseconds away."""
    with RedisServer(SERVERS[-1]) as server, delayed(server.port, ROUND_TRIP * 1000) as port:
        yield port


@pytest.fixture
def wire(far_away: int) -> Iterator[socket.socket]:
    """Give a connection to it."""
    with socket.create_connection(("127.0.0.1", far_away), timeout=30) as wire:
        yield wire


def received(wire: socket.socket, size: int) -> bytes:
    """Return so many bytes, or fewer if the connection ends before."""
    heard = bytearray()
    while len(heard) < size and (data := wire.recv(size - len(heard))):
        heard += data
    return bytes(heard)


def test_an_answer_takes_a_round_trip(wire: socket.socket) -> None:
    """No answer comes sooner than it could from so far away."""
    for _ in range(3):
        asked = monotonic()
        wire.sendall(b"PING\r\n")
        assert received(wire, 7) == b"+PONG\r\n"
        assert monotonic() - asked >= ROUND_TRIP


def test_much_is_under_way_at_once_and_in_order(wire: socket.socket) -> None:
    """More than the wire has room for arrives whole, without waiting for what went before."""
    value = bytes(range(256)) * 4096
    request = b"*2\r\n$4\r\nECHO\r\n$%d\r\n%b\r\n" % (len(value), value)
    reply = b"$%d\r\n%b\r\n" % (len(value), value)
    speaker = Thread(target=wire.sendall, args=(request * MEGABYTES,))
    speaker.start()
    for _ in range(MEGABYTES):
        assert received(wire, len(reply))[:7] == reply[:7]
    speaker.join()


def test_the_end_of_a_connection_follows_its_last_words(wire: socket.socket) -> None:
    """Nothing that was said before the end is lost."""
    wire.sendall(b"PING\r\n" * 1000 + b"QUIT\r\n")
    assert received(wire, 1 << 20) == b"+PONG\r\n" * 1000 + b"+OK\r\n"
