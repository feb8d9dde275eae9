"""Tasks of a query, page by page: each once, and no page looks at more than it is told to."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore import Context, InvalidOption, NewTask, State, connect
from qcore.adapters.memory import MemoryBroker
from qcore.lifecycle import RunNow
from qcore.ports import Page
from qcore.queries import TaskPage
from qcore.serializers import MessagePackSerializer
from qcore.testing import a_task
from qcore.testing.fakes import fake_redis_broker
from tests.app.kit import Lab


class Counting(MemoryBroker):
    """A broker that remembers how many tasks it was asked for, and how often it was to count."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.counted = 0

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        self.asked.append(limit)
        return await super().browse(queue, state, limit, cursor=cursor)

    async def count(self) -> Any:
        self.counted += 1
        return await super().count()


async def all_pages(lab: Lab, query: str, **bounds: int) -> list[TaskPage]:
    """Return the pages of a query to the last."""
    pages = [await lab.inspector.tasks(query, **bounds)]
    while (cursor := pages[-1].cursor) is not None:
        pages.append(await lab.inspector.tasks(query, cursor=cursor, **bounds))
    return pages


def ids(pages: list[TaskPage]) -> list[tuple[str, str]]:
    """Return which tasks are on pages."""
    return [(task.queue, task.id) for page in pages for task in page.tasks]


KINDS = st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.booleans())


@given(
    kinds=st.lists(KINDS, max_size=30),
    query=st.sampled_from(
        [
            "",
            "name:x",
            "queue:a,b name:y",
            "state:scheduled",
            "-queue:a -name:x",
            "id:7,1,3,0 name:x",
            "id:2,1 queue:a,b",
        ]
    ),
    limit=st.integers(1, 7),
    look=st.integers(1, 9),
)
def test_pages_together_have_every_task_of_a_query_once(
    kinds: list[tuple[str, str, bool]], query: str, limit: int, look: int
) -> None:
    """However small pages are, and however few tasks each looks at; none is over its bounds."""

    async def check() -> None:
        lab = Lab()
        later = lab.clock.now() + 60
        tasks = [
            a_task(id=f"{i}", queue=queue, name=name, due=later if waits else None)
            for i, (queue, name, waits) in enumerate(kinds)
        ]
        await lab.client.enqueue_many(tasks)
        pages = await all_pages(lab, query, limit=limit, look=look)
        fits = {
            "": lambda _: True,
            "name:x": lambda task: task.name == "x",
            "queue:a,b name:y": lambda task: task.queue in {"a", "b"} and task.name == "y",
            "state:scheduled": lambda task: task.due is not None,
            "-queue:a -name:x": lambda task: task.queue != "a" and task.name != "x",
            "id:7,1,3,0 name:x": lambda task: task.id in {"7", "1", "3", "0"} and task.name == "x",
            "id:2,1 queue:a,b": lambda task: task.id in {"1", "2"} and task.queue in {"a", "b"},
        }[query]
        assert sorted(ids(pages)) == sorted((task.queue, task.id) for task in tasks if fits(task))
        assert all(len(page.tasks) <= limit and page.looked <= look for page in pages)

    asyncio.run(check())


async def test_a_page_costs_what_its_limit_costs() -> None:
    """Queue and state are the broker's to find: no more tasks are read than are returned."""
    broker = Counting()
    lab = Lab(broker)
    await lab.client.enqueue_many([a_task(id=f"{i}") for i in range(1_000)])
    page = await lab.inspector.tasks("queue:default state:pending", limit=10)
    assert (len(page.tasks), page.looked) == (10, 10)
    assert broker.asked == [10]
    assert broker.counted == 0, "a queue that is named need not be looked for"


async def test_ids_are_found_at_once_however_many_tasks_there_are() -> None:
    """In every queue that the query lets: none is browsed. A pattern is looked for as ever."""
    broker = Counting()
    lab = Lab(broker)
    await lab.client.enqueue_many([a_task(id=f"{i}") for i in range(3_000)])
    await lab.client.enqueue(a_task(id="2990", queue="other"))
    page = await lab.inspector.tasks("id:2990,x state:pending")
    assert ids([page]) == [("default", "2990"), ("other", "2990")]
    assert (page.looked, page.cursor, broker.asked) == (2, None, [])
    assert ids([await lab.inspector.tasks("id:2990 -queue:other")]) == [("default", "2990")]
    assert ids([await lab.inspector.tasks("id:2990 state:dead")]) == []
    assert ids([await lab.inspector.tasks("id:299* -id:299")]) == []
    assert broker.asked


async def test_ids_are_looked_for_in_so_many_queues_a_page() -> None:
    """Each queue is asked for them: of thousands a page asks some, and says where to go on."""
    lab = Lab()
    await lab.client.enqueue_many([a_task(id="a", queue=f"q{i:03}") for i in range(120)])
    pages = await all_pages(lab, "id:a,b", look=200, limit=500)
    assert [len(page.tasks) for page in pages] == [50, 50, 20]
    assert len(set(ids(pages))) == 120


async def test_a_page_stops_when_it_has_looked_at_as_many_as_it_may() -> None:
    """It says how many, and where to go on; a needle is found without reading one by one."""
    broker = Counting()
    lab = Lab(broker)
    tasks = [a_task(id=f"{i}", name="needle" if i == 990 else "hay") for i in range(1_000)]
    await lab.client.enqueue_many(tasks)
    page = await lab.inspector.tasks("name:needle", look=600)
    assert (len(page.tasks), page.looked) == (0, 600)
    assert page.cursor is not None
    last = await lab.inspector.tasks("name:needle", look=600, cursor=page.cursor)
    assert ([task.id for task in last.tasks], last.looked, last.cursor) == (["990"], 400, None)
    assert len(broker.asked) <= 8


