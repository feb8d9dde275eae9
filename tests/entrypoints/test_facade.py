import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from qcore import (
    BlockingClient,
    Client,
    Context,
    Inspector,
    InvalidOption,
    InvalidTask,
    NewTask,
    Qcore,
    Router,
    State,
)
from qcore.adapters.clocks import SystemClock
from qcore.adapters.instruments.logging import LoggingInstrument
from qcore.adapters.instruments.metric_catalogue import CALLS
from qcore.adapters.instruments.metrics import Metrics
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.serializers import MessagePackSerializer
from qcore.adapters.wrappers import ForwardingBroker, TracedBroker
from qcore.app.client.coalescing import EnqueueAnswer
from qcore.app.client.enqueue_middleware import EnqueueMiddleware, SendTasks
from qcore.domain.answers import Admission, Conflict, Enqueued, LeaseLost, Settled
from qcore.domain.events import BrokerCalled, Event, TasksEnqueued
from qcore.domain.task import Verdict
from qcore.entrypoints.connect import connect
from qcore.testing import ManualClock, Signals, assert_enqueued, drain
from qcore.testing.builders import NOW
from tests.contract.doubles import Store, TimedBroker


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of our own, with nothing said in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QCORE_URL", raising=False)
    return tmp_path


def add_task(q: Qcore) -> None:
    """Store a task."""
    q.blocking.enqueue(NewTask("test", id=q.blocking.new_id()))


def names(folder: Path) -> list[str]:
    """Return the names of the files of a folder."""
    return sorted(file.name for file in folder.iterdir())


def test_without_a_url_tasks_are_in_a_file_of_the_working_folder(home: Path) -> None:
    """It is called qcore.db."""
    q = Qcore()
    add_task(q)
    q.blocking.close()
    assert (home / "qcore.db").exists()


def test_an_empty_url_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that was not filled in must not lead to a file that no worker looks at."""
    with pytest.raises(InvalidOption, match="the URL '' has the scheme ''"):
        Qcore("")
    monkeypatch.setenv("QCORE_URL", "")
    with pytest.raises(InvalidOption, match="the variable QCORE_URL is empty: unset it for"):
        Qcore()
    assert isinstance(Qcore("memory://").broker, MemoryBroker)
    assert names(home) == []


def test_the_environment_may_say_where_tasks_are(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QCORE_URL comes before the file in the working folder."""
    monkeypatch.setenv("QCORE_URL", "sqlite:///elsewhere.db")
    q = Qcore()
    add_task(q)
    q.blocking.close()
    assert names(home) == ["elsewhere.db"]


def test_a_url_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the code says is meant for this queue, what the environment says for any."""
    monkeypatch.setenv("QCORE_URL", "sqlite:///elsewhere.db")
    assert isinstance(Qcore("memory://").broker, MemoryBroker)


def test_a_broker_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker given is the broker used, whatever QCORE_URL says."""
    monkeypatch.setenv("QCORE_URL", "nonsense://")
    broker = MemoryBroker()
    assert Qcore(broker=broker).broker is broker


def test_a_url_and_a_broker_contradict_each_other() -> None:
    """Nobody could tell which of them was meant."""
    with pytest.raises(InvalidOption, match="both url and broker are given"):
        Qcore("memory://", broker=MemoryBroker())


