import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from redis.exceptions import RedisError

from qcore import BrokerUnavailable
from qcore.adapters.links.redis.errors import mapped
from qcore.adapters.links.redis.server_info import refuse_unfit
from qcore.adapters.links.redis.url import parse
from qcore.errors import BrokerUnusable
from tests.adapters.asking import WRITE, Colour, both_colours, evaluate, every_server, refused
from tests.servers.binaries import Binary
from tests.servers.ports import free_port
from tests.servers.redis import HOST, RedisServer


@both_colours
def test_nobody_who_listens(send: Colour) -> None:
    """The error names the server, and asks whether it is running."""
    url = f"redis://ann:s3cr3t@{HOST}:{free_port()}/0"
    told = refused(send, url, ("PING",))
    assert str(told).startswith(f"{parse(url).shown}: nothing listens there")


@both_colours
def test_a_host_that_nobody_knows(send: Colour) -> None:
    """A name without an address may get one: names are slow to spread."""
    told = refused(send, "redis://:s3cr3t@host.invalid", ("PING",))
    assert isinstance(told, BrokerUnavailable)
    assert "host name cannot be resolved" in str(told)


def hang_up(client: socket.socket) -> None:
    """Close the connection."""
    client.recv(1000)


def reset(client: socket.socket) -> None:
    """Break the connection off."""
    client.recv(1000)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half_answer(client: socket.socket) -> None:
    """Close the connection in the middle of an answer."""
    client.recv(1000)
    client.sendall(b"$10\r\nhalf")


def serve_pages(client: socket.socket) -> None:
    """Answer as a web server does."""
    client.recv(1000)
    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def warn(client: socket.socket) -> None:
    """Answer as a server of TLS does to what is none: with an alert."""
    client.recv(1000)
    client.sendall(b"\x15\x03\x03\x00\x02\x02\x46")


