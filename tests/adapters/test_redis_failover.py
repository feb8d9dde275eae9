"""Servers that say that they are not the one to ask are left, with all that was known of them."""

import asyncio
from collections.abc import Callable, Iterator
from threading import Event

import pytest
from redis.exceptions import ConnectionError as Disconnected

from qcore import BrokerUnavailable
from qcore.adapters.links.redis.cluster import SLOTS, ClusterTransport
from qcore.adapters.links.redis.pool import AsyncPool, PendingReplies, Pool, Requests, SyncPool
from qcore.adapters.links.redis.resp import RedisCommand, Reply
from qcore.adapters.redis import RedisBroker
from qcore.domain.states import State
from qcore.testing.builders import a_task
from qcore.testing.contract.base import step
from qcore.testing.contract.steps import on_work, put
from tests.adapters.redis_kit import Pauses, RedisCases, broker_at, pauses
from tests.adapters.test_redis_errors import answered
from tests.adapters.test_redis_pools import connections
from tests.servers.binaries import SERVERS
from tests.servers.cut_off import REFUSALS, Nodes, Pair, WatchedPair, follow_nobody, lose_replicas
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer
from tests.servers.waiting import until

__all__ = ["pauses"]

NAME = "a-test-of-failovers"
ONE = {"default": {State.PENDING: 1}}


async def _called(function: Callable[[], None]) -> None:
    """Call a function that waits, beside the loop if there is one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        function()
    else:
        await asyncio.to_thread(function)


@pytest.fixture(scope="module", params=SERVERS, ids=str)
def any_pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Give two servers of each version."""
    with Pair(request.param) as pair:
        yield pair


@pytest.fixture(scope="module")
def watched_pair() -> Iterator[WatchedPair]:
    """Give two servers behind a Sentinel."""
    with WatchedPair(SERVERS[-1]) as pair:
        yield pair


@pytest.fixture(scope="module")
def any_nodes() -> Iterator[Nodes]:
    """Give two nodes that each serve all slots."""
    with Nodes(SERVERS[-1]) as nodes:
        yield nodes


class Failovers(RedisCases):
    """Cases of a server, `old`, in whose place there is another, `new`."""

    old: RedisServer
    new: RedisServer

    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in ("link", "pubsub"):
            monkeypatch.setattr(f"qcore.adapters.links.redis.{module}.CHECK_AFTER", 0.1)

    async def assert_moved(self, broker: RedisBroker) -> None:
        """Enqueue, which the new server is to see, and see that nothing is left at the old one."""
        await put(broker, a_task())
        other = broker_at(f"{self.url}?name=another").blocking()
        assert step(other.count()) == ONE
        step(other.close())
        assert self.old.cli("INFO", "keyspace") == {}
        await self.assert_left()

    async def assert_left(self, name: str = NAME) -> None:
        """See that the old server has no client of ours."""

        def wait() -> None:
            until(lambda: connections(self.old, name) == 0, "no client of ours")

        await _called(wait)

    async def on_work(self, broker: RedisBroker) -> Event:
        """Subscribe, and return what is set when there may be work."""
        heard = Event()
        await on_work(broker, ["default"], heard.set)
        assert await self.comes(heard)
        heard.clear()
        return heard

    async def assert_heard(self, heard: Event) -> None:
        """See that a subscription is made anew, and hears what somebody else enqueues."""
        assert await self.comes(heard)
        await self.assert_left()
        heard.clear()
        other = broker_at(f"{self.url}?name=another").blocking()
        step(put(other, a_task()))
        step(other.close())
        assert await self.comes(heard)