def test_a_wrong_url_is_refused_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error in the environment shows at the start, not at the first task."""
    monkeypatch.setenv("QCORE_URL", "nonsense://")
    with pytest.raises(InvalidOption, match="nonsense"):
        Qcore()


def test_nothing_is_opened_before_it_is_used(home: Path) -> None:
    """A module that declares tasks can be imported anywhere: no file is made."""
    q = Qcore()

    @q.task("test")
    async def test(ctx: Context) -> None: ...

    assert isinstance(q.client, Client)
    assert isinstance(q.blocking, BlockingClient)
    assert isinstance(q.inspector, Inspector)
    q.worker()
    assert names(home) == []


async def test_a_block_opens_and_closes_the_store(home: Path) -> None:
    """The file is there within it; after it the log beside the file is gone with its last user."""
    async with Qcore() as q:
        assert (home / "qcore.db").exists()
        add_task(q)
        assert (await q.inspector.totals()) == {State.PENDING: 1}
    assert names(home) == ["qcore.db"]


async def test_a_queue_can_be_used_again_after_it_was_closed() -> None:
    """Its first use opens it once more, with what was stored before."""
    q = Qcore()
    async with q:
        add_task(q)
    async with q:
        add_task(q)
        assert (await q.inspector.totals()) == {State.PENDING: 2}


async def test_closing_what_was_never_opened_does_nothing(home: Path) -> None:
    """Neither does it make a file."""
    await Qcore().close()
    assert names(home) == []


async def test_both_clients_write_into_one_store() -> None:
    """What blocks and what awaits see the same tasks."""
    async with Qcore() as q:
        task = NewTask("test", id="one")
        assert (await q.client.enqueue(task)).is_new
        assert not q.blocking.enqueue(task).is_new


def test_the_conveniences_are_made_once() -> None:
    """Callers of one client coalesce, so there must be one."""
    q = Qcore("memory://")
    assert q.client is q.client
    assert q.blocking is q.blocking
    assert q.inspector is q.inspector


async def test_what_is_declared_on_a_queue_is_what_its_worker_runs() -> None:
    """Tasks, prefixes, middleware, lifespans and error hooks are the router's."""
    q = Qcore("memory://", clock=ManualClock(), instruments=())
    told: list[str] = []

    @q.lifespan
    async def resources() -> AsyncIterator[object]:
        yield told

    @q.middleware
    async def around(ctx: Context, run: object) -> object:
        told.append("around")
        return await run(ctx)

    @q.on_error
    def noted(ctx: Context, error: BaseException) -> None:
        told.append(f"noted {error}")

    @q.task("exact")
    async def exact(ctx: Context) -> None:
        ctx.state(list).append("exact")

    async def fallback(ctx: Context, **arguments: object) -> None:
        raise LookupError(ctx.name)

    q.route("image:", fallback)
    assert isinstance(q, Router)
    await exact.enqueue()
    await q.client.enqueue(NewTask("image:resize", id="one", max_retry=0))
    await drain(q)
    assert told == ["around", "exact", "around", "noted image:resize"]


async def test_a_swapped_queue_works_elsewhere_and_comes_back(home: Path) -> None:
    """While a block lasts, every way to enqueue leads to another broker, in another time."""
    q, clock = Qcore(), ManualClock()
    ran: list[float] = []

    @q.task("test")
    async def test(ctx: Context) -> None:
        ran.append(q.clock.now())

    before = q.broker
    with q.swapped("memory://", clock=clock) as same:
        assert same is q
        await test.using(delay=60).enqueue()
        assert_enqueued(test)
        assert await drain(q) == 1
    assert ran == [NOW + 60]
    assert q.broker is before
    assert names(home) == []


def test_a_task_enqueued_within_a_transaction_is_part_of_it(home: Path) -> None:
    """It is there when the caller commits, and never was when the caller rolls back."""
    q = Qcore("sqlite:///shop.db")
    connection = sqlite3.connect("shop.db")
    try:
        q.within(connection).enqueue(NewTask("test", id="one"))
        connection.rollback()
        q.within(connection).enqueue(NewTask("test", id="two"))
        connection.commit()
    finally:
        connection.close()
    assert q.blocking.handle("default", "one").task() is None
    assert q.blocking.handle("default", "two").status() is State.PENDING
    q.blocking.close()


@pytest.mark.parametrize("first", ["worker", "application"])
async def test_an_application_and_its_worker_share_a_file_whoever_comes_first(
    home: Path, first: str
) -> None:
    """With tables, or none yet, and a version of its own that nobody takes for ours."""
    q = Qcore("sqlite:///shop.db")

    @q.task("note", retention=60)
    async def note(ctx: Context) -> str:
        return "noted"

    async def work() -> None:
        await q.worker(burst=True).run()

    connection = sqlite3.connect("shop.db")
    try:
        for version in (1, 2):
            if first == "worker":
                await work()
            connection.execute(f"CREATE TABLE orders_{version} (id INTEGER)")
            connection.execute(f"PRAGMA user_version = {version}")
            handle = q.within(connection).enqueue(note.call())
            connection.commit()
            await work()
            assert handle.status() is State.COMPLETED
            assert not connection.in_transaction
    finally:
        connection.close()
        await q.close()