async def test_ages_are_counted_from_the_first_page() -> None:
    """A task that grows old enough while pages are turned does not appear on a later one."""
    lab = Lab()
    for i in range(4):
        await lab.client.enqueue(a_task(id=f"{i}"))
        lab.manual.advance(60)
    page = await lab.inspector.tasks("created:>150s", limit=1)
    lab.manual.advance(600)
    rest = await lab.inspector.tasks("created:>150s", cursor=page.cursor)
    assert ids([page, rest]) == [("default", "0"), ("default", "1")]


async def test_tasks_that_leave_between_pages_hide_no_others() -> None:
    """Whoever deletes what a page shows finds the rest on the next ones."""
    lab = Lab()
    await lab.client.enqueue_many([a_task(id=f"{i:02}", name="xy"[i % 2]) for i in range(20)])
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await lab.inspector.tasks("name:x", limit=3, cursor=cursor)
        seen += [task.id for task in page.tasks]
        await lab.inspector.delete("default", [task.id for task in page.tasks])
        if (cursor := page.cursor) is None:
            break
    assert seen == [f"{i:02}" for i in range(0, 20, 2)]


@pytest.mark.parametrize("wrong", ["", "x", "e30", "W10", "WzEsMiwzLDQsNV0", "ü", "\ud800", 7])
async def test_a_cursor_that_is_none_is_refused(wrong: Any) -> None:
    """In one line, and so is a cursor of another query, which would leave tasks out in silence."""
    lab = Lab()
    with pytest.raises(InvalidOption, match=r"^cursor is .*: expected"):
        await lab.inspector.tasks(cursor=wrong)


async def test_a_cursor_of_another_query_is_refused() -> None:
    """It would leave tasks out in silence."""
    lab = Lab()
    await lab.client.enqueue_many([a_task(id=f"{i}") for i in range(3)])
    page = await lab.inspector.tasks("state:pending", limit=1)
    with pytest.raises(InvalidOption, match="of this query, state:dead"):
        await lab.inspector.tasks("state:dead", cursor=page.cursor)


@pytest.mark.parametrize("bound", ["limit", "look"])
@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "9"])
async def test_a_bound_that_is_none_is_refused(bound: str, wrong: Any) -> None:
    """A page of nothing would never end."""
    with pytest.raises(InvalidOption, match=rf"^{bound} is {wrong!r}: expected a whole number"):
        await Lab().inspector.tasks(**{bound: wrong})


@pytest.mark.parametrize("serializer", [None, MessagePackSerializer()])
async def test_arguments_are_found_as_they_were_given(serializer: Any) -> None:
    """Decoded by the serializer that wrote them; what it cannot read is searched as bytes."""
    lab = Lab(serializer=serializer)

    @lab.task("greet")
    async def greet(_: Any, user: dict[str, int], note: str) -> None: ...

    wanted = await greet.enqueue({"id": 7}, note='says "hi" – ünd')
    await greet.enqueue({"id": 70}, note="quiet")
    await lab.client.enqueue(NewTask("odd", id="odd", payload=b"\xc1 raw id 7", content_type="x/y"))
    for query in ["args.user.id:7", 'payload:"says \\"hi\\" – ü"', "text:ÜND"]:
        assert [task.id for task in (await lab.inspector.tasks(query)).tasks] == [wanted.id], query
    assert [task.id for task in (await lab.inspector.tasks("payload:raw")).tasks] == ["odd"]


@pytest.fixture(params=["sqlite", "redis"])
async def stored(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Lab]:
    """Return an open queue in a store, with three tasks of which one has failed for good."""
    is_sqlite = request.param == "sqlite"
    lab = Lab(connect(f"sqlite:///{tmp_path}/q.db") if is_sqlite else fake_redis_broker())

    @lab.task("fail", max_retry=0)
    async def fail(_: Context, number: int) -> None:
        raise ValueError(f"no {number}")

    async with lab:
        await fail.enqueue(1)
        await lab.run_due()
        await fail.enqueue(2)
        await fail.using(delay=60).enqueue(3)
        yield lab


@pytest.mark.parametrize(
    ("query", "number"),
    [("state:archived error:no", 1), ("args.number:>1", 2), ("", 3), ("queue:nobody", 0)],
)
async def test_a_query_is_answered_alike_by_every_store(
    stored: Lab, query: str, number: int
) -> None:
    """Page by page, too."""
    assert len({*ids(await all_pages(stored, query, limit=1))}) == number
    assert len((await stored.inspector.tasks(query)).tasks) == number


async def test_queues_failures_and_moves_are_alike_in_every_store(stored: Lab) -> None:
    """A failure is a group, its group a query, and what it finds is moved once."""
    [queue] = (await stored.inspector.queues()).queues
    sizes = {state: number for state, number in queue.sizes.items() if number}
    assert sizes == {State.ARCHIVED: 1, State.PENDING: 1, State.SCHEDULED: 1}
    assert (queue.waited, queue.is_paused) == (0, False)
    [group] = (await stored.inspector.failures()).groups
    assert (group.count, group.message) == (1, "ValueError: no #")
    preview = await stored.inspector.preview(group.query, RunNow())
    assert (preview.count, preview.is_complete) == (1, True)
    moving = stored.inspector.move(group.query, RunNow(), as_of=preview.as_of)
    assert [progress.done async for progress in moving] == [1, 1]
    assert await stored.inspector.totals() == {State.PENDING: 2, State.SCHEDULED: 1}
