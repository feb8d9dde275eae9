import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from tests.servers.binaries import SERVERS
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer
from tests.servers.resp import Splitter, end_of
from tests.servers.waiting import until

INCR = b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n"
LONG = b"x" * 100


@pytest.fixture(scope="module")
def behind() -> Iterator[RedisServer]:
    """Give the server behind the proxy."""
    with RedisServer(SERVERS[-1]) as server:
        yield server


@pytest.fixture
def proxy(behind: RedisServer) -> Iterator[Proxy]:
    """Give a proxy in front of an empty server."""
    behind.flush()
    with Proxy(behind.port) as proxy:
        yield proxy


@pytest.fixture
def wire(proxy: Proxy) -> Iterator[socket.socket]:
    """Give a connection through the proxy."""
    with connected(proxy) as wire:
        yield wire


def connected(proxy: Proxy) -> socket.socket:
    """Connect to the server through its proxy."""
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=30)


def said(wire: socket.socket) -> bytes:
    """Return all that comes until the connection ends."""
    heard = b""
    try:
        while data := wire.recv(1000):
            heard += data
    except ConnectionResetError:
        heard += b"!"
    return heard


def test_a_proxy_is_not_noticed(proxy: Proxy, behind: RedisServer) -> None:
    """Without orders it passes on what comes, in both directions."""
    with closing(Redis.from_url(proxy.url)) as client:
        client.set("a", LONG)
        assert client.get("a") == LONG
        assert behind.cli("GET", "a") == LONG.decode()
        assert proxy.connections == 1
    assert proxy.connections == 0


def test_a_cut_resets_every_connection(proxy: Proxy, behind: RedisServer) -> None:
    """The clients find a reset, the server has lost them, and new ones are welcome."""
    with connected(proxy) as one, connected(proxy) as other:
        proxy.cut()
        assert said(one) == said(other) == b"!"
        assert proxy.connections == 0
    with connected(proxy) as again:
        again.sendall(INCR)
        assert again.recv(100) == b":1\r\n"


def test_a_cut_may_be_an_end(proxy: Proxy, wire: socket.socket) -> None:
    """As from a server that shuts down."""
    proxy.cut(reset=False)
    assert said(wire) == b""


def test_a_refusing_proxy_keeps_who_is_connected(proxy: Proxy, wire: socket.socket) -> None:
    """Only new connections are refused, until they are accepted again."""
    assert proxy.connections == 1
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    wire.sendall(INCR)
    assert wire.recv(100) == b":1\r\n"
    proxy.accept()
    with connected(proxy) as again:
        again.sendall(INCR)
        assert again.recv(100) == b":2\r\n"


def test_only_new_connections_are_led_elsewhere(
    proxy: Proxy, wire: socket.socket, behind: RedisServer
) -> None:
    """Who is connected stays with the server that it has."""
    wire.sendall(INCR)
    assert wire.recv(100) == b":1\r\n"
    with RedisServer(SERVERS[-1]) as other:
        proxy.lead_to(other.port)
        with connected(proxy) as new:
            new.sendall(INCR)
            assert new.recv(100) == b":1\r\n"
        wire.sendall(INCR)
        assert wire.recv(100) == b":2\r\n"
    assert behind.cli("GET", "n") == "2"


def test_held_replies_come_when_they_are_released(
    proxy: Proxy, wire: socket.socket, behind: RedisServer
) -> None:
    """The work is done and the answer is late."""
    wire.sendall(INCR)
    assert wire.recv(100) == b":1\r\n"
    proxy.hold()
    wire.sendall(INCR)
    until(lambda: behind.cli("GET", "n") == "2", "the work to be done")
    wire.settimeout(0.05)
    with pytest.raises(TimeoutError):
        wire.recv(100)
    wire.settimeout(30)
    proxy.release()
    assert wire.recv(100) == b":2\r\n"


