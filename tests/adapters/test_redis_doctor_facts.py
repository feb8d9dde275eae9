"""What follows from what servers say of themselves."""

from collections.abc import Callable, Iterator

import pytest

from qcore.adapters.links.redis import ConnectionInfo, RedisCommand, Reply
from qcore.doctor.redis import timing
from qcore.doctor.redis.failover import cluster_findings
from qcore.doctor.redis.memory import memory
from qcore.doctor.redis.merge import merged_findings
from qcore.doctor.redis.persistence import persistence
from qcore.doctor.redis.replicas import replication
from qcore.doctor.redis.server_info import clients, connection, version
from qcore.doctor.redis.server_queries import Server
from qcore.domain.diagnostics import Finding, Grade, advice, ok, warning
from qcore.domain.errors import QcoreError

OK, ADVICE, WARNING, ERROR = Grade
LOCAL = ["::1", "127.0.0.2", "localhost"]


class Nowhere:
    """A server that answers only what it was told to."""

    name = "db:6379"

    def __init__(self, *replies: Reply) -> None:
        self._replies = replies

    async def ask(self, *commands: RedisCommand) -> list[Reply | QcoreError]:
        return [*self._replies][: len(commands)]


def a_server(config: dict[str, str] | None = None, **info: object) -> Server:
    """Return a server that says this of itself."""
    return Server(Nowhere(), {name: str(value) for name, value in info.items()}, config or {})


def told(look: Callable[[Server], Iterator[Finding]], server: Server) -> list[tuple[Grade, str]]:
    """Return grades and words of what is found at a server."""
    return [(each.grade, each.found) for each in look(server)]


def has(found: list[tuple[Grade, str]], *expected: tuple[Grade, str]) -> bool:
    """Say whether these are the findings, each by a part of its words."""
    return len(found) == len(expected) and all(
        grade is its and words in said
        for (grade, words), (its, said) in zip(expected, found, strict=True)
    )


# --- what outlives it -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "config", "expected"),
    [
        ({"aof_enabled": 1}, {"appendfsync": "always"}, (OK, "fsync always")),
        ({"aof_enabled": 1}, {"appendfsync": "everysec"}, (OK, "last second")),
        ({"aof_enabled": 1}, {"appendfsync": "no"}, (WARNING, "half minute")),
        ({"aof_enabled": 1}, {}, (OK, "append-only file")),
        ({"aof_enabled": 0}, {"save": ""}, (WARNING, "takes every task")),
        (
            {"aof_enabled": 0, "rdb_changes_since_last_save": 1234},
            {"save": "60 1"},
            (
                WARNING,
                "snapshots alone (save 60 1): a crash takes what came since the last one, now",
            ),
        ),
        ({"aof_enabled": 0}, {}, (WARNING, "snapshots alone: ")),
    ],
)
def test_what_a_crash_takes_is_told(
    info: dict[str, object], config: dict[str, str], expected: tuple[Grade, str]
) -> None:
    """From the append-only file that is synchronous, to nothing at all."""
    assert has(told(persistence, a_server(config, **info)), expected)


@pytest.mark.parametrize(
    ("fact", "value", "config", "expected"),
    [
        ("aof_last_write_status", "err", {}, (ERROR, "takes no tasks")),
        ("aof_last_bgrewrite_status", "err", {}, (WARNING, "grows")),
        ("rdb_last_bgsave_status", "err", {}, (ERROR, "takes no tasks")),
        (
            "rdb_last_bgsave_status",
            "err",
            {"stop-writes-on-bgsave-error": "no"},
            (WARNING, "could not be saved"),
        ),
        ("loading", "1", {}, (WARNING, "is loading")),
    ],
)
def test_a_disk_that_fails_is_told(
    fact: str, value: str, config: dict[str, str], expected: tuple[Grade, str]
) -> None:
    """It is an error where the server refuses tasks for it."""
    server = a_server(config, aof_enabled=1, **{fact: value})
    assert has(told(persistence, server), expected, (OK, "append-only file"))


