"""Schedulers make ticks: beside a worker, alone, and in virtual time."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from qcore import Context, PeriodicTask, Qcore, Router, State
from qcore.adapters.memory import MemoryBroker
from qcore.domain.errors import BrokerRefused, BrokerUnavailable, BrokerUnusable, InvalidOption
from qcore.domain.ids import tick_id
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.periodic.changes import DueEntries
from qcore.domain.periodic.editing import DECLARED_FOR
from qcore.domain.periodic.entry import FoundEntry
from qcore.domain.periodic.ticking import STALE_KEPT
from qcore.periodic import EntryChange, EntryStatus, Scheduler, TickRecord
from qcore.ports import Capability
from qcore.testing import FaultyBroker, ManualClock, drain
from qcore.testing.builders import NOW
from qcore.testing.entries import an_entry, find_entry, put_entry, stored_entry
from qcore.testing.optional_ports import periodic
from tests.app.kit import Lab, turn

MINUTE = timedelta(minutes=1)
DAY = 86_400.0


class Shared(MemoryBroker):
    """A broker as if its store were shared, and outlived the process."""

    capabilities = MemoryBroker.capabilities | {Capability.SHARED, Capability.DURABLE}


class Spoiled(MemoryBroker):
    """A broker that cannot use the entries of one queue, until it is mended."""

    is_mended = False

    async def entries(self, queue: str, ids: Sequence[str]) -> Sequence[FoundEntry | None]:
        """Refuse it."""
        if queue == "spoiled" and not self.is_mended:
            raise BrokerUnusable("of a newer qcore")
        return await super().entries(queue, ids)

    async def due_entries(self, queues: Sequence[str], limit: int, *, now: Moment) -> DueEntries:
        """Refuse it."""
        if "spoiled" in queues and not self.is_mended:
            raise BrokerUnusable("of a newer qcore")
        return await super().due_entries(queues, limit, now=now)


class Ticked:
    """A queue with one periodic task, which notes its ticks."""

    def __init__(self, broker: MemoryBroker | None = None, *, autojump: bool = False) -> None:
        self.lab = Lab(broker, autojump=autojump)
        self.at: list[Moment] = []

        @self.lab.every(MINUTE)
        @self.lab.task("report")
        async def report(ctx: Context) -> None:
            assert ctx.tick is not None
            self.at.append(ctx.tick.at - NOW)


async def _do_nothing(ctx: Context) -> None: ...


@asynccontextmanager
async def scheduling(q: Qcore) -> AsyncGenerator[Scheduler, None]:
    """Have a scheduler at work within the block, once it has declared what there is."""
    scheduler = q.scheduler()
    running = asyncio.create_task(scheduler.run())
    await turn(20)
    try:
        yield scheduler
    finally:
        scheduler.stop()
        await running


async def test_a_worker_makes_the_ticks_of_what_is_declared() -> None:
    """And runs their tasks, which know their ticks."""
    ticked = Ticked()
    lab = ticked.lab
    async with lab.working():
        await turn(20)
        for _ in range(3):
            lab.manual.advance(60)
            await lab.signals.settled.next()
    assert ticked.at == [60, 120, 180]


async def test_a_queue_that_cannot_be_read_keeps_no_other_one_from_ticking() -> None:
    """It is reported, and asked for again after longer and longer pauses."""
    ticked = Ticked(Spoiled())
    lab = ticked.lab
    async with lab.working(queues=["default", "spoiled"]):
        await turn(20)
        for _ in range(3):
            lab.manual.advance(60)
            await lab.signals.settled.next()
    assert ticked.at == [60, 120, 180]
    reports = [each for each in lab.signals.broker_failed.seen if each.call == "due_entries"]
    assert "'spoiled' is not served" in str(reports[0].error)


async def test_what_is_declared_into_a_queue_that_cannot_be_used_keeps_no_other_one_away() -> None:
    """It is declared once its queue can be used; others, also behind it, are at once."""
    broker = Spoiled()
    lab = Lab(broker)
    for queue in ("default", "spoiled", "third"):
        lab.every(MINUTE)(lab.task(queue, queue=queue)(_do_nothing))
    async with scheduling(lab):
        assert [each.name for each in await lab.entries.list("default")] == ["default"]
        assert [each.name for each in await lab.entries.list("third")] == ["third"]
        broker.is_mended = True
        for _ in range(5):
            lab.manual.advance(60)
            await turn(20)
        assert [each.name for each in await lab.entries.list("spoiled")] == ["spoiled"]
    reports = [each for each in lab.signals.broker_failed.seen if each.call == "write_entries"]
    assert "'spoiled' is not served" in str(reports[0].error)


async def test_a_drain_goes_on_where_a_queue_cannot_be_read() -> None:
    """Its scheduler looks at all queues for which there are handlers."""
    ticked = Ticked(Spoiled())
    ticked.lab.task("other", queue="spoiled")(_do_nothing)
    assert await drain(ticked.lab, until=NOW + 125) == 2
    assert ticked.at == [60, 120]


async def test_a_worker_may_be_told_to_make_no_ticks() -> None:
    """It declares nothing either."""
    ticked = Ticked()
    async with ticked.lab.working(scheduler=False):
        await turn(20)
        ticked.lab.manual.advance(600)
        await turn(20)
    assert await ticked.lab.entries.list() == []


async def test_a_burst_makes_the_ticks_that_are_due_first() -> None:
    """As one that is started again and again instead of a worker that stays."""
    ticked = Ticked()
    for _ in range(3):
        await ticked.lab.worker(burst=True).run()
        ticked.lab.manual.advance(60)
    assert ticked.at == [60, 120]


async def test_a_scheduler_alone_makes_ticks_and_runs_nothing() -> None:
    """Of all queues, those of entries that were added at run time too."""
    ticked = Ticked()
    lab = ticked.lab
    await lab.entries.put(MINUTE, NewTask("other", id="-", queue="elsewhere"))
    async with scheduling(lab):
        lab.manual.advance(60)
        await turn(20)
    assert await lab.inspector.counts() == {
        "default": {State.PENDING: 1},
        "elsewhere": {State.PENDING: 1},
    }
    assert ticked.at == []


async def test_an_entry_that_is_added_while_a_scheduler_sleeps_is_seen_to() -> None:
    """It wakes up: nobody has to wait for its next look."""
    lab = Lab()
    async with scheduling(lab):
        await lab.entries.put(timedelta(seconds=5), NewTask("quick", id="-"))
        await turn(20)
        lab.manual.advance(5)
        await turn(20)
        assert await lab.inspector.counts() == {"default": {State.PENDING: 1}}


async def test_ten_schedulers_make_each_tick_once() -> None:
    """Over one store."""
    ticked = Ticked(Shared())
    lab = ticked.lab
    schedulers = [lab.scheduler() for _ in range(10)]
    runs = [asyncio.create_task(each.run()) for each in schedulers]
    await turn(50)
    for _ in range(5):
        lab.manual.advance(60)
        await turn(50)
    for each in schedulers:
        each.stop()
    await asyncio.gather(*runs)
    assert await lab.inspector.counts() == {"default": {State.PENDING: 5}}


async def test_time_that_passes_in_one_call_passes_each_tick() -> None:
    """A scheduler that runs makes them at their moments, though its loop does not turn."""
    ticked = Ticked()
    lab = ticked.lab
    async with scheduling(lab):
        lab.manual.advance(DAY)
    assert await lab.inspector.counts() == {"default": {State.PENDING: 24 * 60}}
    history = (await stored_entry(lab.broker)).state.history
    assert {record.late_by for record in history} == {0.0}
    assert {record.note for record in history} == {None}


async def test_a_year_of_a_nightly_report_is_drained() -> None:
    """Each at its moment, and with the tick that it is for."""
    lab = Lab()
    seen: list[tuple[Moment, float]] = []

    @lab.periodic("0 2 * * *", tz="Europe/Berlin")
    @lab.task("nightly")
    async def nightly(ctx: Context) -> None:
        assert ctx.tick is not None
        seen.append((ctx.tick.at, ctx.tick.late_by))
        assert lab.clock.now() == ctx.tick.at

    assert await drain(lab, until=NOW + 365 * DAY) == 365
    assert len({at for at, _ in seen}) == 365
    assert {late_by for _, late_by in seen} == {0.0}


async def test_a_drain_without_an_end_waits_for_no_tick() -> None:
    """It makes those that are due, and those on the way to what tasks wait for."""
    ticked = Ticked()
    assert await drain(ticked.lab) == 0
    later = ticked.lab.task("later")(_nothing)
    await later.using(delay=150).enqueue()
    assert await drain(ticked.lab) == 3
    assert ticked.at == [60, 120]


async def test_a_broker_that_is_away_delays_a_tick() -> None:
    """It is made when the broker answers again."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker)
    lab.every(MINUTE)(lab.task("report")(_nothing))
    async with scheduling(lab):
        broker.fail("due_entries", times=3)
        lab.manual.advance(60)
        await lab.signals.broker_failed.next()
        for _ in range(10):
            lab.manual.advance(5)
            await turn()
    [record] = (await stored_entry(broker)).state.history
    assert record.task == tick_id("report", NOW + 60)