class TestBehindOneName(Failovers):
    """A name, of a proxy or in the DNS, that leads new connections to another server."""

    @pytest.fixture(autouse=True)
    def _behind_a_proxy(self, any_pair: Pair) -> Iterator[None]:
        any_pair.mend()
        self.old, self.new = any_pair.old, any_pair.new
        with Proxy(self.old.port) as self.proxy:
            self.url = f"{self.proxy.url}"
            yield

    def make_broker(self, keep: object) -> RedisBroker:
        return broker_at(f"{self.url}?name={NAME}")

    def fail_over(self, refuse: Callable[[RedisServer], None]) -> None:
        """Have the old server refuse, while those who are connected to it stay so."""
        self.proxy.lead_to(self.new.port)
        refuse(self.old)

    @pytest.mark.parametrize("refuse", REFUSALS)
    async def test_the_first_call_after_a_refusal_succeeds(
        self, broker: RedisBroker, refuse: Callable[[RedisServer], None]
    ) -> None:
        """On a new connection; the idle ones are closed, and the subscription is made anew."""
        await self.together([broker.count] * 5)
        heard = await self.on_work(broker)
        self.fail_over(refuse)
        await self.assert_moved(broker)
        assert await self.comes(heard)

    @pytest.mark.parametrize("refuse", REFUSALS)
    async def test_who_listens_only_moves_too(
        self, broker: RedisBroker, refuse: Callable[[RedisServer], None]
    ) -> None:
        """Nobody calls, and the old server would keep its subscribers for ever."""
        heard = await self.on_work(broker)
        self.fail_over(refuse)
        await self.assert_heard(heard)

    async def test_the_links_of_both_kinds_move_together(self, broker: RedisBroker) -> None:
        """What the one finds out, the other and its subscriptions need not find out again."""
        other = broker.blocking()
        if other is broker:
            return
        heard = await self.on_work(broker)
        await asyncio.to_thread(lambda: step(other.count()))
        assert connections(self.old, NAME) == 3
        self.fail_over(follow_nobody)
        await asyncio.to_thread(lambda: step(put(other, a_task())))
        assert await self.comes(heard)
        await self.assert_left()

    async def test_a_lost_connection_moves_subscriptions_as_well(self, broker: RedisBroker) -> None:
        """The old server has dropped those for commands alone, and says nothing any more."""
        heard = await self.on_work(broker)
        self.proxy.lead_to(self.new.port)
        self.old.cli("CLIENT", "KILL", "TYPE", "normal")
        await self.assert_heard(heard)

    async def test_a_server_that_falls_silent_is_left(self) -> None:
        """Its other connections would keep the next calls waiting as long."""
        quick = broker_at(f"{self.url}?name=quick&timeout=1")
        quick = quick.blocking() if self.blocking else quick
        await self.together([quick.count] * 3)
        self.proxy.lead_to(self.new.port)
        self.old.freeze()
        try:
            await put(quick, a_task())
            assert await quick.count() == ONE
        finally:
            self.old.thaw()
            await quick.close()
        await self.assert_left("quick")

    async def test_the_time_is_asked_for_again(self, broker: RedisBroker) -> None:
        """Another server may have another clock."""
        await broker.count()
        self.new.cli("CONFIG", "RESETSTAT")
        self.fail_over(follow_nobody)
        await put(broker, a_task())
        assert "cmdstat_time" in self.new.cli("INFO", "commandstats")

    async def test_what_is_only_read_is_not_read_from_a_replica_for_ever(
        self, broker: RedisBroker, pauses: Pauses
    ) -> None:
        """Reads are not refused; but with the time the server is asked what it is."""
        assert await broker.count() == {}
        step(put(other := broker_at(self.new.url).blocking(), a_task()))
        step(other.close())
        self.fail_over(follow_nobody)
        assert await broker.count() == {}
        pauses.taken.append(61.0)
        assert await broker.count() == {}
        assert await broker.count() == ONE

    async def test_who_finds_a_replica_by_asking_leaves_it_for_all(
        self, broker: RedisBroker
    ) -> None:
        """The links of both kinds, and the subscriptions, which nobody would move otherwise."""
        heard = await self.on_work(broker)
        await _called(lambda: step(broker.blocking().count()))
        self.fail_over(follow_nobody)
        await broker.open()
        assert await broker.count() == {}
        assert await self.comes(heard)
        await self.assert_left()

    async def test_who_reads_a_replica_only_asks_it_once_a_minute(
        self, broker: RedisBroker, pauses: Pauses
    ) -> None:
        """A dashboard that was given a replica is served, and does not connect for each call."""
        follow_nobody(self.old)
        await broker.count()
        await broker.count()
        made = self._connections_made()
        for _ in range(5):
            pauses.taken.append(3.0)
            await broker.count()
        # the one is that of `cli`
        assert self._connections_made() - made == 1

    async def test_the_same_server_again_is_asked_with_pauses(
        self, broker: RedisBroker, pauses: Pauses
    ) -> None:
        """No storm: a connection for each attempt; and in the end the error says what to do."""
        await broker.count()
        made = self._connections_made()
        follow_nobody(self.old)
        with pytest.raises(BrokerUnavailable, match=r"name the master in the URL.*READONLY"):
            await put(broker, a_task())
        # two are those of `cli`
        assert self._connections_made() - made <= len(pauses.taken) + 2
        assert 2 < sum(pauses.taken) <= 5

    def _connections_made(self) -> int:
        return int(self.old.cli("INFO", "stats")["total_connections_received"])