@contextmanager
def a_server_that(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve one client in its own way, on another thread."""
    with socket.create_server((HOST, 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                answer(client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"redis://:s3cr3t@{HOST}:{server.getsockname()[1]}/0"
        thread.join()


@both_colours
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (hang_up, "the connection was lost; .*TLS"),
        (reset, "the connection was lost; .*TLS"),
        (half_answer, "the connection was lost; .*TLS"),
        (serve_pages, "what answers there is no Redis"),
        (warn, "it speaks TLS: use rediss://"),
    ],
)
def test_a_server_of_another_kind(
    send: Colour, answer: Callable[[socket.socket], None], message: str
) -> None:
    """What its answer looks like tells what is wrong, as far as that can be told."""
    with a_server_that(answer) as url, pytest.raises(Exception, match=message) as told:
        raise refused(send, url, ("PING",))
    assert type(told.value) in {BrokerUnavailable, BrokerUnusable}


@both_colours
@every_server
def test_a_server_that_does_not_answer(binary: Binary, send: Colour) -> None:
    """The URL's timeout is the connection's."""
    with RedisServer(binary) as server:
        server.freeze()
        told = refused(send, f"{server.url}?timeout=0.2", ("PING",))
    assert isinstance(told, BrokerUnavailable)
    assert "did not answer in time" in str(told)


@both_colours
@every_server
def test_a_server_with_a_password(binary: Binary, send: Colour) -> None:
    """Without one, with a wrong one, with one too many: each has its own advice."""
    with RedisServer(binary) as server:
        told = refused(send, server.url.replace("//", "//:s3cr3t@"))
        assert "asks for no password" in str(told)
        server.cli("CONFIG", "SET", "requirepass", "s3cr3t")
        place = f"{HOST}:{server.port}"
        assert send(f"redis://:s3cr3t@{place}", ("PING",)) == b"PONG"
        assert "asks for a password" in str(refused(send, f"redis://{place}", ("PING",)))
        assert "not take this user" in str(refused(send, f"redis://:s3cr3tx@{place}"))
        assert "not take this user" in str(refused(send, f"redis://bob:s3cr3t@{place}"))


@both_colours
@every_server
def test_a_user_without_a_permission(binary: Binary, send: Colour) -> None:
    """The rule in the error's advice gives the permission."""
    with RedisServer(binary) as server:
        rules = "on >s3cr3t ~qcore:* resetchannels &qcore:* +@all -time -client"
        server.cli("ACL", "SETUSER", "ann", *rules.split())
        url = server.url.replace("//", "//ann:s3cr3t@")
        told = str(refused(send, url))
        assert "ACL SETUSER <user> +client" in told
        server.cli("ACL", "SETUSER", "ann", "+client")
        told = str(refused(send, url, ("TIME",)))
        server.cli("ACL", "SETUSER", "ann", told.partition("<user> ")[2].partition(" ")[0])
        assert len(send(url, ("TIME",))) == 2
        assert "~qcore:*" in str(refused(send, url, evaluate(WRITE, "other:{a}")))
        assert "&qcore:*" in str(refused(send, url, ("SUBSCRIBE", "other")))
        inside = "return redis.call('TIME')"
        server.cli("ACL", "SETUSER", "ann", "-time")
        assert "+@read +@write" in str(refused(send, url, evaluate(inside, "qcore:a")))


@both_colours
@every_server
def test_a_server_that_takes_no_writes(binary: Binary, send: Colour) -> None:
    """A script that would write is refused before it has written anything."""
    script = evaluate("redis.call('ZADD', KEYS[1], 1, 'a') return 1", "qcore:{a}:pending")
    with RedisServer(binary) as server:
        for setting, value, usual, message in (
            ("maxmemory", "1", "0", "maxmemory is reached"),
            ("min-replicas-to-write", "1", "0", "min-replicas-to-write"),
        ):
            server.cli("CONFIG", "SET", setting, value)
            told = refused(send, server.url, script)
            assert isinstance(told, BrokerUnavailable)
            assert message in str(told)
            server.cli("CONFIG", "SET", setting, usual)
        server.cli("REPLICAOF", HOST, free_port())
        told = refused(send, server.url, script)
        assert isinstance(told, BrokerUnavailable)
        assert "it is a replica" in str(told)
        server.cli("CONFIG", "SET", "replica-serve-stale-data", "no")
        assert "lost its master" in str(refused(send, server.url, ("GET", "a")))
        server.cli("REPLICAOF", "NO", "ONE")
        assert server.cli("DBSIZE") == 0


@both_colours
@every_server
def test_a_node_of_a_cluster(binary: Binary, send: Colour) -> None:
    """Asked as if it were alone, it says what it is in one way or another."""
    with RedisServer(binary, "cluster-enabled yes") as node:
        for url, commands in ((node.url, [evaluate(WRITE, "a")]), (node.url[:-1] + "1", [])):
            told = refused(send, url, *commands)
            assert isinstance(told, BrokerUnusable)
            assert "use redis+cluster://" in str(told)


@pytest.mark.parametrize("name", ["redis_mode", "server_mode"])
@pytest.mark.parametrize(
    ("mode", "cluster", "advice"),
    [
        ("standalone", True, "use a URL that begins with redis://"),
        ("cluster", False, r"use a URL that begins with redis\+cluster://"),
        ("sentinel", False, r"redis\+sentinel://host:26379/mymaster"),
    ],
)
def test_a_server_of_another_mode(name: str, mode: str, advice: str, *, cluster: bool) -> None:
    """Redis tells its mode in one field of INFO, Valkey in another."""
    info = f"redis_version:7.2.4\r\n{name}:{mode}\r\n".encode()
    with pytest.raises(BrokerUnusable, match=advice):
        refuse_unfit(info, "redis://db", cluster=cluster)
    if mode != "sentinel":
        refuse_unfit(info, "redis://db", cluster=not cluster)


@both_colours
@every_server
def test_a_server_that_is_no_cluster(binary: Binary, send: Colour) -> None:
    """What a cluster would be asked first, it refuses."""
    with RedisServer(binary) as server:
        told = refused(send, server.url, ("CLUSTER", "SLOTS"))
    assert "it is no cluster: use redis://" in str(told)


@both_colours
@every_server
def test_a_sentinel_asked_as_if_it_were_a_server(binary: Binary, send: Colour) -> None:
    """It knows no script, no time and no database."""
    with RedisServer(binary, options=("--sentinel",)) as sentinel:
        for url, commands in (
            (sentinel.url, [evaluate(WRITE, "a")]),
            (sentinel.url, [("TIME",)]),
            (sentinel.url[:-1] + "1", []),
        ):
            told = refused(send, url, *commands)
            assert isinstance(told, BrokerUnusable)
            assert "use redis+sentinel://" in str(told)


@both_colours
@every_server
def test_a_database_that_there_is_not(binary: Binary, send: Colour) -> None:
    """A server has sixteen unless told otherwise."""
    with RedisServer(binary) as server:
        assert "no database of that number" in str(refused(send, f"{server.url[:-1]}99"))


@both_colours
@every_server
def test_a_script_that_runs_for_ever(binary: Binary, send: Colour) -> None:
    """Whoever comes meanwhile is refused, and can do so again when it has been ended."""
    with RedisServer(binary, "lua-time-limit 10") as server, server.client() as other:
        forever = other.connection_pool.get_connection()
        forever.send_command("EVAL", "while true do end", 0)
        told = refused(send, server.url, ("SET", "a", "1"))
        while "SCRIPT KILL ends it" not in str(told):
            told = refused(send, server.url, ("SET", "a", "1"))
        assert isinstance(told, BrokerUnavailable)
        server.cli("SCRIPT", "KILL")
        with pytest.raises(RedisError) as killed:
            forever.read_response()
        assert "before it wrote anything" in str(mapped(killed.value, server.url))
        other.connection_pool.release(forever)