async def test_a_tick_whose_reply_was_lost_is_made_once() -> None:
    """The scheduler looks again, and finds that it was made."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker)
    lab.every(MINUTE)(lab.task("report")(_nothing))
    async with scheduling(lab) as scheduler:
        broker.drop_reply("write_entries", error=BrokerUnavailable("lost"))
        lab.manual.advance(60)
        await turn(20)
        lab.manual.advance(20)
        await turn(20)
        assert scheduler.next_tick == NOW + 120
    assert await lab.inspector.counts() == {"default": {State.PENDING: 1}}


async def test_a_tick_that_a_dead_scheduler_has_left_is_made_by_another() -> None:
    """One that was killed between looking and writing has written nothing."""
    ticked = Ticked(Shared())
    lab = ticked.lab
    async with scheduling(lab):
        pass
    lab.manual.advance(60)
    await periodic(lab.broker).due_entries(["default"], 9, now=lab.clock.now())
    async with scheduling(lab):
        await turn(20)
    assert (await stored_entry(lab.broker)).state.runs == 1


async def test_a_tick_that_waits_is_made_when_the_last_task_ends() -> None:
    """Soon after, and then it is no longer early."""
    lab = Lab()
    go = asyncio.Event()

    @lab.every(MINUTE, overlap="queue")
    @lab.task("report")
    async def report(ctx: Context) -> None:
        await go.wait()

    async with lab.working():
        await turn(20)
        lab.manual.advance(60)
        await lab.signals.started.next()
        lab.manual.advance(60)
        await turn(20)
        [listed] = await lab.entries.list()
        assert listed.status is EntryStatus.WAITING
        go.set()
        await lab.signals.settled.next()
        lab.manual.advance(2)
        await lab.signals.started.next()
        [listed] = await lab.entries.list()
        assert (listed.status, listed.runs) == (EntryStatus.ACTIVE, 2)


# --- declarations --------------------------------------------------------------------------------


async def test_what_is_declared_no_longer_is_stale_and_ends() -> None:
    """Nobody fires it meanwhile, and it is shown as stale before it is gone."""
    broker, clock = Shared(), ManualClock()
    before = Qcore(broker=broker, clock=clock, instruments=())
    before.every(MINUTE)(before.task("old")(_nothing))
    async with scheduling(before):
        pass
    after = Qcore(broker=broker, clock=clock, instruments=())
    after.every(MINUTE)(after.task("new")(_nothing))
    async with scheduling(after):
        await _pass(clock, DECLARED_FOR + 61)
        assert {each.name: each.status for each in await after.entries.list()} == {
            "old": EntryStatus.STALE,
            "new": EntryStatus.ACTIVE,
        }
        assert (await stored_entry(broker, "old")).state.runs == 0
        assert (await stored_entry(broker, "new")).state.runs == 6
        clock.advance(STALE_KEPT)
        await turn(50)
        assert await find_entry(broker, "old") is None


async def test_what_is_declared_is_renewed() -> None:
    """For as long as somebody declares it."""
    ticked = Ticked(Shared())
    async with scheduling(ticked.lab):
        await _pass(ticked.lab.manual, 3 * DECLARED_FOR)
        [listed] = await ticked.lab.entries.list()
        assert (listed.status, listed.runs) == (EntryStatus.ACTIVE, 15)


async def test_what_was_changed_in_the_code_is_changed_at_the_next_start() -> None:
    """Its history stays; that it was paused, too."""
    broker, clock = Shared(), ManualClock()
    before = Qcore(broker=broker, clock=clock, instruments=())
    before.every(MINUTE)(before.task("report")(_nothing))
    async with scheduling(before):
        clock.advance(60)
        await turn(20)
    await before.entries.pause("report")
    after = Qcore(broker=broker, clock=clock, instruments=())
    after.every(timedelta(minutes=5), overlap="skip")(after.task("report")(_nothing))
    async with scheduling(after):
        pass
    stored = await stored_entry(broker)
    assert (stored.entry.schedule, stored.entry.overlap) == ("@every 5m", "skip")
    assert (stored.state.runs, stored.state.is_paused) == (1, True)


async def test_an_entry_that_was_removed_by_hand_stays_away_until_the_next_start() -> None:
    """To renew what is declared brings nothing back."""
    ticked = Ticked(Shared())
    async with scheduling(ticked.lab):
        assert await ticked.lab.entries.remove("report")
        await _pass(ticked.lab.manual, 200)
        assert await ticked.lab.entries.list() == []
    async with scheduling(ticked.lab):
        assert len(await ticked.lab.entries.list()) == 1


async def test_an_entry_that_cannot_be_read_is_never_fired() -> None:
    """Nor one whose schedule is unknown here; the others tick, and each is reported once."""
    ticked = Ticked()
    lab = ticked.lab
    await put_entry(lab.broker, an_entry("odd", schedule="@moon full"))
    await put_entry(lab.broker, an_entry("newer"))
    lab.broker.entry_store.put_encoded("default", "newer", b'{"format":2}')  # type: ignore[attr-defined]
    async with lab.working():
        await turn(20)
        for _ in range(3):
            lab.manual.advance(60)
            await lab.signals.settled.next()
    failed = [each for each in lab.signals.events if type(each).__name__ == "PeriodicFailed"]
    assert [each.name for each in failed] == ["odd"]  # type: ignore[union-attr]
    assert ticked.at == [60, 120, 180]
    assert {each.name: each.status for each in await lab.entries.list()} == {
        "odd": EntryStatus.UNREADABLE,
        "newer": EntryStatus.UNREADABLE,
        "report": EntryStatus.ACTIVE,
    }


async def test_a_task_that_the_store_refuses_keeps_its_entry_going() -> None:
    """The others tick; the history tells why there was none."""

    class Choosy(MemoryBroker):
        async def write_entries(
            self,
            changes: "list[EntryChange]",
            *,
            now: Moment,  # type: ignore[override]
        ) -> "list[object]":
            if any(task.payload == b"large" for each in changes for task in each.tasks):
                raise BrokerRefused("payload is too large for this store")
            return await super().write_entries(changes, now=now)  # type: ignore[return-value]

    lab = Lab(Choosy())
    await put_entry(lab.broker, an_entry("large", task={"payload": b"large"}))
    await put_entry(lab.broker, an_entry("other"))
    await put_entry(lab.broker, an_entry("odd", schedule="@every 1m"))
    for name in ("large", "other"):
        await lab.entries.change(name, schedule=MINUTE)
    async with scheduling(lab):
        lab.manual.advance(60)
        await turn(20)
    large, other = [await stored_entry(lab.broker, name) for name in ("large", "other")]
    assert other.state.runs == 1
    assert large.state.runs == 0
    assert large.state.history == (
        TickRecord(NOW + 60, 0.0, None, "refused: payload is too large for this store"),
    )
    assert large.state.next == NOW + 120


async def test_a_tick_whose_unique_key_is_taken_makes_no_task() -> None:
    """Its history names who has it."""
    lab = Lab()

    @lab.every(MINUTE)
    @lab.task("report", unique_for=None)
    async def report(ctx: Context) -> None:
        """Do nothing."""

    async with scheduling(lab):
        for _ in range(2):
            lab.manual.advance(60)
            await turn(20)
    state = (await stored_entry(lab.broker)).state
    assert [record.note for record in state.history] == [
        None,
        f"duplicate of {tick_id('report', NOW + 60)}",
    ]
    assert state.runs == 1


async def test_a_broken_declaration_is_reported_and_the_others_tick() -> None:
    """As one whose arguments its handler does not take."""
    lab = Lab()

    @lab.task("report")
    async def report(ctx: Context, *, day: int) -> None:
        """Do nothing."""

    lab.every(MINUTE, name="wrong", arguments={"day": "monday"})(report)
    lab.every(MINUTE, name="right", arguments={"day": 1})(report)
    async with scheduling(lab):
        failed = await lab.signals.periodic_failed.next()
        assert failed.name == "wrong"
        assert "day" in str(failed.error)
        assert [each.name for each in await lab.entries.list()] == ["right"]


async def test_what_an_included_router_declares_is_made_periodic() -> None:
    """Under the names that its tasks have there; two of one name are refused when it starts."""
    mail = Router()
    done: list[str] = []

    @mail.every(MINUTE)
    @mail.task("digest")
    async def digest(ctx: Context) -> None:
        done.append(ctx.name)

    @mail.periodic_provider
    async def provided() -> list[PeriodicTask]:
        return [PeriodicTask(MINUTE, digest.call(), name="provided")]

    lab = Lab()
    lab.include(mail, prefix="mail:")
    assert await drain(lab, until=NOW + 60) == 2
    assert done == ["mail:digest", "mail:digest"]
    assert [each.name for each in await lab.entries.list()] == ["mail:digest", "provided"]
    lab.every(MINUTE, name="mail:digest")(lab.task("other")(_nothing))
    with pytest.raises(InvalidOption, match="'mail:digest' is declared as periodic already"):
        await lab.worker(burst=True).run()


# --- providers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_the_entries_of_a_provider_come_and_go(kind: str) -> None:
    """As it says, each time that it is asked."""
    lab = Lab()
    wanted = ["a", "b"]

    @lab.task("report")
    async def report(ctx: Context, tenant: str) -> None:
        """Do nothing."""

    def tenants() -> list[PeriodicTask]:
        return [PeriodicTask(MINUTE, report.call(each), name=f"of-{each}") for each in wanted]

    async def awaited() -> list[PeriodicTask]:
        return tenants()

    lab.periodic_provider(every=30)(tenants if kind == "plain" else awaited)
    async with scheduling(lab):
        await _until(lab, {"of-a", "of-b"})
        wanted[:] = ["b", "c"]
        lab.manual.advance(30)
        await _until(lab, {"of-b", "of-c"})
        lab.manual.advance(30)
        await turn(50)
        assert await lab.inspector.counts() == {"default": {State.PENDING: 2}}


async def test_what_a_provider_has_left_behind_is_removed() -> None:
    """Another process has asked it, when there were others; what others declare stays."""
    broker, clock = Shared(), ManualClock()
    for names in (["a", "b"], ["b"]):
        q = Qcore(broker=broker, clock=clock, instruments=())
        await put_entry(broker, an_entry("by hand"[:2]))

        @q.periodic_provider
        async def tenants(names: list[str] = names) -> list[PeriodicTask]:
            return [PeriodicTask(60, NewTask("report", id="-"), name=each) for each in names]

        async with scheduling(q):
            await turn(20)
    assert {each.name for each in await q.entries.list()} == {"b", "by"}


@pytest.mark.parametrize("answer", ["raises", "text", "odd"])
async def test_while_a_provider_fails_its_entries_stay(answer: str) -> None:
    """And they are renewed: a database that is away ends no schedule."""
    lab = Lab(Shared())
    fails = False

    @lab.periodic_provider
    async def tenants() -> object:
        if not fails:
            return [PeriodicTask(60, NewTask("report", id="-"), name="a")]
        if answer == "raises":
            raise ConnectionError("away")
        return "text" if answer == "text" else [1]

    async with scheduling(lab):
        fails = True
        await _pass(lab.manual, 2 * DECLARED_FOR)
        [listed] = await lab.entries.list()
        assert (listed.status, listed.runs) == (EntryStatus.ACTIVE, 10)
        assert (await lab.signals.periodic_failed.next()).name.endswith("tenants")


# --- refused -------------------------------------------------------------------------------------


def test_what_is_no_task_cannot_be_periodic() -> None:
    """A function below its decorator, in the wrong order, is told where it goes."""
    lab = Lab()
    with pytest.raises(InvalidOption, match=r"@q\.periodic goes above @q\.task"):
        lab.every(60)(_nothing)  # type: ignore[type-var]


def test_two_of_one_name_are_refused() -> None:
    """They would take each other's place."""
    lab = Lab()
    report = lab.task("report")(_nothing)
    lab.every(60)(report)
    with pytest.raises(InvalidOption, match="'report' is declared as periodic already"):
        lab.every(30)(report)
    lab.every(30, name="other")(report)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"missed": "some"}, "missed is 'some'"),
        ({"jitter": -1}, "jitter"),
        ({"nope": 1}, "there is no option 'nope'"),
        ({"name": "a b"}, "name of a periodic task is 'a b'"),
    ],
)
def test_a_wrong_option_is_refused_where_it_is_declared(
    options: dict[str, object], said: str
) -> None:
    """Not when the worker starts."""
    lab = Lab()
    with pytest.raises(ValueError, match=said):
        lab.every(60, **options)(lab.task("report")(_nothing))  # type: ignore[arg-type]


