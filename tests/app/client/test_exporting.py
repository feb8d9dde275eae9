"""What is exported is imported as it was, from any store to any other."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from qcore.adapters.links.sqlite import AsyncSqliteLink
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.export_lines import BrokenLine, decode, encode
from qcore.app.client.exporting import Export
from qcore.app.client.importing import Import, ImportReport, NotWhole, check_whole
from qcore.app.client.queries import Query
from qcore.domain.errors import BrokerRefused
from qcore.domain.moments import LAST_MOMENT
from qcore.domain.new_task import RERUN
from qcore.domain.periodic.editing import added
from qcore.domain.queue_limits import Limits, Rate, SetInFlight, SetPaused, SetRate
from qcore.domain.run_details import AttemptError, Details, Progress
from qcore.domain.snapshots import TaskSnapshot, in_queue
from qcore.domain.states import State
from qcore.domain.task import Task, updated
from qcore.ports import Broker
from qcore.testing import a_task
from qcore.testing.builders import NOW, a_demand, a_stored_task
from qcore.testing.contract.restoring import DETAILS, ended
from qcore.testing.contract.task_examples import all_examples
from qcore.testing.entries import MINUTELY, an_entry
from qcore.testing.fakes import fake_redis_broker
from qcore.testing.optional_ports import limiting, periodic


def an_sqlite_broker() -> Broker:
    """Return a store of its own."""
    return SqliteBroker(AsyncSqliteLink(":memory:"))


STORES: list[Callable[[], Broker]] = [MemoryBroker, an_sqlite_broker, fake_redis_broker]


async def exported(
    broker: Broker, left_out: Callable[[str], None] = pytest.fail, **options: Any
) -> list[bytes]:
    """Return the lines of all that is in a store, or of a part."""
    await broker.open()
    made = Export(broker, NOW, qcore="1.2.3", read=lambda _: None, left_out=left_out, **options)
    return [line async for line in made.lines()]


async def imported(
    broker: Broker, lines: list[bytes], *, is_dry: bool = False
) -> tuple[ImportReport, list[str]]:
    """Store lines; return how many of what, and which were refused and why."""
    await broker.open()
    refused: list[str] = []
    made = Import(broker, lambda: NOW, lambda n, why: refused.append(f"{n}: {why}"))
    check_whole(lines)
    return await (made.look if is_dry else made.write)(lines), refused


async def fill(broker: Broker) -> None:
    """Have tasks in each state, entries and limits in a store."""
    await broker.open()
    every = all_examples("id", "queue", "due", "expires")
    tasks = [
        a_stored_task(a_task(**every)),
        a_stored_task(
            a_task(payload=b"\xff\x00", timeout=60), attempts=2, failures=1, error="no\n✓"
        ),
        a_stored_task(
            a_task(unique_key="k", queue="b"), state=State.RETRY, due=NOW + 9, failures=1
        ),
        a_stored_task(
            a_task(unique_key="k", on_duplicate=RERUN, queue="b"),
            state=State.SCHEDULED,
            due=LAST_MOMENT,
        ),
        a_stored_task(a_task(group="g"), state=State.AGGREGATING),
        ended(State.DEAD, error="no"),
        ended(State.ARCHIVED, unhandled_since=NOW - 1),
        evolve(ended(State.COMPLETED), result=b"\x80 \n", result_type="a/b"),
    ]
    await broker.restore([TaskSnapshot(each, DETAILS) for each in tasks], now=NOW)
    entry = an_entry(queue="b", task={"payload": b"\xff"})
    await periodic(broker).write_entries([added(None, entry, MINUTELY, NOW)], now=NOW)
    for change in (SetRate(Rate(3, 60.0)), SetInFlight(2), SetPaused(is_paused=True)):
        await limiting(broker).set_limit("b", change, now=NOW)


@pytest.mark.parametrize("target", STORES)
@pytest.mark.parametrize("source", STORES)
async def test_all_of_a_store_goes_to_another(
    source: Callable[[], Broker], target: Callable[[], Broker]
) -> None:
    """With counts that agree; what is exported there is the same text, and is imported once."""
    first, second = source(), target()
    await fill(first)
    lines = await exported(first)
    whole = ImportReport(limits=1, tasks=8, entries=1)
    assert await imported(second, lines, is_dry=True) == (whole, [])
    assert await second.count() == {}
    assert await imported(second, lines) == (whole, [])
    assert await exported(second) == lines
    assert await imported(second, lines) == (ImportReport(present=10), [])
    assert await exported(second) == lines
    assert await second.count() == await first.count()
    assert await limiting(second).limits(["b"]) == [Limits(Rate(3, 60.0), 2, is_paused=True)]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
MOMENTS = st.floats(0, LAST_MOMENT - 1)
CONTENTS = st.one_of(st.binary(max_size=9), TEXTS.map(str.encode))
ERRORS = st.builds(
    AttemptError, MOMENTS, st.integers(1, 99), TEXTS, st.none() | TEXTS, st.none() | TEXTS
)
ALL_DETAILS = st.builds(
    Details,
    st.lists(ERRORS, max_size=10).map(tuple),
    st.none() | st.builds(Progress, MOMENTS, st.floats(0, 1), TEXTS),
    st.none() | CONTENTS,
)


@st.composite
def snapshots(draw: st.DrawFn) -> TaskSnapshot:
    """Draw a task that may be in a store, but active."""
    state = draw(
        st.sampled_from([each for each in State if each not in {State.ACTIVE, State.GONE}])
    )
    spec = a_task(
        payload=draw(CONTENTS),
        headers=draw(st.dictionaries(TEXTS, TEXTS, max_size=3)),
        priority=draw(st.integers(-3, 3)),
        queue=draw(st.sampled_from("ab")),
        group="g" if state is State.AGGREGATING else None,
        timeout=draw(st.none() | st.integers(1, 99) | st.floats(1, 99)),
        expires=draw(st.none() | st.just(LAST_MOMENT)),
        tags=draw(st.sampled_from([(), ("eu", "ключ")])),
    )
    created = draw(MOMENTS)
    waits = state in {State.SCHEDULED, State.RETRY, State.AGGREGATING}
    task = Task(
        spec,
        state,
        created,
        draw(MOMENTS) if waits else created,
        *(draw(st.integers(0, 99)) for _ in range(3)),
        error=draw(st.none() | TEXTS),
        finished=draw(MOMENTS) if state.value in {"completed", "archived", "dead"} else None,
        result=draw(st.none() | CONTENTS),
        result_type=draw(st.none() | st.just("a/b")),
        unhandled_since=draw(st.none() | MOMENTS),
    )
    return TaskSnapshot(task, draw(ALL_DETAILS))


@given(st.lists(snapshots(), max_size=6), st.sampled_from(STORES), st.sampled_from(STORES))
@settings(max_examples=60, deadline=None)
def test_what_was_imported_is_exported_as_the_same_text(
    tasks: list[TaskSnapshot], source: Callable[[], Broker], target: Callable[[], Broker]
) -> None:
    """Whatever tasks there are; only among those of one moment a store has an order of its own."""

    async def both() -> None:
        first, second = source(), target()
        await first.open()
        await first.restore(tasks, now=NOW)
        lines = await exported(first)
        await imported(second, lines)
        assert sorted(await exported(second)) == sorted(lines)
        assert lines[-1] == encode(check_whole(lines)) + b"\n"

    asyncio.run(both())


async def test_a_task_that_runs_is_exported_as_active_and_imported_as_pending() -> None:
    """As it may never end where it runs: it is run again where it was imported."""
    broker = MemoryBroker()
    await broker.enqueue([task := a_task()], now=NOW)
    await broker.claim(a_demand(), now=NOW, until=NOW + 9)
    lines = await exported(broker)
    assert b'"state":"active"' in lines[1]
    await imported(other := MemoryBroker(), lines)
    (found,) = await other.get("default", [task.id])
    assert found is not None
    assert (found.state, found.attempts) == (State.PENDING, 1)


async def test_who_waits_for_another_comes_behind_it() -> None:
    """Also where that one runs, so that an import gives each its part of the key."""
    broker = MemoryBroker()
    first, second = (a_task(unique_key="k", on_duplicate=RERUN) for _ in range(2))
    await broker.enqueue([first], now=NOW)
    await broker.claim(a_demand(), now=NOW, until=NOW + 9)
    await broker.enqueue([second, *(a_task(due=NOW + n) for n in range(1, 250))], now=NOW)
    lines = await exported(broker)
    report, refused = await imported(other := MemoryBroker(), lines)
    assert (report.tasks, refused) == (251, [])
    claims = await other.claim(a_demand(), now=NOW, until=NOW + 9)
    assert [each.task.id for each in claims] == [first.id]


async def test_a_part_of_a_store_is_exported() -> None:
    """Some queues with their limits and entries, or the tasks of a query alone."""
    broker = MemoryBroker()
    await fill(broker)
    only = await exported(broker, queues=["b"])
    assert check_whole(only).lines == 1 + 2 + 1
    only = await exported(broker, query=Query.parse("state:dead,archived"))
    assert (check_whole(only).tasks, check_whole(only).lines) == (2, 2)
    only = await exported(broker, query=Query.parse("state:dead,archived"), queues=["b"])
    assert check_whole(only).lines == 0


async def test_what_cannot_be_told_is_left_out_and_named() -> None:
    """A lone surrogate, which memory keeps, is no text."""
    broker = MemoryBroker()
    await broker.enqueue([task := a_task(), a_task()], now=NOW)
    broker._queues["default"].tasks[task.id].error = "\ud800"  # noqa: SLF001
    left_out: list[str] = []
    lines = await exported(broker, left_out.append)
    assert check_whole(lines).tasks == 1
    (told,) = left_out
    assert told.startswith(f"the task '{task.id}' of 'default': error is '\\ud800': expected text")


async def test_an_option_that_was_changed_since_is_imported() -> None:
    """One may expire before it is due, which nobody can ask of a new task."""
    broker = MemoryBroker()
    await broker.enqueue([task := a_task(due=NOW + 60)], now=NOW)
    await broker.execute("default", [task.id], updated(expires=NOW + 9), now=NOW)
    lines = await exported(broker)
    assert (await imported(other := MemoryBroker(), lines))[1] == []
    assert await exported(other) == lines


BAD = [
    (b"", "Input data was truncated"),
    (b"{}", "Object missing required field `kind`"),
    (b'{"kind":"question"}', "Invalid value 'question'"),
    (b'{"kind":"limits"}', "Object missing required field `queue`"),
    (b'{"kind":"limits","queue":"a b"}', "queue is 'a b'"),
    (b'{"kind":"limits","queue":"a","speed":3}', "unknown field `speed`"),
    (b'{"kind":"entry","entry":{"format":1}}', "missing required field `task`"),
    (b'{"kind":"entry","entry":{"format":2,"task":{"id":"a"}}}', "missing required|Invalid"),
    (b"\xff" + b"{}", "JSON is malformed"),
]
GOOD = encode(TaskSnapshot(a_stored_task(a_task(id="a")))).decode()
BAD_TASKS = [
    ('"payload":"{}"', '"payload":"{}","payload_base64":""', "both payload and payload_base64"),
    (',"payload":"{}"', "", "neither payload nor payload_base64"),
    ('"payload":"{}"', '"payload_base64":"?"', "Invalid base64"),
    ('"pending"', '"waiting"', "Invalid enum value 'waiting'"),
    ('"pending"', '"dead"', "finished is None: expected when it ended"),
    ('"id":"a"', '"id":"a b"', "id is 'a b'"),
    ('"id":"a"', '"id":"a","colour":"red"', "unknown field `colour`"),
    ('"state"', '"attempts":-1,"state"', "attempts is -1"),
]


@pytest.mark.parametrize(
    ("line", "said"), [*BAD, *((GOOD.replace(a, b).encode(), why) for a, b, why in BAD_TASKS)]
)
async def test_a_broken_line_is_told_and_the_others_are_stored(line: bytes, said: str) -> None:
    """With its number and what is wrong; nothing of it is written."""
    with pytest.raises(BrokenLine, match=said):
        decode(line)
    good = GOOD.replace('"id":"a"', '"id":"good"').encode()
    broker = MemoryBroker()
    await broker.enqueue([a_task(), a_task()], now=NOW)
    header, _, _, end = await exported(broker)
    report, refused = await imported(other := MemoryBroker(), [header, line, good, end])
    assert (report.tasks, report.refused) == (1, 1)
    assert refused[0].startswith("2: ")
    assert await other.count() == {"default": {State.PENDING: 1}}


async def test_a_task_whose_key_is_taken_is_told() -> None:
    """It is refused, and the others are stored."""
    broker, other = MemoryBroker(), MemoryBroker()
    await broker.enqueue([a_task(unique_key="k"), a_task()], now=NOW)
    await other.enqueue([holder := a_task(unique_key="k")], now=NOW)
    report, refused = await imported(other, await exported(broker))
    assert report == ImportReport(tasks=1, refused=1)
    assert refused == [f"2: its unique key is that of {holder.id}, pending"]


async def test_a_task_that_the_store_does_not_take_is_told() -> None:
    """Its neighbours are stored all the same."""

    class Picky(MemoryBroker):
        async def restore(self, snapshots: Any, *, now: float, over: str | None = None) -> Any:
            if any(each.task.spec.payload == b"large" for each in snapshots):
                raise BrokerRefused("too large")
            return await super().restore(snapshots, now=now, over=over)

    broker = MemoryBroker()
    await broker.enqueue([a_task(), a_task(payload=b"large"), a_task()], now=NOW)
    report, refused = await imported(Picky(), await exported(broker))
    assert report == ImportReport(tasks=2, refused=1)
    assert refused == ["3: too large"]


@pytest.mark.parametrize("store", STORES)
async def test_limits_of_an_empty_queue_are_exported(store: Callable[[], Broker]) -> None:
    """A queue that is paused for good is still so where it is restored."""
    broker, other = store(), store()
    await broker.open()
    await limiting(broker).set_limit("new", SetInFlight(7), now=NOW)
    report, _ = await imported(other, await exported(broker))
    assert report.limits == 1
    assert await limiting(other).limits(["new"]) == [Limits(None, 7)]
    await broker.close()
    await other.close()


async def test_limits_that_are_there_are_left_as_they_are() -> None:
    """Somebody has set them since."""
    broker, other = MemoryBroker(), MemoryBroker()
    await fill(broker)
    await limiting(other).set_limit("b", SetInFlight(7), now=NOW)
    report, _ = await imported(other, await exported(broker))
    assert (report.limits, report.present) == (0, 1)
    assert await limiting(other).limits(["b"]) == [Limits(None, 7)]


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        (slice(0, 0), "line 1 is not that with which an export begins"),
        (slice(1, None), "line 1 is not that with which an export begins"),
        (slice(0, 3), "it breaks off after 2 lines"),
        (
            slice(0, None, 2),
            "it has 1 lines of limits, tasks and periodic tasks, and its last line counts 3",
        ),
    ],
)
async def test_what_is_not_whole_is_refused(keep: slice, said: str) -> None:
    """Before anything of it is written, with both numbers."""
    broker = MemoryBroker()
    await broker.enqueue([a_task(), a_task(), a_task()], now=NOW)
    with pytest.raises(NotWhole, match=said):
        check_whole((await exported(broker))[keep])


async def test_an_export_of_a_newer_qcore_is_refused() -> None:
    """Whatever else its first line says."""
    newer = b'{"kind":"header","version":2,"tenant":"a"}\n'
    with pytest.raises(NotWhole, match=r"by a newer qcore, in version 2: .* up to 1"):
        check_whole([newer])


def test_a_moved_task_is_of_the_other_queue_alone() -> None:
    """All else of it is as before."""
    task = a_stored_task()
    assert in_queue(in_queue(task, "b"), "default") == task