def test_of_what_is_not_told_nothing_is_said() -> None:
    """A server whose INFO is not to be asked is neither well nor ill."""
    for look in (persistence, memory, version, clients):
        assert told(look, a_server()) == []


# --- memory ---------------------------------------------------------------------------------------

MB = 1 << 20


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"used_memory": 10 * MB, "maxmemory": 100 * MB}, [(OK, "of maxmemory")]),
        ({"used_memory": 80 * MB, "maxmemory": 100 * MB}, [(WARNING, "of maxmemory")]),
        ({"used_memory": 100 * MB, "maxmemory": 100 * MB}, [(ERROR, "takes no tasks")]),
        ({"used_memory": MB, "total_system_memory": 100 * MB}, [(ADVICE, "no maxmemory")]),
        ({"used_memory": 90 * MB, "total_system_memory": 100 * MB}, [(WARNING, "no maxmemory")]),
        (
            {
                "used_memory": 300 * MB,
                "maxmemory": 999 * MB,
                "mem_fragmentation_ratio": 1.9,
                "mem_fragmentation_bytes": 270 * MB,
            },
            [(OK, "of maxmemory"), (ADVICE, "fragmented")],
        ),
        (
            {
                "used_memory": MB,
                "maxmemory": 999 * MB,
                "mem_fragmentation_ratio": 9.9,
                "mem_fragmentation_bytes": 9 * MB,
            },
            [(OK, "fragmentation 9.9")],
        ),
        (
            {"used_memory": 300 * MB, "maxmemory": 999 * MB, "mem_fragmentation_ratio": 0.5},
            [(OK, "of maxmemory"), (WARNING, "swapped out")],
        ),
    ],
)
def test_memory_is_judged_by_what_there_is(
    info: dict[str, object], expected: list[tuple[Grade, str]]
) -> None:
    """A limit that is near, one that is reached, none at all; a ratio only where it is of much."""
    assert has(told(memory, a_server(**info)), *expected)


# --- clients, and the way there -------------------------------------------------------------------


def test_a_server_that_is_nearly_crowded_is_a_warning() -> None:
    """And connections that were refused are worth a look."""
    assert has(told(clients, a_server(maxclients=100, connected_clients=79)), (OK, "79 of 100"))
    crowded = a_server(maxclients=100, connected_clients=80, rejected_connections=5)
    assert has(told(clients, crowded), (WARNING, "80 of 100"), (ADVICE, "5 connections"))


def test_valkey_goes_by_its_own_version() -> None:
    """Not by that of the Redis that it stands in for."""
    server = a_server(redis_version="7.2.4", valkey_version="8.0.1", server_mode="standalone")
    assert told(version, server) == [(OK, "Valkey 8.0.1, standalone")]


def a_way(**facts: object) -> ConnectionInfo:
    """Return a way to a server."""
    usual = {
        "kind": "single", "hosts": ["db"], "master": "", "user": "default", "client": "me",
        "is_authenticated": True, "tls": True, "verify": True, "replicas": 0, "fsync": None,
    }  # fmt: skip
    return ConnectionInfo(**(usual | facts))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (a_way(), [(OK, "certificate checked, as client me")]),
        (a_way(verify=False), [(WARNING, "verify=none")]),
        (a_way(tls=False), [(ADVICE, "without TLS: whoever")]),
        (a_way(is_authenticated=False), [(OK, "TLS"), (WARNING, "without a password")]),
        (a_way(tls=False, is_authenticated=False, hosts=LOCAL), [(OK, "this machine")]),
        (a_way(tls=False, is_authenticated=False, hosts=[], kind="unix"), [(OK, "this machine")]),
        (None, [(OK, "caller's own")]),
    ],
)  # fmt: skip
def test_the_way_there_is_judged(
    way: ConnectionInfo | None, expected: list[tuple[Grade, str]]
) -> None:
    """Who may read along, who may answer in its place, who may come in."""
    assert has([(each.grade, each.found) for each in connection(way)], *expected)