async def test_a_worker_serves_the_queues_that_its_handlers_name() -> None:
    """Without a word about queues none of them is left waiting."""
    q = Qcore("memory://", clock=ManualClock(), instruments=())
    ran: list[str] = []

    @q.task("urgent", queue="critical")
    async def urgent(ctx: Context) -> None:
        ran.append(ctx.queue)

    @q.task("plain")
    async def plain(ctx: Context) -> None:
        ran.append(ctx.queue)

    await urgent.enqueue()
    await plain.enqueue()
    await q.worker(burst=True).run()
    assert sorted(ran) == ["critical", "default"]


async def test_time_is_the_clocks() -> None:
    """A clock given to the queue is that of its clients, its inspector and its workers."""
    q = Qcore("memory://", clock=ManualClock())

    @q.task("test")
    async def test(ctx: Context) -> None: ...

    task = await (await test.using(delay=60).enqueue()).task()
    assert task is not None
    assert (task.created, task.due) == (NOW, NOW + 60)


def test_time_is_this_machines_unless_told_otherwise() -> None:
    """Without a clock it is the clock on the wall."""
    assert isinstance(Qcore("memory://").clock, SystemClock)


def has_time_of(q: Qcore, moment: Callable[[], float]) -> bool:
    """Say whether a queue, and the client of it that blocks, go by a clock."""
    before = moment()
    told = q.clock.now()
    task = q.blocking.enqueue(NewTask("test", id=q.blocking.new_id())).task()
    assert task is not None
    return before <= told <= task.created <= moment()


class TestStoresTime:
    async def test_time_is_the_stores_where_it_has_a_clock(self) -> None:
        """Clients, inspector and workers go by the clock that all who use the store go by."""
        store = Store()
        q = Qcore(broker=TimedBroker(store), instruments=())
        ran: list[float] = []

        @q.task("test")
        async def test(ctx: Context) -> None:
            ran.append(ctx.lease.until)

        before = store.time()
        async with q:
            assert has_time_of(q, store.time)
            assert await drain(q, jump=False) == 1
        assert before + 30 <= ran[0] <= store.time() + 30

    async def test_a_clock_that_was_given_is_kept(self) -> None:
        """Whoever gives a clock means it, also when the store has one."""
        q = Qcore(broker=TimedBroker(Store()), clock=ManualClock())
        await q.open()
        assert has_time_of(q, lambda: NOW)

    async def test_a_swapped_broker_brings_its_own_time(self) -> None:
        """In memory there is no store's clock: time is this machine's, and afterwards as before."""
        store = Store()
        q = Qcore(broker=TimedBroker(store))
        await q.open()
        with q.swapped():
            assert has_time_of(q, time.time)
        assert has_time_of(q, store.time)

    async def test_a_swapped_broker_that_has_a_clock_brings_it(self) -> None:
        """The other way round it is the store's, within the block alone."""
        store = Store()
        q = Qcore("memory://")
        with q.swapped(broker=TimedBroker(store)):
            await q.open()
            assert has_time_of(q, store.time)
            with q.swapped(clock=ManualClock()), q.swapped(broker=TimedBroker(store)):
                assert has_time_of(q, lambda: NOW)
            assert has_time_of(q, store.time)
        assert has_time_of(q, time.time)

    def test_a_swapped_broker_leaves_a_clock_that_was_given(self) -> None:
        """A queue in virtual time stays in it, whatever broker comes."""
        q = Qcore("memory://", clock=ManualClock())
        with q.swapped(broker=TimedBroker(Store())):
            assert has_time_of(q, lambda: NOW)
        assert has_time_of(q, lambda: NOW)

    def test_within_a_transaction_time_is_that_of_its_database(self, tmp_path: Path) -> None:
        """A store without a clock has this machine's, unless a clock was given."""
        for clock, moment in ((None, time.time), (ManualClock(), lambda: NOW)):
            path = tmp_path / ("system.db" if clock is None else "manual.db")
            q = Qcore(broker=TimedBroker(Store(), connect(f"sqlite:///{path}")), clock=clock)
            connection = sqlite3.connect(path)
            try:
                before = moment()
                client = q.within(connection)
                task = client.enqueue(NewTask("test", id="one")).task()
                assert task is not None
                assert before <= task.created <= moment()
            finally:
                connection.close()


