"""A session of SQLAlchemy for each run, and tasks in its transactions."""

import asyncio
import os
import subprocess
import sys
import threading
from typing import Annotated, Any, ClassVar

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from qcore import Context, InvalidOption, Provided, Qcore, Router, Snooze
from qcore.sqlalchemy import provide_sessions
from qcore.testing import ManualClock, drain, drain_sync
from tests.frameworks import session_handlers
from tests.frameworks.session_handlers import FILE
from tests.frameworks.users_table import INSERT, users


@pytest.fixture
def q() -> Qcore:
    """Return a queue in memory."""
    return Qcore("memory://", clock=ManualClock(), instruments=[])


class Spied(Session):
    """A session that remembers who has closed it."""

    closed_in: ClassVar[list[int]] = []

    def close(self) -> None:
        Spied.closed_in.append(threading.get_ident())
        super().close()


@pytest.mark.parametrize(
    "make", [sessionmaker, lambda engine: scoped_session(sessionmaker(engine))]
)
def test_what_a_handler_has_written_is_committed_when_it_returns(
    q: Qcore, engine: Engine, make: Any
) -> None:
    """And is rolled back when it raises, whatever it raises."""
    provide_sessions(q, make(engine))

    @q.task("add", max_retry=0)
    def add(
        ctx: Context,
        name: str,
        wrong: str = "",
        session: Annotated[Session, Provided] = Provided,
    ) -> None:
        session.execute(INSERT, {"name": name})
        if wrong == "error":
            raise ValueError(name)
        if wrong == "snooze":
            raise Snooze(3600)

    add.enqueue_sync("ann")
    add.enqueue_sync("bob", wrong="error")
    add.enqueue_sync("cleo", wrong="snooze")
    add.enqueue_sync("dora")
    drain_sync(q, jump=False)
    assert users(engine) == ["ann", "dora"]


async def test_coroutines_have_sessions_that_are_awaited(
    q: Qcore, engine: Engine, async_engine: AsyncEngine
) -> None:
    """Each its own, however many run at a time: here all are in hand before the first commits."""
    provide_sessions(q, async_sessionmaker(async_engine))
    seen: set[int] = set()
    meeting = asyncio.Barrier(3)

    @q.task("add", max_retry=0)
    async def add(
        ctx: Context, name: str, session: Annotated[AsyncSession, Provided] = Provided
    ) -> None:
        seen.add(id(session))
        await meeting.wait()
        await session.execute(INSERT, {"name": name})
        if name == "bob":
            raise ValueError(name)

    for name in ("ann", "bob", "cleo"):
        await add.enqueue(name)
    await drain(q)
    assert len(seen) == 3
    assert users(engine) == ["ann", "cleo"]
    assert async_engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_a_scope_of_coroutines_ends_with_each_run(
    q: Qcore, engine: Engine, async_engine: AsyncEngine
) -> None:
    """Code that asks the registry finds the session of its run, and it is gone after it."""
    registry = async_scoped_session(async_sessionmaker(async_engine), asyncio.current_task)
    provide_sessions(q, registry)

    @q.task("add")
    async def add(
        ctx: Context, name: str, session: Annotated[AsyncSession, Provided] = Provided
    ) -> None:
        assert registry() is session
        await registry.execute(INSERT, {"name": name})

    await add.enqueue("ann")
    await add.enqueue("bob")
    await drain(q)
    assert users(engine) == ["ann", "bob"]
    assert registry.registry.registry == {}


async def test_a_coroutine_that_is_cut_short_rolls_back_and_gives_its_connection_back(
    q: Qcore, engine: Engine, async_engine: AsyncEngine
) -> None:
    """The close is not cancelled with it."""
    provide_sessions(q, async_sessionmaker(async_engine))

    @q.task("hang", timeout=0.1, max_retry=0)
    async def hang(ctx: Context, session: Annotated[AsyncSession, Provided] = Provided) -> None:
        await session.execute(INSERT, {"name": "ann"})
        await asyncio.Event().wait()

    await hang.enqueue()
    await drain(q)
    assert users(engine) == []
    assert async_engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_session_is_made_and_closed_in_the_thread_of_its_handler(
    q: Qcore, engine: Engine
) -> None:
    """Never shared: it belongs to one run. A subclass is found by its own class."""
    provide_sessions(q, sessionmaker(engine, class_=Spied))
    ran_in: list[int] = []
    kept: list[Session] = []

    @q.task("look")
    def look(ctx: Context, session: Annotated[Spied, Provided] = Provided) -> None:
        assert ctx.state(Session) is session
        ran_in.append(threading.get_ident())
        kept.append(session)

    Spied.closed_in.clear()
    look.enqueue_sync()
    look.enqueue_sync()
    drain_sync(q)
    assert ran_in
    assert Spied.closed_in == ran_in
    assert threading.get_ident() not in ran_in
    assert kept[0] is not kept[1]


