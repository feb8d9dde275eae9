"""Entries of periodic tasks are added, changed, paused, run, removed and listed at run time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qcore import Context, NewTask, PeriodicTask, State
from qcore.adapters.memory import MemoryBroker
from qcore.domain.errors import InvalidOption, InvalidTask, QcoreError
from qcore.domain.periodic.editing import paused
from qcore.periodic import EntryStatus, Tick, TickRecord
from qcore.schedules import Cron, Every
from qcore.testing import FaultyBroker, drain
from qcore.testing.builders import NOW
from qcore.testing.entries import stored_entry
from qcore.testing.optional_ports import periodic
from tests.app.kit import Lab

DAILY = "0 9 * * *"


def a_lab(**options: Any) -> Lab:
    """Return a queue with a task that can be made periodic."""
    lab = Lab(**options)

    @lab.task("report", retention=3_600)
    async def report(ctx: Context, day: str = "today") -> str:
        if day == "never":
            raise ValueError("no such day")
        return day

    return lab


def report(lab: Lab, *args: str) -> Any:
    """Return a call of the task."""
    handler: Any = lab.resolve("report")
    return handler.call(*args)


async def test_an_entry_is_added_and_its_tasks_are_run() -> None:
    """By whatever worker serves its queue, with the arguments that were given."""
    lab = a_lab()
    listed = await lab.entries.put(timedelta(minutes=5), report(lab, "monday"), name="weekly")
    assert (listed.name, listed.queue, listed.status) == ("weekly", "default", EntryStatus.ACTIVE)
    assert (listed.schedule, listed.next) == ("every 5 minutes", NOW + 300)
    assert await drain(lab, until=NOW + 300) == 1
    found = await lab.entries.get("weekly")
    assert found is not None
    [outcome] = found.history
    assert (outcome.state, outcome.error) == (State.COMPLETED, None)
    assert outcome.tick.at == NOW + 300


async def test_an_entry_is_changed_by_being_put_again() -> None:
    """Its history stays; it goes on from now by another schedule."""
    lab = a_lab()
    await lab.entries.put(60, report(lab))
    await drain(lab, until=NOW + 60)
    await lab.entries.put(DAILY, report(lab, "monday"), tz="Europe/Berlin", overlap="skip")
    stored = await stored_entry(lab.broker)
    assert stored.entry.schedule == "CRON_TZ=Europe/Berlin 0 9 * * *"
    assert stored.entry.overlap == "skip"
    assert b"monday" in stored.entry.task.payload
    assert stored.state.runs == 1


async def test_some_of_an_entry_is_changed() -> None:
    """And the rest left as it is."""
    lab = a_lab()
    await lab.entries.put(60, report(lab, "monday"), jitter=5, missed="all")
    listed = await lab.entries.change("report", schedule=120, missed="skip", grace=timedelta(1))
    assert listed is not None
    assert listed.entry is not None
    assert (listed.entry.schedule, listed.entry.missed) == ("@every 2m", "skip")
    assert (listed.entry.jitter, listed.entry.grace) == (5, 86_400)
    assert await lab.entries.change("report", max_runs=3) is not None
    assert (await stored_entry(lab.broker)).entry.max_runs == 3
    assert await lab.entries.change("nope", schedule=60) is None


async def test_an_entry_is_paused_and_resumed() -> None:
    """It goes on from when it is resumed."""
    lab = a_lab()
    await lab.entries.put(60, report(lab))
    listed = await lab.entries.pause("report")
    assert listed is not None
    assert (listed.status, listed.next) == (EntryStatus.PAUSED, None)
    assert await drain(lab, until=NOW + 600) == 0
    lab.manual.advance_to(NOW + 630)
    listed = await lab.entries.resume("report")
    assert listed is not None
    assert (listed.status, listed.next) == (EntryStatus.ACTIVE, NOW + 660)
    assert await lab.entries.pause("nope") is None
    assert await lab.entries.resume("nope") is None


async def test_an_entry_is_run_now() -> None:
    """Beside its schedule; the handle is of the task that was made."""
    lab = a_lab()
    await lab.entries.put(DAILY, report(lab, "monday"))
    handle = await lab.entries.run_now("report")
    assert handle is not None
    await drain(lab, jump=False)
    assert await handle.result() == "monday"
    found = await lab.entries.get("report")
    assert found is not None
    assert found.runs == 0
    assert found.history[0].tick.note == "run by hand"
    assert await lab.entries.run_now("nope") is None


async def test_an_entry_is_removed() -> None:
    """Once: the second time there is none."""
    lab = a_lab()
    await lab.entries.put(60, report(lab))
    assert await lab.entries.remove("report") is True
    assert await lab.entries.remove("report") is False
    assert await lab.entries.get("report") is None
    assert await drain(lab, until=NOW + 600) == 0


async def test_an_entry_that_cannot_be_read_is_shown_and_removed() -> None:
    """It is not changed: nobody knows what it would become."""
    broker = MemoryBroker()
    lab = a_lab(broker=broker)
    await lab.entries.put(60, report(lab))
    broker.entry_store.put_encoded("default", "report", b'{"format":2}')
    [listed] = await lab.entries.list()
    assert (listed.status, listed.entry) == (EntryStatus.UNREADABLE, None)
    assert "format" in listed.why
    assert await lab.entries.get("report") == listed
    with pytest.raises(InvalidOption, match=r"'report' cannot be read: .*it can be removed"):
        await lab.entries.pause("report")
    assert await lab.entries.remove("report") is True


async def test_entries_are_listed() -> None:
    """Of all queues, or of one."""
    lab = a_lab()
    for name in ("b", "a"):
        await lab.entries.put(60, NewTask("t", id="-"), name=name)
    await lab.entries.put(60, NewTask("t", id="-", queue="other"), name="c")
    assert [each.name for each in await lab.entries.list()] == ["a", "b", "c"]
    assert [each.name for each in await lab.entries.list("other")] == ["c"]
    assert await lab.entries.list("nowhere") == []


async def test_an_ended_entry_is_shown_as_such() -> None:
    """It has run as often as it may."""
    lab = a_lab()
    await lab.entries.put(60, report(lab, "never"), max_runs=1)
    await drain(lab, until=NOW + 90)
    found = await lab.entries.get("report")
    assert found is not None
    assert (found.status, found.next, found.runs) == (EntryStatus.ENDED, None, 1)
    [outcome] = found.history
    assert outcome.state is State.RETRY
    assert outcome.error is not None
    assert "no such day" in outcome.error


@pytest.mark.parametrize(
    ("schedule", "spelled"),
    [
        (90, "@every 90s"),
        (timedelta(hours=1), "@every 1h"),
        ("@every 1h30m", "@every 90m"),
        ("@hourly", "CRON_TZ=UTC @hourly"),
        (Cron("0 9 * * *", "Europe/Berlin"), "CRON_TZ=Europe/Berlin 0 9 * * *"),
        (Every(60, datetime(2026, 1, 1, tzinfo=UTC)), "@every 1m from 2026-01-01T00:00:00Z"),
    ],
)
def test_a_schedule_may_be_given_in_several_ways(schedule: Any, spelled: str) -> None:
    """It is stored as text."""
    task = PeriodicTask(schedule, NewTask("t", id="-"))
    assert task.schedule.spelled() == spelled


async def test_an_expiry_of_the_call_counts_from_the_tick() -> None:
    """Unless the entry says so itself."""
    lab = a_lab()
    handler: Any = lab.resolve("report")
    await lab.entries.put(60, handler.using(expires=30).call())
    assert (await stored_entry(lab.broker)).entry.expires_after == 30
    await lab.entries.put(60, handler.using(expires=30).call(), expires_after=timedelta(minutes=1))
    assert (await stored_entry(lab.broker)).entry.expires_after == 60


@pytest.mark.parametrize(
    "option", [{"delay": 5}, {"at": NOW + 5}, {"deadline": NOW + 5}, {"task_id": "x"}]
)
async def test_what_each_tick_has_of_its_own_is_refused(option: dict[str, Any]) -> None:
    """A moment or an id that was given once would be that of every tick."""
    lab = a_lab()
    handler: Any = lab.resolve("report")
    with pytest.raises(InvalidTask, match="expected none"):
        await lab.entries.put(60, handler.using(**option).call())
    assert await lab.entries.list() == []


async def test_what_makes_no_sense_is_refused_and_nothing_is_changed() -> None:
    """A zone without an expression, an argument that does not fit, what is no task."""
    lab = a_lab()
    await lab.entries.put(60, report(lab))
    before = await stored_entry(lab.broker)
    for schedule, request, options in [
        (60, report(lab), {"tz": "UTC"}),
        ("61 * * * *", report(lab), {}),
        (DAILY, report(lab), {"tz": "Nowhere/At_All"}),
        (60, "report", {}),
        (60, report(lab, 3), {}),  # type: ignore[arg-type]
        (60, report(lab), {"catch_up": 0}),
    ]:
        with pytest.raises(ValueError, match="xpected"):
            await lab.entries.put(schedule, request, **options)
    with pytest.raises(InvalidOption):
        await lab.entries.change("report", schedule="x")
    assert await stored_entry(lab.broker) == before


def test_a_bad_name_is_refused_by_that_word() -> None:
    """And not by what an entry keeps it as."""
    with pytest.raises(InvalidTask, match=r"^the name of a periodic task is 'each hour'"):
        PeriodicTask("@hourly", NewTask("report", id="1"), name="each hour")


async def test_of_two_who_change_an_entry_both_do() -> None:
    """One after the other: who was too late reads it again."""
    broker = FaultyBroker(MemoryBroker())
    lab = a_lab(broker=broker)
    await lab.entries.put(60, report(lab))
    entries = broker.inner.entries  # type: ignore[attr-defined]
    raced = False

    async def racing(queue: str, ids: Any) -> Any:
        nonlocal raced
        found = await entries(queue, ids)
        if not raced:
            raced = True
            await periodic(broker.inner).write_entries([paused(found[0])], now=NOW)
        return found

    broker.inner.entries = racing  # type: ignore[attr-defined]
    await lab.entries.change("report", overlap="skip")
    stored = await stored_entry(broker)
    assert (stored.state.is_paused, stored.entry.overlap) == (True, "skip")


async def test_a_change_that_is_always_too_late_is_given_up() -> None:
    """With an error of one line."""

    class Busy(MemoryBroker):
        async def write_entries(self, changes: Any, *, now: float) -> Any:
            return await super().write_entries([], now=now) or [None for _ in changes]

    lab = a_lab(broker=Busy())
    with pytest.raises(QcoreError, match="keeps being changed by others"):
        await lab.entries.put(60, report(lab))


def test_code_that_blocks_does_the_same() -> None:
    """Without an event loop."""
    lab = a_lab()
    entries = lab.blocking_entries
    assert entries.put(60, report(lab), name="a").status is EntryStatus.ACTIVE
    assert entries.store(PeriodicTask(60, report(lab), name="b")).name == "b"
    changed = entries.change("a", schedule=DAILY, tz="Europe/Berlin")
    assert changed is not None
    assert "Europe/Berlin" in changed.schedule
    listed = entries.pause("a")
    assert listed is not None
    assert listed.status is EntryStatus.PAUSED
    listed = entries.resume("a")
    assert listed is not None
    assert listed.status is EntryStatus.ACTIVE
    handle = entries.run_now("a")
    assert handle is not None
    task = handle.task()
    assert task is not None
    assert task.state is State.PENDING
    assert entries.run_now("nope") is None
    assert [each.name for each in entries.list()] == ["a", "b"]
    assert [each.name for each in entries.page(limit=1).entries] == ["a"]
    found = entries.get("a")
    assert found is not None
    assert found.history[0].state is State.PENDING
    assert entries.remove("a")
    assert not entries.remove("a")


async def test_a_handler_knows_its_tick() -> None:
    """A task that was enqueued otherwise has none, and neither passes it on in its headers."""
    lab = Lab()
    ticks: list[Tick | None] = []

    @lab.every(60, missed="all", name="minutely")
    @lab.task("report", headers={"a": "b"})
    async def known(ctx: Context) -> None:
        ticks.append(ctx.tick)
        assert dict(ctx.headers) == {"a": "b"}

    await drain(lab, jump=False)
    lab.manual.advance(150)
    await drain(lab, jump=False)
    await known.enqueue()
    await drain(lab, jump=False)
    assert ticks == [
        Tick("minutely", NOW + 60, 90.0, is_late=True),
        Tick("minutely", NOW + 120, 30.0, is_late=False),
        None,
    ]
    found = await lab.entries.get("minutely")
    assert found is not None
    assert found.history[0].tick == TickRecord(NOW + 120, 30.0, ticks_id(NOW + 120))


def ticks_id(at: float) -> str:
    """Return the id of a tick's task."""
    return f"minutely@{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S}Z"