@pytest.mark.parametrize("schedule", ["61 * * * *", "", None, [1], -5])
def test_a_wrong_schedule_is_refused_where_it_is_declared(schedule: object) -> None:
    """With what was expected."""
    lab = Lab()
    with pytest.raises(ValueError, match="expected"):
        lab.periodic(schedule)(lab.task("report")(_nothing))  # type: ignore[arg-type]


@pytest.mark.parametrize("provider", [3, "text"])
def test_what_is_no_function_is_no_provider(provider: object) -> None:
    """Nor is one that is asked more often than each second."""
    lab = Lab()
    with pytest.raises(InvalidOption, match="is no provider"):
        lab.periodic_provider(provider)  # type: ignore[call-overload]
    with pytest.raises(InvalidOption, match="every is 0"):
        lab.periodic_provider(every=0)(list)


def test_a_broker_without_periodic_tasks_has_no_scheduler() -> None:
    """It says so; its workers run all the same."""

    class Plain(MemoryBroker):
        capabilities = MemoryBroker.capabilities - {Capability.PERIODIC}

    with pytest.raises(InvalidOption, match="no periodic tasks"):
        Lab(Plain()).scheduler()


# --- idle ----------------------------------------------------------------------------------------


async def test_an_idle_scheduler_asks_a_shared_store_once_in_six_seconds() -> None:
    """And one that is not shared once a minute, for queues that are new: it is told of others."""
    for broker, most in ((Shared(), 11), (MemoryBroker(), 2)):
        faulty = FaultyBroker(broker)
        lab = Lab(faulty)
        async with scheduling(lab):
            faulty.calls.clear()
            for _ in range(60):
                lab.manual.advance(1)
                await turn(5)
            assert len(faulty.calls) <= most


async def _nothing(ctx: Context) -> None:
    """Do nothing."""


async def _pass(clock: ManualClock, seconds: float) -> None:
    """Let time pass in small steps, so that all that waits sees its moment."""
    end = clock.now() + seconds
    while clock.now() < end:
        clock.advance(min(10.0, end - clock.now()))
        await turn(30)


async def _until(lab: Lab, names: set[str]) -> None:
    """Wait until there are entries of these names, and no others."""
    async with asyncio.timeout(30):
        while {each.name for each in await lab.entries.list()} != names:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