def test_a_commit_that_fails_is_the_error_of_the_run(q: Qcore, engine: Engine) -> None:
    """And the session is closed all the same; the task is tried again as after any error."""
    provide_sessions(q, sessionmaker(engine))

    @q.task("add", max_retry=0, retention=60)
    def add(ctx: Context, session: Annotated[Session, Provided] = Provided) -> str:
        session.execute(text("PRAGMA foreign_keys = ON"))
        session.commit()
        session.execute(text("CREATE TABLE a (id INTEGER PRIMARY KEY)"))
        session.execute(
            text("CREATE TABLE b (a INTEGER REFERENCES a DEFERRABLE INITIALLY DEFERRED)")
        )
        session.execute(text("INSERT INTO b VALUES (1)"))
        return "added"

    handle = add.enqueue_sync()
    drain_sync(q)
    assert "FOREIGN KEY constraint failed" in str(handle.errors()[0])
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_handler_in_a_process_has_a_session_there(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the engine that the child makes as it imports the module."""
    monkeypatch.setenv(FILE, engine.url.database or "")
    done = session_handlers.add.enqueue_sync("ann", fails=False)
    session_handlers.add.enqueue_sync("bob", fails=True)
    drain_sync(session_handlers.q)
    assert done.result(timeout=0) != os.getpid()
    assert users(engine) == ["ann"]


def test_two_databases_are_told_apart_by_the_classes_of_their_sessions(
    q: Qcore, engine: Engine
) -> None:
    """A parameter asks for the one that it means."""

    class Other(Session):
        pass

    memory = create_engine("sqlite://")
    provide_sessions(q, sessionmaker(memory, class_=Other))
    provide_sessions(q, sessionmaker(engine, class_=Spied))
    seen: list[Any] = []

    @q.task("look")
    def look(
        ctx: Context,
        ours: Annotated[Spied, Provided] = Provided,
        theirs: Annotated[Other, Provided] = Provided,
    ) -> None:
        seen.extend([ours.get_bind(), theirs.get_bind()])

    look.enqueue_sync()
    drain_sync(q)
    assert seen == [engine, memory]
    memory.dispose()


def test_a_routers_sessions_are_for_its_handlers_alone(q: Qcore, engine: Engine) -> None:
    """Others have none, and are told so."""
    router = Router()
    provide_sessions(router, sessionmaker(engine))

    @router.task("inside")
    def inside(ctx: Context, session: Annotated[Session, Provided] = Provided) -> None:
        session.execute(INSERT, {"name": "ann"})

    @q.task("outside", max_retry=0, retention=60)
    def outside(ctx: Context, session: Annotated[Session, Provided] = Provided) -> None:
        session.execute(INSERT, {"name": "bob"})

    q.include(router)
    inside.enqueue_sync()
    handle = outside.enqueue_sync()
    drain_sync(q)
    assert users(engine) == ["ann"]
    assert "no lifespan and no around yields a Session" in str(handle.errors()[0])


def test_another_session_can_take_its_place_in_a_test(q: Qcore, engine: Engine) -> None:
    """As whatever a handler is provided with."""
    provide_sessions(q, sessionmaker(engine))

    @q.task("add")
    def add(ctx: Context, session: Annotated[Session, Provided] = Provided) -> None:
        session.execute(INSERT, {"name": "ann"})

    with Session(engine) as own:
        with q.swapped(clock=q.clock, provided={Session: own}):
            add.enqueue_sync()
            drain_sync(q)
        assert list(own.scalars(text("SELECT name FROM users"))) == ["ann"]
        own.rollback()
    assert users(engine) == []


@pytest.mark.parametrize("wrong", [None, "sqlite://", Session])
def test_what_makes_no_sessions_is_refused_where_it_is_given(q: Qcore, wrong: Any) -> None:
    """A class would make sessions without an engine."""
    with pytest.raises(InvalidOption, match="expected a sessionmaker, a scoped_session"):
        provide_sessions(q, wrong)


def test_plain_sessions_need_no_greenlet() -> None:
    """SQLAlchemy 2.1 installs it for those alone who say `sqlalchemy[asyncio]`."""
    program = """
import sys

sys.modules["greenlet"] = None
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session, sessionmaker
from typing import Annotated
from qcore import Context, Provided, Qcore
from qcore.sqlalchemy import provide_sessions
from qcore.testing import ManualClock, drain_sync

q = Qcore("memory://", clock=ManualClock())
provide_sessions(q, sessionmaker(create_engine("sqlite://")))

@q.task("one", retention=60)
def one(ctx: Context, session: Annotated[Session, Provided] = Provided) -> int:
    return session.scalar(text("SELECT 1"))

handle = one.enqueue_sync()
drain_sync(q)
print(handle.result())
"""
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.endswith("\n1\n"), done.stderr