# --- other servers --------------------------------------------------------------------------------


def replicated(way: ConnectionInfo | None = None, **info: object) -> list[tuple[Grade, str]]:
    """Return what is found of a master's replicas."""
    least = info.pop("least", "0")
    server = a_server({"min-replicas-to-write": str(least)}, role="master", **info)
    return [(each.grade, each.found) for each in replication(server, way)]


IN_STEP = "ip=10.0.0.2,port=6379,state=online,offset=1,lag=1"
LATE = "ip=10.0.0.3,port=6379,state=online,offset=1,lag=99"
LOADING = "ip=10.0.0.4,port=6379,state=wait_bgsave,offset=0,lag=0"


def test_replicas_that_keep_up_are_counted() -> None:
    """The others are named, with what is wrong with them."""
    assert has(replicated(), (OK, "no replicas"))
    assert has(replicated(slave0=IN_STEP), (OK, "1 replica in step"))
    found = replicated(slave0=IN_STEP, slave1=LATE, slave2=LOADING)
    assert has(found, (WARNING, "10.0.0.3:6379 (online, heard of 99 s ago)"), (OK, "1 replica "))
    assert "10.0.0.4:6379 (wait_bgsave" in found[0][1]
    assert has(replicated(least=2, slave0=IN_STEP), (ERROR, "to-write is 2, and 1"), (OK, "1 rep"))


@pytest.mark.parametrize(
    ("way", "info", "expected"),
    [
        (a_way(replicas=1), {"slave0": IN_STEP}, []),
        (a_way(replicas=2), {"slave0": IN_STEP}, [(ERROR, "replicas=2 in the URL, and 1")]),
        (a_way(fsync=(1, 0)), {"slave0": IN_STEP, "aof_enabled": 1}, []),
        (a_way(fsync=(1, 0)), {"slave0": IN_STEP, "aof_enabled": 0}, [(ERROR, "no append-only")]),
        (a_way(fsync=(1, 2)), {"slave0": IN_STEP}, [(ERROR, "fsync=2 in the URL, and 1")]),
    ],
)
def test_what_an_enqueue_would_wait_for_in_vain_is_an_error(
    way: ConnectionInfo, info: dict[str, object], expected: list[tuple[Grade, str]]
) -> None:
    """What the URL asks for has to be there."""
    assert has(replicated(way, **info), *expected, (OK, "1 replica in step"))


def test_where_others_take_over_a_replica_is_expected() -> None:
    """And a master that is cut off from it should stop."""
    assert has(replicated(a_way(kind="sentinel")), (WARNING, "nobody to promote"))
    assert has(replicated(a_way(kind="cluster")), (ADVICE, "queues are away"))
    watched = a_way(kind="sentinel")
    assert has(replicated(watched, slave0=IN_STEP), (ADVICE, "a failover then undoes"))
    assert has(replicated(watched, slave0=IN_STEP, least=1), (OK, "1 replica in step"))


NODES = """\
a1 10.0.0.1:7000@17000 myself,master - 0 1 1 connected 0-5460
b2 10.0.0.2:7000@17000,db2 master,fail - 1 1 2 disconnected 5461-10922
c3 10.0.0.3:7000@17000 slave,fail? a1 1 1 2 connected
d4 :0@0 master,noaddr - 1 1 2 disconnected
"""


