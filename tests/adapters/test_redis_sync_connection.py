"""The blocking connection: its timeouts, which are the kernel's, and who may end it."""

import gc
import os
import socket
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from qcore.adapters.links.redis import sync_connection
from qcore.adapters.links.redis.connection_base import ConnectFailed, ConnectionSettings
from qcore.adapters.links.redis.sync_connection import SyncSocketConnection
from tests.servers.redis import HOST

SOON = 0.05
LATER = 30.0
BIG = [b"x" * (1 << 20)] * 64
"""More than the buffers of two sockets hold."""


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """Yield a socket that listens, and accepts whoever comes."""
    with socket.create_server((HOST, 0)) as made:
        yield made


def connected(server: socket.socket, timeout: float) -> SyncSocketConnection:
    """Return a connection to it, with a timeout in seconds."""
    settings = ConnectionSettings(host=HOST, port=server.getsockname()[1], timeout=timeout)
    made = SyncSocketConnection(settings)
    made.connect()
    return made


class LibrarySocket:
    """A socket that is not the system's own, as gevent's: only its own timeout ends a wait."""

    def __init__(self, inner: socket.socket) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture(params=["kernel", "python", "library"], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run each test with timeouts of the kernel, of Python, and of a library's own sockets."""
    kind: str = request.param
    if kind == "python":
        monkeypatch.setattr(sync_connection, "HAS_TIMEVAL", False)
    if kind == "library":
        connect: Any = socket.create_connection

        def wrapped(*at: Any) -> LibrarySocket:
            return LibrarySocket(connect(*at))

        monkeypatch.setattr(socket, "create_connection", wrapped)
    return kind


def test_a_plain_socket_leaves_its_timeouts_to_the_kernel(server: socket.socket, kind: str) -> None:
    """Python polls before each call of a socket that has a timeout, and not of one without."""
    connection = connected(server, LATER)
    made: Any = vars(connection)["_socket"]
    assert made.gettimeout() == (None if kind == "kernel" else LATER)
    connection.disconnect()


def test_a_server_that_does_not_answer_is_a_timeout(server: socket.socket) -> None:
    """So the link knows it as one that is silent."""
    connection = connected(server, SOON)
    connection.send_packed_command([b"PING"], check_health=False)
    with pytest.raises(TimeoutError):
        connection.read_response()
    connection.disconnect()


def test_a_server_that_takes_nothing_is_a_timeout(server: socket.socket) -> None:
    """A command that does not fit into the buffers waits for nobody for ever."""
    connection = connected(server, SOON)
    with pytest.raises(TimeoutError):
        connection.send_packed_command(BIG, check_health=False)
    connection.disconnect()


def test_a_listener_waits_as_long_as_it_says(server: socket.socket) -> None:
    """After that the connection waits for as long as before, and a late reply is read."""
    connection = connected(server, LATER)
    their, _ = server.accept()
    with their:
        for seconds in (0.0, SOON):
            with pytest.raises(TimeoutError):
                connection.read_response(timeout=seconds, disconnect_on_error=False)
        threading.Timer(SOON, their.sendall, [b"+PONG\r\n"]).start()
        assert connection.read_response() == b"PONG"
    connection.disconnect()


def test_a_reply_may_come_in_parts(server: socket.socket) -> None:
    """What is behind it is the next reply."""
    connection = connected(server, LATER)
    their, _ = server.accept()
    with their:
        their.sendall(b"$4\r\nPO")
        threading.Timer(SOON, their.sendall, [b"NG\r\n:7\r\n"]).start()
        assert connection.read_response() == b"PONG"
        assert connection.read_response() == 7
    connection.disconnect()


def test_another_thread_ends_a_wait(server: socket.socket) -> None:
    """By disconnecting: the one that waits finds the connection lost."""
    connection = connected(server, LATER)
    threading.Timer(SOON, connection.disconnect).start()
    with pytest.raises((RedisConnectionError, OSError)):
        connection.read_response()
    with pytest.raises(RedisConnectionError, match="was closed"):
        connection.read_response()
    with pytest.raises(RedisConnectionError, match="was closed"):
        connection.send_packed_command([b"PING"], check_health=False)


def test_a_child_leaves_its_parent_the_connection(
    server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It closes its copy, and does not shut down what both have."""
    connection = connected(server, LATER)
    their, _ = server.accept()
    inherited = vars(connection)["_socket"].dup()
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: -1)
        connection.disconnect()
    with their, inherited:
        inherited.sendall(b"x")
        assert their.recv(1) == b"x"


def test_a_connection_that_is_dropped_is_closed(server: socket.socket) -> None:
    """A script that never closes its queue is warned of nothing."""
    connection = connected(server, LATER)
    their, _ = server.accept()
    with their, warnings.catch_warnings():
        warnings.simplefilter("error")
        del connection
        gc.collect()
        assert their.recv(1) == b""


def test_nobody_listening_is_a_failed_attempt(server: socket.socket) -> None:
    """It says that nothing was sent."""
    port = server.getsockname()[1]
    server.close()
    with pytest.raises(ConnectFailed) as failed:
        SyncSocketConnection(ConnectionSettings(host=HOST, port=port)).connect()
    assert isinstance(failed.value.__cause__, ConnectionRefusedError)
