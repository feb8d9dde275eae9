"""A master that is killed, and another that takes its place, while tasks are asked for and run."""

import asyncio
from itertools import count
from pathlib import Path
from time import monotonic

import pytest

from tests.servers.binaries import SERVERS
from tests.servers.cluster import RedisCluster
from tests.servers.redis import RedisServer
from tests.servers.sentinel import SentinelSet
from tests.system.producers import Producers
from tests.system.redis_keys import keys_left
from tests.system.yard import measured, opened

pytestmark = pytest.mark.system

WORKERS = 2
LEASE = ("--lease", "10")
SAFE = "?replicas=1&replica_timeout=0.2"


async def test_nothing_acknowledged_is_lost_when_sentinels_promote_a_replica(
    tmp_path: Path,
) -> None:
    """Workers and producers come to the new master by themselves."""
    with (
        SentinelSet(SERVERS[-1]) as sentinels,
        opened(f"{sentinels.url}{SAFE}", tmp_path) as yard,
    ):
        async with yard.q:
            workers = await yard.crew(WORKERS, *LEASE)
            async with Producers(yard.q, "default") as producers:
                await producers.flow()
                await yard.flows(workers)
                master = sentinels.kill_master()
                killed = monotonic()
                await asyncio.to_thread(sentinels.wait_for_another, master)
                measured("seconds until another is master", monotonic() - killed)
                # without a replica, nothing can be acknowledged; it is stored and run all the same
                runs = await yard.flows(workers, least=1)
                measured("seconds until all workers run tasks", runs - killed)
                await asyncio.to_thread(sentinels.start)
                await producers.flow()
            await yard.done()
            await yard.leave()

            assert not producers.losses(yard.journal)
            assert keys_left(sentinels.master) == {"qcore:queues", "qcore:{default}:meta"}


async def test_nothing_acknowledged_is_lost_when_a_node_of_a_cluster_is(tmp_path: Path) -> None:
    """Workers and producers of queues on all nodes come to the replica by themselves."""
    with (
        RedisCluster(SERVERS[-1], replicas=1) as cluster,
        opened(f"{cluster.url}{SAFE}", tmp_path) as yard,
    ):
        queues = one_on_each_node(cluster)
        async with yard.q:
            workers = await yard.crew(WORKERS, *LEASE, "--queues", ",".join(queues))
            async with Producers(yard.q, *queues) as producers:
                await producers.flow()
                await yard.flows(workers)
                owner(cluster, queues[0]).kill()
                killed = monotonic()
                await asyncio.to_thread(cluster.wait_served)
                measured("seconds until all slots are served", monotonic() - killed)
                runs = await yard.flows(workers, queues[0], least=1)
                measured("seconds until all workers run tasks of its slots", runs - killed)
                await asyncio.to_thread(cluster.start)
                await producers.flow()
            await yard.done()
            await yard.leave()

            assert not producers.losses(yard.journal)
            left = set().union(*map(keys_left, cluster.masters))
            assert left == {"qcore:queues", *(meta(queue) for queue in queues)}


def one_on_each_node(cluster: RedisCluster) -> list[str]:
    """Return names of queues, so that each master has one."""
    found: dict[RedisServer, str] = {}
    for number in count():
        name = f"queue-{number}"
        found.setdefault(owner(cluster, name), name)
        if len(found) == len(cluster.masters):
            break
    return list(found.values())


def owner(cluster: RedisCluster, queue: str) -> RedisServer:
    """Return who serves a queue's slot."""
    return cluster.owner(meta(queue))


def meta(queue: str) -> str:
    """Return the key that stays as long as a queue was ever used."""
    return f"qcore:{{{queue}}}:meta"