async def pages_of(lab: Lab, **asked: Any) -> list[list[tuple[str, str]]]:
    """Return queues and names of entries, page by page."""
    pages, cursor = [], None
    while True:
        page = await lab.entries.page(cursor=cursor, **asked)
        pages.append([(each.queue, each.name) for each in page.entries])
        cursor = page.cursor
        if cursor is None:
            return pages


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6])
async def test_pages_of_entries_are_the_list(limit: int) -> None:
    """In its order, over all queues, each page but the last as long as it may be."""
    lab = a_lab()
    for queue, number in (("a", 2), ("b", 1), ("c", 2)):
        for n in range(number):
            request = NewTask("report", id="x", queue=queue)
            await lab.entries.put(60, request, name=f"e{n}")
    pages = await pages_of(lab, limit=limit)
    listed = [(each.queue, each.name) for each in await lab.entries.list()]
    assert [each for page in pages for each in page] == listed
    assert {len(page) for page in pages[:-1]} <= {limit}
    assert pages[-1]


async def test_entries_are_found_by_text_and_status() -> None:
    """In the names of the entry, of its task and of its queue."""
    lab = a_lab()
    await lab.entries.put(60, NewTask("report", id="x", queue="mail"), name="one")
    await lab.entries.put(60, NewTask("email:welcome", id="x"), name="two")
    await lab.entries.put(60, NewTask("report", id="x"), name="three")
    await lab.entries.pause("three")
    assert await pages_of(lab, text="mail") == [[("default", "two"), ("mail", "one")]]
    assert await pages_of(lab, text="mail", limit=1) == [[("default", "two")], [("mail", "one")]]
    assert await pages_of(lab, text="thr") == [[("default", "three")]]
    assert await pages_of(lab, status=EntryStatus.PAUSED) == [[("default", "three")]]
    assert await pages_of(lab, text="nothing") == [[]]


@pytest.mark.parametrize(
    "asked", [{"limit": 0}, {"cursor": "x"}, {"cursor": "[1, 2]"}, {"cursor": "[" * 9_000}]
)
async def test_a_page_of_entries_that_makes_no_sense_is_refused(asked: dict[str, Any]) -> None:
    """Before a page is taken for the first one."""
    with pytest.raises(InvalidOption, match=r"limit is|cursor is"):
        await a_lab().entries.page(**asked)