class Only:
    """Take the events of one kind."""

    def __init__(self, kind: type[Event], take: Callable[[Any], None]) -> None:
        self.wants = {kind}
        self._take = take

    def __call__(self, event: Event) -> None:
        """Take an event."""
        self._take(event)


def test_a_log_is_kept_unless_told_otherwise() -> None:
    """The one instrument by default is the log; naming others replaces it, naming none too."""
    signals = Signals()
    (default,) = Qcore("memory://").instruments
    assert isinstance(default, LoggingInstrument)
    assert Qcore("memory://", instruments=[signals]).instruments == (signals,)
    assert Qcore("memory://", instruments=()).instruments == ()


class Calls:
    """An instrument that wants to know of calls of the broker, and of nothing else."""

    wants = frozenset({BrokerCalled})

    def __init__(self) -> None:
        self.told: list[BrokerCalled] = []

    def __call__(self, event: Event) -> None:
        assert isinstance(event, BrokerCalled)
        self.told.append(event)

    def verbs(self) -> Counter[str]:
        """Return what was called since it was asked last, and how often."""
        told, self.told = self.told, []
        return Counter(event.verb for event in told)


async def test_calls_of_the_broker_are_told_to_who_wants_to_know(home: Path) -> None:
    """Those of both clients, of a worker and of an inspector alike, each once."""
    calls = Calls()
    q = Qcore("memory://", instruments=[calls], clock=ManualClock())

    @q.task("greet")
    async def greet(ctx: Context) -> None: ...

    await greet.enqueue()
    assert calls.verbs() == {"open": 1, "enqueue": 1}
    greet.enqueue_sync()
    assert calls.verbs() == {"open": 1, "enqueue": 1}
    await q.inspector.counts()
    assert calls.verbs() == {"count": 1}
    assert await drain(q, jump=False) == 2
    assert calls.verbs() >= Counter(["open", "subscribe", "claim", "settle", "sweep"])
    with q.swapped():
        await greet.enqueue()
        assert calls.verbs() == {"open": 1, "enqueue": 1}
    in_file = Qcore(f"sqlite:///{home / 'here.db'}", instruments=[calls])
    connection = sqlite3.connect(home / "here.db")
    in_file.within(connection).enqueue(greet.call())
    connection.close()
    assert calls.verbs() == {"open": 1, "enqueue": 1}


async def test_all_who_want_to_know_of_calls_are_told_of_all() -> None:
    """Also where one of them has lists for the times: then they would tell the others nothing."""
    calls, metrics = Calls(), Metrics()
    for instruments, verbs in (([calls, metrics], {"open": 1, "enqueue": 1}), ([metrics], {})):
        q = Qcore("memory://", instruments=instruments)
        await q.client.enqueue(NewTask("mail", id="1"))
        assert calls.verbs() == verbs
    cells = {labels: cell for found, labels, cell in metrics.samples() if found is CALLS}
    assert sum(cells["enqueue",][:-1]) == 2


def test_nobody_who_wants_to_know_of_calls_costs_nothing() -> None:
    """Without such an instrument there is nothing between a queue and its broker."""
    q = Qcore("memory://", instruments=[LoggingInstrument(), Signals()])
    assert q.client.broker is q.broker
    traced = Qcore(broker=q.broker, instruments=[Calls()])
    assert traced.broker is q.broker
    assert isinstance(traced.client.broker, TracedBroker)


async def test_what_either_client_enqueues_is_told_to_who_wants_to_know() -> None:
    """Each call once, with its answers, also of a task that was not stored."""
    told: list[TasksEnqueued] = []
    q = Qcore("memory://", instruments=[Only(TasksEnqueued, told.append)])
    await q.client.enqueue(NewTask("mail", id="1"))
    await q.close()
    await q.client.enqueue(NewTask("mail", id="1"))
    q.blocking.enqueue_many([NewTask("mail", id="2"), NewTask("mail", id="3")])
    assert [[task.id for task in event.tasks] for event in told] == [["1"], ["1"], ["2", "3"]]
    kinds = [[type(answer) for answer in event.answers] for event in told]
    assert kinds == [[Enqueued], [Conflict], [Enqueued, Enqueued]]


