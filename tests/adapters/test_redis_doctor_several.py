from qcore import NewTask, connect
from qcore.domain.diagnostics import Grade
from qcore.testing.contract.steps import on_work
from tests.adapters.doctoring import LOAD, bad, examined, of
from tests.servers.binaries import SERVERS
from tests.servers.cluster import RedisCluster
from tests.servers.ports import free_port
from tests.servers.redis import HOST
from tests.servers.sentinel import SentinelSet
from tests.servers.waiting import until


async def test_sentinels_are_asked_too(empty_sentinel: SentinelSet) -> None:
    """They agree on the master, which has a replica."""
    found = await examined(empty_sentinel.url)
    assert "3 agree on" in of(found, "sentinels").found
    assert "min-replicas-to-write" in of(found, "replication").to_do
    assert bad(found, "persistence", "memory", "replication", *LOAD) == []
    assert empty_sentinel.master.cli("KEYS", "*") == []


async def test_a_sentinel_that_is_away_is_a_warning(empty_sentinel: SentinelSet) -> None:
    """The others are asked all the same."""
    missing = f"{HOST}:{free_port()}"
    found = await examined(empty_sentinel.url.replace("//", f"//{missing},"))
    told = [each for each in found if each.about == "sentinels"]
    assert [each.grade for each in told] == [Grade.WARNING, Grade.OK]
    assert told[0].found.startswith(f"{missing} does not answer")


async def test_each_master_of_a_cluster_is_examined(empty_cluster: RedisCluster) -> None:
    """What is so of all is said once, and what is not names its server."""
    found = await examined(empty_cluster.url)
    assert "every slot is served, by 3 masters" in of(found, "cluster").found
    version = ".".join(map(str, SERVERS[-1].version))
    assert f"{version}, cluster" in of(found, "version").found
    assert of(found, "version").found.startswith("all 3 servers: ")
    assert bad(found, "persistence", "memory", "replication", *LOAD) == []
    assert [node.cli("KEYS", "*") for node in empty_cluster.masters] == [[], [], []]


async def test_what_waits_on_a_cluster_and_who_listens_there(empty_cluster: RedisCluster) -> None:
    """Whoever listens is connected to any of its servers; queues are spread over them."""
    queues = [f"queue-{n}" for n in range(8)]
    broker = connect(empty_cluster.url)
    await broker.open()
    tasks = [NewTask("mail", id=queue, queue=queue) for queue in queues]
    await broker.enqueue(tasks, now=1.0)
    subscriptions = [await on_work(broker, [queue], lambda: None) for queue in queues[1:]]
    found = await examined(empty_cluster.url)
    assert of(found, "workers").found == "queue-0: 1 task waits, and no worker listens"
    assert of(found, "queues").found.startswith("8 there")
    for subscription in subscriptions:
        await subscription.close()
    await broker.close()


async def test_a_permission_that_one_master_lacks_is_found(empty_cluster: RedisCluster) -> None:
    """Users of a cluster are each server's own."""
    for node in empty_cluster.nodes:
        node.cli("ACL", "SETUSER", "ann", "on", ">s3cr3t", "~*", "allchannels", "+@all")
    empty_cluster.nodes[1].cli("ACL", "SETUSER", "ann", "-zadd")
    found = await examined(empty_cluster.url.replace("//", "//ann:s3cr3t@"))
    assert of(found, "permissions").found == "user ann lacks +zadd"
    for node in empty_cluster.nodes:
        node.cli("ACL", "DELUSER", "ann")


async def test_a_cluster_that_lost_a_master_is_an_error() -> None:
    """It says which is away, and that queues are."""
    with RedisCluster(SERVERS[-1]) as cluster:
        lost = cluster.nodes[2]
        lost.kill()
        first = cluster.nodes[0]
        until(lambda: "cluster_state:fail" in first.cli("CLUSTER", "INFO"), "a cluster that fails")
        found = await examined(f"{cluster.url}?timeout=1")
    told = [each.found for each in found if each.grade is Grade.ERROR]
    assert any(f"{HOST}:{lost.port}" in each for each in told)
    assert any("the cluster is fail, 10,922 of 16,384" in each for each in told)
    told = [each.found for each in found if each.grade is Grade.WARNING]
    assert any(f"{HOST}:{lost.port} down" in each for each in told)
