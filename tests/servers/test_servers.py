import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import psutil
import pytest
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import TimeoutError as Unanswered

from tests.servers.binaries import SERVERS, Binary
from tests.servers.cluster import RedisCluster
from tests.servers.redis import RedisServer
from tests.servers.sentinel import SentinelSet
from tests.servers.waiting import until

ROOT = Path(__file__).parents[2]
NEWEST = SERVERS[-1]

STARTS_AND_WAITS = """
from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer
server = RedisServer(SERVERS[0])
server.start()
print(server.pid, server.folder, flush=True)
input()
"""


@pytest.fixture(params=SERVERS, ids=str)
def binary(request: pytest.FixtureRequest) -> Binary:
    """Give each of the servers that are here."""
    assert isinstance(request.param, Binary)
    return request.param


def test_a_redis_6_is_always_there_and_the_newest_comes_last() -> None:
    """The oldest version that we support is tested on every machine."""
    assert SERVERS[0].version[:2] == (6, 2)
    assert sorted(SERVERS, key=lambda each: each.version) == list(SERVERS)


def test_a_started_server_answers(redis_server: RedisServer) -> None:
    """It is the server that was asked for, at the port it says, and it keeps nothing."""
    about = redis_server.cli("INFO")
    version = about.get("valkey_version") or about["redis_version"]
    assert version == ".".join(map(str, redis_server.binary.version))
    assert about["tcp_port"] == redis_server.port
    assert about["process_id"] == redis_server.pid
    assert about["aof_enabled"] == 0
    assert redis_server.cli("CONFIG", "GET", "save") == ["save", ""]


@pytest.mark.parametrize("attempt", [1, 2])
def test_an_empty_server_is_empty(empty_redis: RedisServer, attempt: int) -> None:
    """What a test left is gone before the next begins."""
    assert empty_redis.cli("DBSIZE") == 0
    empty_redis.cli("SET", "left", attempt)


def test_data_in_the_append_only_file_survive_a_kill(binary: Binary) -> None:
    """A server that starts again has its port and its folder again."""
    with RedisServer(binary, "appendonly yes", "appendfsync always") as server:
        server.cli("SET", "a", 1)
        port, pid = server.port, server.pid
        server.kill()
        server.start()
        assert server.cli("GET", "a") == "1"
        assert server.port == port
        assert server.pid != pid


@pytest.mark.parametrize("end", [RedisServer.kill, RedisServer.stop])
def test_an_ended_server_is_gone(end: object) -> None:
    """When a method that ends a server returns, nobody is at its port."""
    assert callable(end)
    with RedisServer(NEWEST) as server:
        pid = server.pid
        end(server)
        assert not server.is_running
        assert not psutil.pid_exists(pid)
        with pytest.raises(Unreachable):
            server.cli("PING")


def test_a_stopped_server_leaves_in_order() -> None:
    """A stop lets it write what its persistence asks for; a kill does not."""
    with RedisServer(NEWEST, "save 3600 1") as server:
        server.cli("SET", "a", 1)
        server.stop()
        server.start()
        assert server.cli("GET", "a") == "1"
        server.cli("SET", "a", 2)
        server.kill()
        server.start()
        assert server.cli("GET", "a") == "1"


def test_a_frozen_server_does_not_answer_until_it_is_thawed() -> None:
    """It takes the connection and the request, and the answer comes when it runs on."""
    with RedisServer(NEWEST) as server, server.client(socket_timeout=0.1) as client:
        client.ping()
        server.freeze()
        with pytest.raises(Unanswered):
            client.ping()
        assert server.is_running
        server.thaw()
        assert server.cli("PING")


def test_a_frozen_server_can_be_stopped() -> None:
    """A signal that a frozen process would not heed does not keep it."""
    with RedisServer(NEWEST) as server:
        server.freeze()
        server.stop()
        assert not server.is_running


def test_a_server_with_a_password_is_up_when_it_refuses_us(binary: Binary) -> None:
    """A start does not wait for an answer that is for others."""
    with (
        RedisServer(binary, "requirepass hush") as server,
        server.client(password="hush") as client,
    ):
        assert client.ping()


def test_a_server_that_cannot_start_says_why_at_once() -> None:
    """What it wrote is in the error."""
    server = RedisServer(NEWEST, "no-such-line yes")
    with pytest.raises(AssertionError, match="no-such-line"), server:
        pass
    assert not server.folder.exists()


def test_a_server_that_ended_by_itself_can_start_again() -> None:
    """We need not have ended it to know that it does not run."""
    with RedisServer(NEWEST) as server:
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: not server.is_running, "its end")
        server.start()
        assert server.cli("PING")


def test_a_server_outlives_the_thread_that_started_it() -> None:
    """Only the end of the process counts."""
    server = RedisServer(NEWEST)
    thread = Thread(target=server.start)
    thread.start()
    thread.join()
    assert server.cli("PING")
    server.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, None])
def test_a_server_ends_with_the_process_that_started_it(how: signal.Signals | None) -> None:
    """However that process ends, neither the server nor its folder stays."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_AND_WAITS],
        cwd=ROOT,
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.DEVNULL,
    ) as starter:
        assert starter.stdout is not None
        pid, folder = starter.stdout.readline().decode().split()
        assert psutil.pid_exists(int(pid))
        if how is not None:
            starter.send_signal(how)
        starter.communicate()
    until(lambda: not psutil.pid_exists(int(pid)), "the end of the server")
    until(lambda: not Path(folder).exists(), "the end of its folder")


def test_a_cluster_serves_every_key(empty_cluster: RedisCluster) -> None:
    """Keys live on the three masters, and each knows where."""
    owners = set[RedisServer]()
    for key in "abcdefgh":
        owner = empty_cluster.owner(key)
        owner.cli("SET", key, 1)
        owners.add(owner)
    assert owners == set(empty_cluster.masters) == set(empty_cluster.nodes)
    empty_cluster.flush()
    assert [node.cli("DBSIZE") for node in empty_cluster.nodes] == [0, 0, 0]


@pytest.mark.system
def test_a_replica_takes_over_from_a_killed_master() -> None:
    """What was on the master is on the replica, and the old master follows when it returns."""
    with RedisCluster(NEWEST, replicas=1) as cluster:
        old = cluster.owner("a")
        old.cli("SET", "a", 1)
        assert old.cli("WAIT", 1, 5000) == 1
        old.kill()
        cluster.wait_served()
        new = cluster.owner("a")
        assert new is not old
        assert new.cli("GET", "a") == "1"
        cluster.start()
        assert old.cli("ROLE")[:3] == ["slave", "127.0.0.1", new.port]


def test_sentinels_name_the_master(empty_sentinel: SentinelSet) -> None:
    """There is a replica, and it has what the master has."""
    master, replica = empty_sentinel.master, empty_sentinel.replica
    master.cli("SET", "a", 1)
    assert master.cli("WAIT", 1, 5000) == 1
    assert replica.cli("GET", "a") == "1"
    assert (master, replica) == empty_sentinel.servers


@pytest.mark.system
def test_sentinels_promote_the_replica_of_a_killed_master() -> None:
    """They do so as often as the one that was killed has come back."""
    with SentinelSet(NEWEST) as sentinels:
        old = sentinels.kill_master()
        new = sentinels.wait_for_another(old)
        assert new is sentinels.master
        sentinels.start()
        # on a busy machine they may take the new one for lost meanwhile, and the old one again
        again = sentinels.kill_master()
        assert sentinels.wait_for_another(again) is (old if again is new else new)