async def test_an_enqueue_that_nobody_wants_to_know_of_is_told_by_nothing() -> None:
    """The log is asked when the client opens: without debug there is no call more than before."""
    q = Qcore("memory://")
    await q.client.enqueue(NewTask("mail", id="1"))
    assert q.client._enqueue is q.client._send  # noqa: SLF001
    with capture_logs() as lines, pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "is_configured", lambda: True)
        other = Qcore("memory://")
        await other.client.enqueue(NewTask("mail", id="1"))
    assert [line["event"] for line in lines] == ["task enqueued"]


def test_a_payload_over_the_limit_is_refused() -> None:
    """The limit is settable, and the error says how."""
    q = Qcore("memory://", max_payload=100)
    with pytest.raises(InvalidTask, match=r"expected at most 100.*max_payload"):
        q.blocking.enqueue(NewTask("test", id="one", payload=b"x" * 101))
    q.blocking.enqueue(NewTask("test", id="one", payload=b"x" * 100))


async def test_a_change_of_serializer_needs_no_pause() -> None:
    """What was written as JSON is read by a queue that writes MessagePack, and the reverse."""
    broker, clock = MemoryBroker(), ManualClock()
    told: list[int] = []

    def made(serializer: MessagePackSerializer | None) -> Qcore:
        q = Qcore(broker=broker, clock=clock, serializer=serializer, instruments=())

        @q.task("test")
        async def test(ctx: Context, n: int) -> None:
            told.append(n)

        return q

    old, new = made(None), made(MessagePackSerializer())
    await old.handlers()[0].enqueue(n=1)
    await drain(new)
    await new.handlers()[0].enqueue(n=2)
    await drain(old)
    assert told == [1, 2]


def test_a_worker_that_cannot_be_is_refused() -> None:
    """Settings are checked when the worker is made."""
    with pytest.raises(InvalidOption, match="concurrency is 0"):
        Qcore("memory://").worker(concurrency=0)


async def test_middleware_is_wrapped_around_every_enqueue_of_either_client() -> None:
    """The first outermost; also of several tasks, and while the queue is swapped."""
    q = Qcore("memory://", clock=ManualClock())
    seen: list[tuple[str, int]] = []

    def noting(name: str) -> EnqueueMiddleware:
        async def note(tasks: Sequence[NewTask], send: SendTasks) -> Sequence[EnqueueAnswer]:
            seen.append((name, len(tasks)))
            return await send(tasks)

        return note

    q.enqueue_middleware(noting("outer"))
    q.enqueue_middleware(noting("inner"))
    await q.client.enqueue_many([NewTask("test", id=each) for each in "ab"])
    q.blocking.enqueue(NewTask("test", id="c"))
    with q.swapped():
        await q.client.enqueue(NewTask("test", id="d"))
    assert seen == [(name, size) for size in (2, 1, 1) for name in ("outer", "inner")]


def test_what_cannot_be_awaited_is_no_enqueue_middleware() -> None:
    """The call that registers it says so."""
    with pytest.raises(InvalidOption, match="expected a coroutine function"):
        Qcore("memory://").enqueue_middleware(lambda tasks, send: send(tasks))


async def test_a_wrapper_is_put_around_whichever_broker_a_queue_has() -> None:
    """Of its clients and its workers, also while it is swapped; `q.broker` is the one inside."""
    q, calls = Qcore("memory://", clock=ManualClock()), Counter[str]()

    class Counting(ForwardingBroker):
        async def enqueue(self, tasks: Sequence[NewTask], *, now: float) -> Sequence[Admission]:
            calls["enqueue"] += 1
            return await super().enqueue(tasks, now=now)

        async def settle(
            self, verdicts: Sequence[Verdict], *, now: float
        ) -> Sequence[Settled | LeaseLost]:
            calls["settle"] += 1
            return await super().settle(verdicts, now=now)

    q.wrap_broker(Counting)

    @q.task("test")
    async def run(ctx: Context) -> None: ...

    await run.enqueue()
    run.enqueue_sync()
    await drain(q)
    assert calls == {"enqueue": 2, "settle": 1}
    with q.swapped(clock=q.clock):
        await run.enqueue()
        await drain(q)
    assert calls == {"enqueue": 3, "settle": 2}
    assert isinstance(q.broker, MemoryBroker)