def test_a_cut_reply_is_lost_after_the_work(
    proxy: Proxy, wire: socket.socket, behind: RedisServer
) -> None:
    """The next request is carried out, and its connection ends in the middle of the reply."""
    behind.cli("SET", "a", LONG)
    cut = proxy.cut_reply()
    wire.sendall(b"*3\r\n$6\r\nGETSET\r\n$1\r\na\r\n$3\r\nnew\r\n")
    whole = b"$100\r\n" + LONG + b"\r\n"
    assert said(wire) == whole[: len(whole) // 2] + b"!"
    assert cut.wait(30)
    assert behind.cli("GET", "a") == "new"
    with connected(proxy) as again:
        again.sendall(INCR)
        assert again.recv(100) == b":1\r\n"


def test_a_reply_to_cut_may_be_counted(proxy: Proxy, wire: socket.socket) -> None:
    """Requests are counted from the order on, over all connections."""
    with connected(proxy) as other:
        wire.sendall(INCR)
        assert wire.recv(100) == b":1\r\n"
        proxy.cut_reply(2)
        other.sendall(INCR)
        assert other.recv(100) == b":2\r\n"
        wire.sendall(INCR)
        assert said(wire) == b":3!"
        other.sendall(INCR)
        assert other.recv(100) == b":4\r\n"


def test_a_reply_to_cut_may_be_chosen(
    proxy: Proxy, wire: socket.socket, behind: RedisServer
) -> None:
    """Of requests that were sent together all are carried out, and the replies before it arrive."""
    proxy.cut_reply(lambda request: b"SET" in request)
    wire.sendall(INCR + b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n" + INCR * 3)
    assert said(wire) == b":1\r\n+O!"
    assert behind.cli("GET", "n") == "4"


def test_a_client_finds_no_server_behind_the_proxy(proxy: Proxy, behind: RedisServer) -> None:
    """It is dropped, and the proxy works again when the server does."""
    behind.kill()
    try:
        with connected(proxy) as wire:
            assert said(wire) == b""
    finally:
        behind.start()
    with connected(proxy) as wire:
        wire.sendall(INCR)
        assert wire.recv(100) == b":1\r\n"


def test_a_server_that_leaves_is_seen_to_leave(proxy: Proxy, behind: RedisServer) -> None:
    """The end of the one side is the end of the other."""
    with connected(proxy) as wire:
        wire.sendall(INCR + b"*1\r\n$4\r\nQUIT\r\n")
        assert said(wire) == b":1\r\n+OK\r\n"


LEAVES = st.one_of(
    st.integers(-9, 9).map(b":%d\r\n".__mod__),
    st.binary(max_size=9).map(lambda data: b"$%d\r\n%b\r\n" % (len(data), data)),
    st.sampled_from([b"+OK\r\n", b"-ERR no\r\n", b"$-1\r\n", b"*-1\r\n", b"_\r\n", b"#t\r\n"]),
    st.sampled_from([b",1.5\r\n", b"(12345678901234567890\r\n", b"=6\r\ntxt:a\r\r\n"]),
)


def gathered(values: list[bytes]) -> st.SearchStrategy[bytes]:
    """Make one value of some, as any kind that may have so many."""
    pairs, odd = divmod(len(values), 2)
    heads = [b"*%d\r\n" % len(values), b"~%d\r\n" % len(values), b">%d\r\n" % len(values)]
    heads.append(b"|%d\r\n" % pairs if odd else b"%%%d\r\n" % pairs)
    return st.sampled_from(heads).map(lambda head: head + b"".join(values))


VALUES = st.recursive(
    LEAVES, lambda some: st.lists(some, max_size=5).flatmap(gathered), max_leaves=12
)


@given(values=st.lists(VALUES, max_size=5), data=st.data())
def test_values_are_found_however_they_arrive(values: list[bytes], data: Any) -> None:
    """What is split anywhere is put together as it was, each value as soon as it is complete."""
    stream, splitter, found, fed = b"".join(values), Splitter(), list[bytes](), 0
    while fed < len(stream):
        size = data.draw(st.integers(1, len(stream) - fed))
        found += splitter.feed(stream[fed : fed + size])
        fed += size
        assert b"".join(found) == stream[: sum(map(len, found))]
        assert end_of(bytearray(stream[sum(map(len, found)) : fed]), 0) is None
    assert found == values
