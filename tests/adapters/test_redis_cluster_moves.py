from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from qcore import BrokerUnavailable
from qcore.adapters.redis import RedisBroker
from qcore.domain.answers import Settled
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import Succeeded
from qcore.testing.builders import NOW, a_task, some_tasks
from qcore.testing.contract.steps import ids, ids_of, put, take
from tests.adapters.redis_kit import Pauses, RedisCases, pauses
from tests.servers.binaries import SERVERS
from tests.servers.cluster import RedisCluster
from tests.servers.redis import HOST, RedisServer

__all__ = ["pauses"]

KEY = "qcore:{default}:meta"
WAIT_MS = 5_000


@pytest.fixture(scope="module")
def restless() -> Iterator[RedisCluster]:
    """Give a cluster whose slots may be anywhere."""
    with RedisCluster(SERVERS[-1]) as cluster:
        yield cluster


class Slot:
    """The slot of the default queue, on its way from one master to another."""

    def __init__(self, cluster: RedisCluster) -> None:
        self.cluster = cluster
        self.number = cluster.nodes[0].cli("CLUSTER", "KEYSLOT", KEY)
        self.source = cluster.owner(KEY)
        self.target = next(node for node in cluster.masters if node is not self.source)

    def begin(self) -> None:
        """Tell both that it is about to move."""
        self._set(self.target, "IMPORTING", self.source.cli("CLUSTER", "MYID"))
        self._set(self.source, "MIGRATING", self.target.cli("CLUSTER", "MYID"))

    def carry(self) -> None:
        """Move what is in it."""
        keys = self.source.cli("CLUSTER", "GETKEYSINSLOT", self.number, 100)
        to = HOST, self.target.port, "", 0, WAIT_MS
        assert self.source.cli("MIGRATE", *to, "KEYS", *keys) == "OK"

    def end(self) -> None:
        """Tell everybody that it has moved."""
        name = self.target.cli("CLUSTER", "MYID")
        others = [node for node in self.cluster.nodes if node is not self.target]
        for node in (self.target, *others):
            self._set(node, "NODE", name)

    def move(self) -> None:
        """Move it."""
        self.begin()
        self.finish()

    def finish(self) -> None:
        """Move what is in it, and tell everybody."""
        self.carry()
        self.end()

    def _set(self, node: RedisServer, *words: str) -> None:
        assert node.cli("CLUSTER", "SETSLOT", self.number, *words) == "OK"


class TestMovingSlots(RedisCases):
    """Queues move from node to node, and nobody who uses them notices."""

    @pytest.fixture(autouse=True)
    def _on_a_cluster(self, restless: RedisCluster, pauses: Pauses) -> None:
        self.pauses = pauses
        self.cluster, self.url = restless, restless.url
        restless.wait_agreed()
        restless.flush()

    async def test_a_queue_that_has_moved_is_found(self, broker: RedisBroker) -> None:
        """Tasks go on where they were left: MOVED."""
        await put(broker, *(tasks := some_tasks(300)), a_task(queue="other"))
        claims = await take(broker, 100)
        Slot(self.cluster).move()
        await put(broker, late := a_task())
        verdicts = [Verdict(claim.lease, Succeeded()) for claim in claims]
        assert set(await broker.settle(verdicts, now=NOW)) == {Settled(State.GONE)}
        assert ids(await take(broker, 300)) == [*ids_of(tasks[100:]), late.id]
        # once to draw the map anew
        assert len(self.pauses.taken) == 1

    async def test_one_call_for_queues_that_moved_and_queues_that_did_not(
        self, broker: RedisBroker
    ) -> None:
        """Each is made once: those that were answered are not asked for again."""
        queues = ["default", *"abcdef"]
        await put(broker, *(a_task(queue=queue) for queue in queues))
        Slot(self.cluster).move()
        await put(broker, *(a_task(queue=queue) for queue in queues))
        assert await broker.count() == {queue: {State.PENDING: 2} for queue in queues}
        assert len(await take(broker, 100, *queues)) == 2 * len(queues)

    async def test_a_queue_that_is_just_moving_is_waited_for(self, broker: RedisBroker) -> None:
        """While its keys are in two places no script can run: TRYAGAIN."""
        await put(broker, *(tasks := some_tasks(3)))
        slot = Slot(self.cluster)
        slot.begin()
        self.pauses.meanwhile += [slot.carry, lambda: None, slot.end]
        assert ids(await take(broker)) == ids_of(tasks)
        assert len(self.pauses.taken) >= 3

    async def test_what_asks_for_one_key_goes_after_it(self, broker: RedisBroker) -> None:
        """A command finds its key where it has just been moved to: ASK."""
        await put(broker, a_task())
        slot = Slot(self.cluster)
        slot.begin()
        slot.carry()
        assert await broker.link.command("HGET", KEY, "version") == b"2"
        assert self.pauses.taken == []
        slot.end()

    async def test_a_slot_that_nobody_serves_is_waited_for(self, broker: RedisBroker) -> None:
        """CLUSTERDOWN passes, or ends with an error that says what it was."""
        await put(broker, a_task())
        with self._nobody_serves_it() as give_back:
            with pytest.raises(BrokerUnavailable, match="the cluster does not serve this slot"):
                await put(broker, a_task())
            self.pauses.meanwhile += [lambda: None, give_back]
            await put(broker, a_task())
        assert await broker.count() == {"default": {State.PENDING: 2}}

    @contextmanager
    def _nobody_serves_it(self) -> Iterator[object]:
        slot = Slot(self.cluster)
        for node in self.cluster.nodes:
            node.cli("CLUSTER", "DELSLOTS", slot.number)

        def give_back() -> None:
            slot.source.cli("CLUSTER", "ADDSLOTS", slot.number)
            self.cluster.wait()

        yield give_back


class TestMovingSlotsUnderTheBlockingLink(TestMovingSlots):
    """It is the same over the link that blocks."""

    blocking = True
