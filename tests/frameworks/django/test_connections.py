"""Connections of Django around handlers: closed where they are used, so that none stays broken."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import override_settings

from qcore import Context
from qcore.django.queue import DjangoQcore
from qcore.django.settings import read_settings
from qcore.testing import ManualClock, drain_sync

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def q() -> Iterator[DjangoQcore]:
    """Return a queue in memory, whose worker has one thread."""
    with override_settings(QCORE={"URL": "memory://", "INSTRUMENTS": []}):
        made = DjangoQcore(read_settings())
    with made.swapped(clock=ManualClock()):
        yield made


def work(q: DjangoQcore) -> None:
    """Run what waits, one after the other, in one thread: each of them has to end well."""
    asyncio.run(q.worker(burst=True, threads=1, concurrency=1, scheduler=False).run())
    states = [each for states in q.blocking_inspector.counts().values() for each in states]
    assert set(states) <= {"completed", "archived"}


def broken(driver: sqlite3.Connection) -> None:
    """Close the connection of the driver under Django, as a server does that goes away."""
    driver.close()


def test_a_connection_that_was_dropped_breaks_one_run_and_not_its_thread(q: DjangoQcore) -> None:
    """The run that meets it fails; the next one, in the same thread, has another connection."""
    runs: list[str] = []

    @q.task("drop", max_retry=0)
    def drop(ctx: Context) -> None:
        User.objects.count()
        broken(connection.connection)
        runs.append("dropped")
        User.objects.count()

    @q.task("look", retention=60)
    def look(ctx: Context) -> int:
        runs.append("looked")
        return User.objects.count()

    drop.enqueue_sync()
    handle = look.enqueue_sync()
    work(q)
    assert runs == ["dropped", "looked"]
    assert handle.result() == 0


def test_no_connection_is_left_open_by_a_thread(q: DjangoQcore) -> None:
    """CONN_MAX_AGE is 0 by default: a connection lives as long as a request, or a run."""
    used: list[Any] = []

    @q.task("look")
    def look(ctx: Context) -> None:
        User.objects.count()
        used.append(connection.connection)

    look.enqueue_sync()
    work(q)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        used[0].execute("SELECT 1")


def test_coroutines_have_a_connection_each_and_close_it(q: DjangoQcore) -> None:
    """Each in a thread of its own, so that they do not wait for each other's queries."""
    used: list[Any] = []
    both = asyncio.Barrier(2)

    @q.task("look")
    async def look(ctx: Context) -> None:
        await User.objects.acount()
        used.append(await sync_to_async(lambda: connection.connection)())
        await both.wait()

    for _ in range(2):
        look.enqueue_sync()
    assert drain_sync(q) == 2
    assert used[0] is not used[1]
    for each in used:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            each.execute("SELECT 1")


def test_a_coroutine_that_uses_no_database_starts_no_thread(
    q: DjangoQcore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is closed where nothing was opened."""
    monkeypatch.setattr(type(connections), "close_all", lambda _: pytest.fail("closed"))

    @q.task("wait")
    async def wait(ctx: Context) -> None:
        await asyncio.sleep(0)

    wait.enqueue_sync()
    assert drain_sync(q) == 1


def test_queries_of_earlier_runs_are_forgotten(q: DjangoQcore, database: Path) -> None:
    """With DEBUG Django keeps each query, which a worker would do until it has no memory left."""
    counts: list[int] = []

    @q.task("look")
    def look(ctx: Context) -> None:
        User.objects.count()
        counts.append(len(connection.queries))

    with override_settings(DEBUG=True):
        for _ in range(2):
            look.enqueue_sync()
        work(q)
    assert counts[0] == counts[1]
