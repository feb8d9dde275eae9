"""Tasks and transactions of Django: after a commit, at once, or over Django's own connection."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path
from structlog.testing import capture_logs

from qcore import Context, InvalidOption, InvalidTask, State
from qcore.django.queue import DjangoQcore
from qcore.django.settings import read_settings
from qcore.testing import ManualClock

pytestmark = pytest.mark.usefixtures("database")


def queue_of(**settings: Any) -> DjangoQcore:
    """Return a queue of its own, with one task."""
    with override_settings(QCORE={"INSTRUMENTS": [], **settings}):
        q = DjangoQcore(read_settings())

    @q.task("note")
    def note(ctx: Context, word: str) -> None: ...

    return q


def enqueue(q: DjangoQcore, word: Any = "x") -> Any:
    """Enqueue its task; return the handle."""
    [note] = q.handlers()
    return note.enqueue_sync(word)


def waiting(q: DjangoQcore) -> int:
    """Return how many tasks there are."""
    return sum(sum(states.values()) for states in q.blocking_inspector.counts().values())


class Undone(Exception):
    """Ends a transaction."""


@contextmanager
def undone() -> Iterator[None]:
    """Undo what is done in the block."""
    with suppress(Undone), transaction.atomic():
        yield
        raise Undone


QUEUES: dict[str, Callable[[], DjangoQcore]] = {
    "after": lambda: queue_of(URL="memory://"),
    "within": lambda: queue_of(DATABASE="default"),
}


@pytest.fixture(params=QUEUES)
def q(request: pytest.FixtureRequest) -> DjangoQcore:
    """Return a queue in memory, or one in Django's own database."""
    made = QUEUES[request.param]()
    for name in made.blocking_inspector.counts():
        made.blocking_inspector.remove_queue(name, force=True)
    return made


def test_a_task_is_there_once_the_transaction_is_committed(q: DjangoQcore) -> None:
    """Together with what was written in it; the handle has its id before."""
    with transaction.atomic():
        User.objects.create(username="ann")
        handle = enqueue(q)
        assert waiting(q) == 0
    assert handle.status() is State.PENDING
    assert User.objects.filter(username="ann").exists()


def test_a_task_is_not_there_where_the_transaction_is_undone(q: DjangoQcore) -> None:
    """Neither by an error nor by a savepoint of which it was a part."""
    with undone():
        User.objects.create(username="bob")
        enqueue(q)
    with transaction.atomic():
        enqueue(q, "kept")
        with undone():
            User.objects.create(username="bob")
            enqueue(q)
    assert waiting(q) == 1
    assert not User.objects.exists()


def test_without_a_transaction_a_task_is_there_at_once(q: DjangoQcore) -> None:
    """As everywhere else."""
    assert enqueue(q).status() is State.PENDING


def test_what_is_wrong_with_a_task_is_said_at_once(q: DjangoQcore) -> None:
    """And not after the commit, when nobody can undo anything."""
    with transaction.atomic(), pytest.raises(InvalidTask, match="word is 7"):
        enqueue(q, 7)
    assert waiting(q) == 0


def test_at_once_does_not_wait_for_a_commit() -> None:
    """For what is to be done though the transaction is undone."""
    q = queue_of(URL="memory://")
    with undone():
        with q.at_once():
            enqueue(q)
        assert waiting(q) == 1
    assert waiting(q) == 1


def test_on_commit_waits_where_the_settings_do_not() -> None:
    """With ON_COMMIT false a task is there at once, unless it is asked to wait."""
    q = queue_of(URL="memory://", ON_COMMIT=False)
    with transaction.atomic():
        enqueue(q)
        with q.on_commit():
            enqueue(q)
        assert waiting(q) == 1
    assert waiting(q) == 2


def test_on_commit_of_a_database_that_is_not_there_is_refused() -> None:
    """By its alias."""
    q = queue_of(URL="memory://")
    refused = pytest.raises(InvalidOption, match="'nobody': expected an alias of DATABASES")
    with refused, q.on_commit("nobody"):
        pass


def test_many_tasks_wait_for_a_commit_together(q: DjangoQcore) -> None:
    """`enqueue_many`, of which one that is wrong is refused at once."""
    [note] = q.handlers()
    with transaction.atomic():
        answers = q.blocking.enqueue_many([note.call(each) for each in ("a", 7, "b")])
        assert [type(each).__name__ for each in answers] == [
            "BlockingHandle",
            "Refused",
            "BlockingHandle",
        ]
    assert waiting(q) == 2


def test_within_is_a_part_of_the_transaction_whatever_the_settings_say(database: Path) -> None:
    """`q.within(connection)`, with the connection of Django itself."""
    q = queue_of(URL=f"sqlite:///{database}")
    for name in q.blocking_inspector.counts():
        q.blocking_inspector.remove_queue(name, force=True)
    [note] = q.handlers()
    with undone():
        handle = q.within(connection).enqueue(note.call("undone"))
        assert handle.status() is State.PENDING
    with transaction.atomic():
        q.within(connection).enqueue_many([note.call("kept")])
    assert waiting(q) == 1
    q.blocking.close()


def test_middleware_runs_where_the_task_is_asked_for_once(database: Path) -> None:
    """So that it adds the headers of the request, though the task is stored after the commit."""
    from contextvars import ContextVar

    request: ContextVar[str] = ContextVar("request", default="none")
    q = queue_of(URL="memory://")

    @q.enqueue_middleware
    async def add_request(tasks: Any, send: Any) -> Any:
        from attrs import evolve

        return await send([evolve(each, headers={"request": request.get()}) for each in tasks])

    with transaction.atomic():
        token = request.set("r1")
        handle = enqueue(q)
        request.reset(token)
    task = handle.task()
    assert task.spec.headers["request"] == "r1"


def test_a_swapped_queue_is_not_in_the_database() -> None:
    """A test of an application whose tasks are in its database has them in memory."""
    q = queue_of(DATABASE="default")
    with q.swapped(clock=ManualClock()):
        with transaction.atomic():
            enqueue(q)
            assert waiting(q) == 0
        assert waiting(q) == 1


@pytest.mark.parametrize("answer", [200, 500])
def test_a_request_that_is_one_transaction_has_its_tasks(
    q: DjangoQcore, monkeypatch: pytest.MonkeyPatch, answer: int
) -> None:
    """With ATOMIC_REQUESTS they are there if the view returns, and never were if it raises."""
    seen: list[int] = []

    def view(_: HttpRequest) -> HttpResponse:
        User.objects.create(username="ann")
        enqueue(q)
        seen.append(waiting(q))
        if answer != HTTPStatus.OK:
            raise Undone
        return HttpResponse()

    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", value=True)
    with override_settings(ROOT_URLCONF=(path("order/", view),)):
        response = Client(raise_request_exception=False).get("/order/")
    assert (response.status_code, seen) == (answer, [0])
    assert waiting(q) == User.objects.count() == (answer == HTTPStatus.OK)


@pytest.mark.parametrize("way", ["DATABASE", "URL"])
def test_tables_beside_those_of_django_are_no_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The setting says where they are; who names an application's file by a URL is told."""
    file = tmp_path / "site.db"
    with closing(sqlite3.connect(file)) as site, site:
        site.execute("CREATE TABLE orders (id INTEGER)")
    site_database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}
    monkeypatch.setitem(settings.DATABASES, "site", site_database)
    where = {"DATABASE": "site"} if way == "DATABASE" else {"URL": f"sqlite:///{file}"}
    with capture_logs() as told:
        assert waiting(queue_of(**where)) == 0
    assert len(told) == (way == "URL")