class TestBehindOneNameOverTheBlockingLink(TestBehindOneName):
    """It is the same over the link that blocks."""

    blocking = True


class TestBehindSentinels(Failovers):
    """Whatever a master refuses, the Sentinels are asked whether it is still the one."""

    @pytest.fixture(autouse=True)
    def _behind_a_sentinel(self, watched_pair: WatchedPair) -> None:
        watched_pair.mend()
        watched_pair.name(watched_pair.old)
        self.pair = watched_pair
        self.old, self.new, self.url = watched_pair.old, watched_pair.new, watched_pair.url

    def make_broker(self, keep: object) -> RedisBroker:
        return broker_at(f"{self.url}?name={NAME}")

    @pytest.mark.parametrize("refuse", REFUSALS)
    async def test_another_master_is_asked_for(
        self, broker: RedisBroker, refuse: Callable[[RedisServer], None]
    ) -> None:
        """A master that was cut off from Sentinels and replicas is there for its clients."""
        heard = await self.on_work(broker)
        self.pair.name(self.new)
        refuse(self.old)
        await self.assert_moved(broker)
        assert await self.comes(heard)

    async def test_who_listens_only_moves_too(self, broker: RedisBroker) -> None:
        """To the master that the Sentinels name by then."""
        heard = await self.on_work(broker)
        self.pair.name(self.new)
        lose_replicas(self.old)
        await self.assert_heard(heard)

    async def test_who_listens_only_leaves_a_master_that_was_replaced(
        self, broker: RedisBroker
    ) -> None:
        """By an operator: it takes writes until it is told, and these are lost."""
        heard = await self.on_work(broker)
        self.pair.name(self.new)
        await self.assert_heard(heard)

    async def test_who_calls_leaves_a_master_that_was_replaced(
        self, broker: RedisBroker, pauses: Pauses
    ) -> None:
        """With the time, every few seconds, the Sentinels are asked as well."""
        await broker.count()
        self.pair.name(self.new)
        pauses.taken.append(3.0)
        await broker.count()
        await self.assert_moved(broker)


class TestBehindSentinelsOverTheBlockingLink(TestBehindSentinels):
    """It is the same over the link that blocks."""

    blocking = True


class TestOfACluster(Failovers):
    """A node that was cut off from the others has the map of slots that was."""

    @pytest.fixture(autouse=True)
    def _on_nodes(self, any_nodes: Nodes) -> None:
        any_nodes.mend()
        self.nodes = any_nodes
        self.old, self.new, self.url = any_nodes.old, any_nodes.new, any_nodes.url

    def make_broker(self, keep: object) -> RedisBroker:
        return broker_at(f"{self.url}?name={NAME}")

    async def test_another_node_is_asked_for_the_map_first(self, broker: RedisBroker) -> None:
        """And the subscription is made anew, at a node that the others know."""
        heard = await self.on_work(broker)
        with self.nodes.cut_off():
            self.old.cli("CONFIG", "RESETSTAT")
            await broker.count()
            asked = self.old.cli("INFO", "commandstats")
            assert not [name for name in asked if name.startswith("cmdstat_cluster")]
            # who begins with the node that was cut off finds the other one too
            await self.assert_moved(broker)
            assert await self.comes(heard)

    async def test_who_listens_only_moves_too(self, broker: RedisBroker) -> None:
        """Messages do not reach a node that was cut off, and it says so to a write."""
        heard = await self.on_work(broker)
        with self.nodes.cut_off():
            await self.assert_heard(heard)


class TestOfAClusterOverTheBlockingLink(TestOfACluster):
    """It is the same over the link that blocks."""

    blocking = True


