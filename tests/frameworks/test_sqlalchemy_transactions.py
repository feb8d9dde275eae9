"""Tasks that are a part of a transaction of SQLAlchemy over SQLite, awaited or not.

Over Postgres see tests/adapters/test_postgres_borrowed.py.
"""

from collections.abc import AsyncIterator
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from qcore import Context, InvalidOption, NewTask, Qcore
from qcore.errors import BrokerUnusable
from tests.frameworks.users_table import INSERT, users


@pytest.fixture
async def q(file: str) -> AsyncIterator[Qcore]:
    """Return the queue whose tasks are in that database, too."""
    async with Qcore(f"sqlite:///{file}", instruments=[]) as made:

        @made.task("mail")
        def mail(ctx: Context, to: str) -> None: ...

        yield made


async def ids(q: Qcore) -> list[str]:
    """Return the ids of the tasks that were committed."""
    return sorted(task.id for task in (await q.inspector.tasks("queue:default")).tasks)


@pytest.mark.parametrize(
    "opened", [Session, lambda engine: scoped_session(sessionmaker(engine)), Engine.connect]
)
async def test_a_task_is_there_if_its_row_is(q: Qcore, engine: Engine, opened: Any) -> None:
    """Whichever of the two comes first, and whatever it is that has the transaction."""
    owner = opened(engine)
    tasks = q.within(owner)
    owner.execute(INSERT, {"name": "ann"})
    tasks.enqueue(NewTask("mail", id="ann"))
    owner.rollback()
    assert (users(engine), await ids(q)) == ([], [])

    tasks.enqueue(NewTask("mail", id="bob"))
    owner.execute(INSERT, {"name": "bob"})
    assert (users(engine), await ids(q)) == ([], [])
    owner.commit()
    assert (users(engine), await ids(q)) == (["bob"], ["bob"])
    owner.close()


@pytest.mark.parametrize("opened", [AsyncSession, AsyncEngine.connect])
async def test_a_task_is_there_if_a_row_is_that_was_awaited(
    q: Qcore, engine: Engine, async_engine: AsyncEngine, opened: Any
) -> None:
    """Over aiosqlite the task is written in the thread of its connection."""
    async with opened(async_engine) as owner:
        tasks = q.within(owner)
        await owner.execute(INSERT, {"name": "ann"})
        await tasks.enqueue(NewTask("mail", id="ann"))
        await owner.rollback()
        assert (users(engine), await ids(q)) == ([], [])

        await tasks.enqueue(NewTask("mail", id="bob"))
        await owner.execute(INSERT, {"name": "bob"})
        assert (users(engine), await ids(q)) == ([], [])
        await owner.commit()
        assert (users(engine), await ids(q)) == (["bob"], ["bob"])


async def test_a_test_that_swaps_the_store_finds_the_task_there(
    q: Qcore, engine: Engine, async_engine: AsyncEngine
) -> None:
    """At once, and nothing is written beside the rows of the application."""
    with q.swapped(), Session(engine) as session:
        q.within(session).enqueue(NewTask("mail", id="ann"))
        session.rollback()
        async with AsyncSession(async_engine) as other:
            await q.within(other).enqueue(NewTask("mail", id="bob"))
        assert await ids(q) == ["ann", "bob"]
    assert await ids(q) == []


async def test_a_connection_of_aiosqlite_takes_tasks_along(q: Qcore, engine: Engine) -> None:
    """Without SQLAlchemy, too; what is enqueued can be asked for within the transaction."""
    async with aiosqlite.connect(engine.url.database or "") as own:
        tasks = q.within(own)
        handle = await tasks.enqueue(q.handlers()[0].call(to="ann"))
        assert await handle.status() == "pending"
        await own.rollback()
        assert await ids(q) == []
        await tasks.enqueue(q.handlers()[0].call(to="ann"))
        await own.commit()
    [task] = (await q.inspector.tasks("queue:default")).tasks
    assert task.name == "mail"


async def test_an_async_session_goes_on_after_a_task_was_refused(
    q: Qcore, engine: Engine, async_engine: AsyncEngine
) -> None:
    """The savepoint of the task alone is undone."""
    async with AsyncSession(async_engine) as session:
        await session.execute(INSERT, {"name": "ann"})
        tasks = q.within(session)
        handle = await tasks.enqueue(NewTask("mail", id="one"))
        again = await tasks.enqueue(NewTask("mail", id="one"))
        assert (handle.is_new, again.is_new) == (True, False)
        await session.commit()
    assert (users(engine), await ids(q)) == (["ann"], ["one"])


async def test_a_closed_connection_of_aiosqlite_is_named(q: Qcore, engine: Engine) -> None:
    """It is the caller's, and is not opened again."""
    async with aiosqlite.connect(engine.url.database or "") as own:
        tasks = q.within(own)
        await tasks.enqueue(NewTask("mail", id="one"))
        await own.commit()
    with pytest.raises(BrokerUnusable, match="cannot be used"):
        await tasks.enqueue(NewTask("mail", id="one"))


async def test_what_only_looks_like_a_connection_is_named(q: Qcore) -> None:
    """As soon as it is used: before that nobody knows what it is."""

    class Odd:
        async def commit(self) -> None: ...

    with pytest.raises(InvalidOption, match=r"Odd: expected .* AsyncSession"):
        await q.within(Odd()).enqueue(NewTask("mail", id="one"))