def test_a_cluster_names_those_who_are_down() -> None:
    """It is an error where slots are served by nobody."""
    state = "cluster_state:ok\r\ncluster_slots_ok:16384\r\ncluster_size:3\r\ncluster_known_nodes:6"
    well = [*cluster_findings("db", state, NODES.splitlines()[0])]
    assert has([(f.grade, f.found) for f in well], (OK, "by 3 masters of 6 nodes"))
    down = [*cluster_findings("db", state, NODES)]
    assert has([(f.grade, f.found) for f in down], (WARNING, "10.0.0.2:7000, 10.0.0.3:7000"))
    failed = [*cluster_findings("db", "cluster_state:fail\r\ncluster_slots_ok:10923\r\n", "")]
    assert has([(f.grade, f.found) for f in failed], (ERROR, "10,923 of 16,384 slots"))


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taken", "grade"),
    [
        ([0.001] * 100, OK),
        ([0.001] * 99 + [0.2], OK),
        ([0.001] * 98 + [0.2] * 2, WARNING),
        ([0.006] * 100, ADVICE),
    ],
)
def test_round_trips_are_judged_by_their_middle_and_their_tail(
    taken: list[float], grade: Grade
) -> None:
    """One that was slow is nothing; two of a hundred are."""
    assert timing.findings_of(taken).grade is grade


async def test_a_clock_that_is_wrong_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of the two it is, and by how much."""
    monkeypatch.setattr(timing.time, "time", lambda: 1_000.0)
    clock_offset = await timing.clock_offset(Nowhere([b"4600", b"0"]))
    assert clock_offset == pytest.approx(3_600.0, abs=1)
    [found] = timing.clocks({"db": 3_600.04})
    assert (found.grade, found.found[:42]) == (
        WARNING,
        "this machine is 3,600.0 s behind the serve",
    )
    [found] = timing.clocks({"db": -3_600.04})
    assert "3,600.0 s ahead of the server" in found.found
    assert [each.grade for each in timing.clocks({"db": 0.002})] == [OK]
    assert timing.clocks({}) == []


async def test_a_clock_that_may_not_be_asked_is_passed_over() -> None:
    """TIME may be forbidden."""
    assert await timing.clock_offset(Nowhere(QcoreError("no"))) is None


def test_servers_that_disagree_about_the_time_are_a_warning() -> None:
    """Even if this machine agrees with one of them."""
    [found] = timing.clocks({"a": 0.0, "b": -2.0})
    assert found.grade is WARNING
    assert "a +0.0 s, b -2.0 s" in found.found


@pytest.mark.parametrize(
    ("took", "grade"), [(1_000, OK), (5_000, ADVICE), (50_000, WARNING)], ids=str
)
async def test_a_script_that_takes_long_is_judged(took: int, grade: Grade) -> None:
    """What was yesterday is over."""
    words = [b"EVALSHA", b"0" * 40, b"1", b"qcore:{a}:meta"]
    old = [1, 100, 99_000_000, words, b"10.0.0.9:1", b"me"]
    recent = [2, 200_000, took, words, b"10.0.0.9:1", b"me"]
    node = Nowhere([old, recent], [b"200100", b"0"])
    server = Server(node, {}, {"slowlog-log-slower-than": "100"})
    [found] = await timing.slow_log(server, "qcore", timing.ServerQueries())
    assert found.grade is grade
    assert found.found == f"the slowest in the last day: of another version {took / 1000:.1f} ms"


# --- several --------------------------------------------------------------------------------------


def test_what_is_so_everywhere_is_one_line() -> None:
    """What is only somewhere names where; what has one remedy is told once."""
    same, other = ok("version", "Redis 7"), ok("version", "Redis 6")
    assert merged_findings({"a": [same]}) == [same]
    assert [f.found for f in merged_findings({"a": [same], "b": [same]})] == [
        "all 2 servers: Redis 7"
    ]
    assert [f.found for f in merged_findings({"a": [same], "b": [other]})] == [
        "a: Redis 7; the others are well too"
    ]
    ill = warning("version", "old", "upgrade")
    assert [f.found for f in merged_findings({"a": [same], "b": [ill]})] == ["b: old"]
    assert [f.found for f in merged_findings({"a": [ill], "b": [ill]})] == ["all 2 servers: old"]
    one, two = advice("memory", "1 MB", "buy"), advice("memory", "2 MB", "buy")
    assert [f.found for f in merged_findings({"a": [one], "b": [two]})] == ["a: 1 MB; b too"]
    assert [f.found for f in merged_findings({"a": [one], "b": [ill]})] == ["a: 1 MB", "b: old"]