class Node(Pool):
    """A node that says one thing, or is lost, and counts what it was asked."""

    def __init__(self, answer: Reply | Exception) -> None:
        self.answer = answer
        self.asked: list[RedisCommand] = []

    async def exchange(self, requests: Requests, replies: list[Reply | Exception]) -> None:
        await (await self.send(requests)).receive(replies)

    async def send(self, requests: Requests) -> PendingReplies:
        commands = [command for _, command in requests]
        self.asked += commands
        if isinstance(self.answer, Disconnected):
            raise self.answer
        slots = [[0, 16383, [HERE[0].encode(), HERE[1]]]]
        return _Answers([slots if command == SLOTS else self.answer for command in commands])


class _Answers(PendingReplies):
    def __init__(self, answers: list[Reply | Exception]) -> None:
        self.answers = answers

    async def receive(self, replies: list[Reply | Exception]) -> None:
        replies += self.answers


HERE, THERE = ("here", 1), ("there", 2)


def ask(transport: ClusterTransport, key: str | None) -> Reply | Exception:
    """Return the answer to one command."""
    step(transport.exchange([(key, ("ASK", key or ""))], replies := list[Reply | Exception]()))
    return replies[0]


@pytest.mark.parametrize(
    "answer", [Disconnected("gone"), answered("CLUSTERDOWN down"), answered("LOADING wait")]
)
def test_what_any_node_may_answer_is_asked_of_another_than_a_suspect(
    answer: Reply | Exception,
) -> None:
    """A node that is away would keep everybody waiting who asks for the time behind a call.

    So would one at which messages are subscribed to. Once it answers, it is one of them again.
    """
    nodes = {HERE: Node(answer), THERE: Node(b"yes")}
    transport = ClusterTransport(nodes.__getitem__, [HERE, THERE])
    nodes[HERE].answer = b"yes"
    assert ask(transport, "a key") == b"yes"
    assert step(transport.locate("a key")) == HERE
    nodes[HERE].answer = answer
    assert ask(transport, "a key") is answer
    transport.leave()
    nodes[HERE].asked.clear()
    assert ask(transport, None) == b"yes"
    assert step(transport.locate("a key")) == THERE
    assert nodes[HERE].asked == []
    nodes[HERE].answer = b"yes"
    assert ask(transport, "a key") == b"yes"
    assert step(transport.locate("a key")) == HERE


class Held:
    """A connection whose reply comes when it is told to, of either kind of pool."""

    def __init__(self) -> None:
        self.is_open = True
        self.replies: asyncio.Queue[Reply] = asyncio.Queue()

    async def connect(self) -> None: ...
    async def send_packed_command(self, command: object, *, check_health: bool) -> None: ...

    async def read_response(self, *, timeout: float | None = None) -> Reply:  # noqa: ASYNC109
        return await self.replies.get()

    async def disconnect(self, *, nowait: bool) -> None:
        self.is_open = False


class HeldThatBlocks:
    """The same for a pool of connections that block: the reply is there."""

    def __init__(self) -> None:
        self.is_open = True

    def connect(self) -> None: ...
    def send_packed_command(self, command: object, *, check_health: bool) -> None: ...

    def read_response(self, *, timeout: float = 0, disconnect_on_error: bool = True) -> Reply:
        return b"PONG"

    def disconnect(self) -> None:
        self.is_open = False


PING = [(None, ("PING",))]


async def test_what_is_in_use_when_a_server_is_left_is_closed_after_use() -> None:
    """Its reply still counts; idle connections are closed at once."""
    made: list[Held] = []
    pool = AsyncPool(lambda: made.append(Held()) or made[-1])
    first, second = await pool.send(PING), await pool.send(PING)
    made[0].replies.put_nowait(b"PONG")
    await first.receive([])
    pool.leave()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [each.is_open for each in made] == [False, True]
    made[1].replies.put_nowait(b"PONG")
    await second.receive(replies := list[Reply | Exception]())
    assert replies == [b"PONG"]
    assert not made[1].is_open


def test_what_is_in_use_when_a_server_is_left_is_closed_after_use_by_threads() -> None:
    """It is the same for connections that block."""
    made: list[HeldThatBlocks] = []
    pool = SyncPool(lambda: made.append(HeldThatBlocks()) or made[-1])
    first, second = step(pool.send(PING)), step(pool.send(PING))
    step(first.receive([]))
    pool.leave()
    assert [each.is_open for each in made] == [False, True]
    step(second.receive(replies := list[Reply | Exception]()))
    assert replies == [b"PONG"]
    assert not made[1].is_open
