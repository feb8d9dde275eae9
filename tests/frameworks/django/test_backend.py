"""The backend for Django's tasks: those of Django 6, or of django-tasks before it."""

import asyncio
import os
from collections.abc import Awaitable, Iterator
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from socket import gethostname
from typing import Any

import django
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from qcore.clocks import SystemClock
from qcore.django import q
from qcore.django.testing import InMemoryQueue
from qcore.domain.task import Demand
from qcore.testing import ManualClock
from tests.frameworks.django import some_tasks

package = import_module("django.tasks" if django.VERSION >= (6,) else "django_tasks")
exceptions, signals = (
    import_module(f"{package.__name__}.{name}") for name in ("exceptions", "signals")
)
InvalidTask = getattr(exceptions, "InvalidTask", getattr(exceptions, "InvalidTaskError", None))
Status = package.TaskResultStatus
NAN = float("nan")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    some_tasks.SEEN.clear()
    yield
    some_tasks.SEEN.clear()


class Heard:
    """What receivers of the three signals were told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.results: list[Any] = []

    def receiver(self, name: str) -> Any:
        def receive(sender: Any, task_result: Any, **_: Any) -> None:
            self.told.append((name, task_result.status.value))
            self.results.append(task_result)

        return receive


@pytest.fixture
def heard() -> Iterator[Heard]:
    """Return what is heard of tasks while the test lasts."""
    heard = Heard()
    named = {name: getattr(signals, f"task_{name}") for name in ("enqueued", "started", "finished")}
    receivers = [(signal, heard.receiver(name)) for name, signal in named.items()]
    for signal, receiver in receivers:
        signal.connect(receiver)
    yield heard
    for signal, receiver in receivers:
        signal.disconnect(receiver)


def test_a_task_is_ready_then_successful(queue: InMemoryQueue) -> None:
    """A result is asked for again with `refresh`, and has all that Django says of results."""
    result = some_tasks.add.enqueue(1, other=2)
    assert (result.status, result.attempts, result.worker_ids) == (Status.READY, 0, [])
    assert (result.args, result.kwargs, result.backend) == ([1], {"other": 2}, "default")
    assert result.enqueued_at.tzinfo is not None
    with pytest.raises(ValueError, match="not finished"):
        _ = result.return_value

    assert queue.run_tasks() == 1
    result.refresh()

    assert (result.status, result.return_value, result.attempts) == (Status.SUCCESSFUL, 3, 1)
    assert result.worker_ids == [f"{gethostname()}:{os.getpid()}"]
    assert result.enqueued_at <= result.started_at <= result.finished_at
    assert result.last_attempted_at == result.started_at
    assert result.errors == []
    assert result.is_finished
    assert some_tasks.add.get_result(result.id) == result


def test_a_coroutine_is_run(queue: InMemoryQueue) -> None:
    """In its own queue, which workers serve as the settings name it."""
    result = some_tasks.greet.enqueue("Ann")
    assert queue.run_tasks() == 1
    result.refresh()
    assert (result.return_value, result.task.queue_name) == ("hello Ann", "mail")


def test_asynchronous_code_enqueues_and_reads(queue: InMemoryQueue) -> None:
    """By `aenqueue`, `aget_result` and `arefresh`."""

    async def story() -> Any:
        result = await some_tasks.greet.aenqueue(name="Bob")
        await queue.arun_tasks()
        await result.arefresh()
        return await some_tasks.greet.aget_result(result.id)

    assert asyncio.run(story()).return_value == "hello Bob"


def test_a_task_may_take_its_context(queue: InMemoryQueue) -> None:
    """While it runs its result says so, and counts this attempt."""
    result = some_tasks.about_me.enqueue(word="x")
    queue.run_tasks()
    result.refresh()
    assert result.return_value == {"word": "x", "attempt": 1, "status": "RUNNING", "errors": []}


def test_a_run_knows_what_the_runs_before_it_have_raised(queue: InMemoryQueue) -> None:
    """By the result in its context."""
    result = some_tasks.count_errors.enqueue()
    assert queue.run_tasks() == 2
    result.refresh()
    assert result.return_value == ["tests.frameworks.django.some_tasks.Unlucky"]


def test_a_task_that_raises_has_failed_at_once(queue: InMemoryQueue) -> None:
    """As with Django's own backends; the error has its class and its traceback."""
    result = some_tasks.fail.enqueue("the disk is full")
    assert queue.run_tasks() == 1
    result.refresh()
    assert (result.status, result.attempts) == (Status.FAILED, 1)
    [error] = result.errors
    assert error.exception_class is some_tasks.Unlucky
    assert "the disk is full" in error.traceback
    assert "some_tasks.py" in error.traceback


def test_a_task_is_tried_again_where_the_options_say_so(queue: InMemoryQueue, heard: Heard) -> None:
    """Each attempt is counted and each error is kept; it is finished once."""
    result = some_tasks.fail_twice.enqueue("k")
    assert queue.q.blocking_inspector.counts() == {"of-any-name": {"pending": 1}}
    assert queue.run_tasks() == 3
    result.refresh()
    assert (result.status, result.return_value, result.attempts) == (Status.SUCCESSFUL, "k", 3)
    assert [each.exception_class for each in result.errors] == [some_tasks.Unlucky] * 2
    assert result.started_at < result.last_attempted_at
    assert [name for name, _ in heard.told] == ["enqueued", *["started"] * 3, "finished"]


@pytest.mark.parametrize(
    ("task", "args", "status"),
    [
        ("add", (1, 2), "SUCCESSFUL"),
        ("greet", ("Ann",), "SUCCESSFUL"),
        ("fail", ("why",), "FAILED"),
        ("leave", (), "FAILED"),
        ("return_an_object", (), "FAILED"),
        ("add", (1,), "FAILED"),
    ],
)
def test_receivers_are_told_of_each_run(
    queue: InMemoryQueue, heard: Heard, task: str, args: tuple[Any, ...], status: str
) -> None:
    """When it is enqueued, started and finished, with the result as it then is."""
    result = getattr(some_tasks, task).enqueue(*args)
    queue.run_tasks()
    assert heard.told == [("enqueued", "READY"), ("started", "RUNNING"), ("finished", status)]
    assert heard.results[-1].id == result.id
    assert heard.results[-1].finished_at is not None
    result.refresh()
    assert result.status.value == status


def enqueued(task: Any, *args: Any, **options: Any) -> Any:
    """Enqueue a task through a backend that has options besides; return its result."""
    params = {**settings.TASKS["default"], "OPTIONS": options}
    return type(package.task_backends["default"])("default", params).enqueue(task, args, {})


def ends_without_a_run(queue: InMemoryQueue, way: str) -> Any:
    """Enqueue a task that ends so; return its result."""
    clock, broker = queue.q.clock, queue.q.broker
    assert isinstance(clock, ManualClock)
    if way == "cancelled":
        result = some_tasks.add.enqueue(1, 2)
        queue.q.blocking.handle("default", result.id).cancel()
    elif way == "expired":
        result = enqueued(some_tasks.greet, "Ann", expires=60)
        clock.advance(61)
    else:
        result = enqueued(some_tasks.add, 1, 2, max_crashes=1)
        demand = Demand(1, {"default": 1})
        asyncio.run(wait(broker.claim(demand, now=clock.now(), until=clock.now() + 1)))
        clock.advance(2)
    return result


async def wait(answer: Awaitable[object]) -> None:
    """Wait for an answer."""
    await answer


@pytest.mark.parametrize("way", ["cancelled", "expired", "lost"])
def test_receivers_are_told_of_a_task_that_ends_without_a_run(
    queue: InMemoryQueue, heard: Heard, way: str
) -> None:
    """It has failed, and is told of once."""
    queue.run_tasks(until=queue.q.clock.now() + 20)
    result = ends_without_a_run(queue, way)
    for _ in range(3):
        queue.run_tasks(until=queue.q.clock.now() + 20)
    assert heard.told == [("enqueued", "READY"), ("finished", "FAILED")]
    assert heard.results[-1].id == result.id
    assert heard.results[-1].errors[0].traceback
    assert heard.results[-1].finished_at is not None


def test_a_task_that_is_dead_by_its_run_is_told_of_once(queue: InMemoryQueue, heard: Heard) -> None:
    """By the run; the end hook finds out that it was."""
    some_tasks.return_an_object.enqueue()
    assert queue.run_tasks() == 1 + 1
    queue.run_tasks(until=queue.q.clock.now() + 40)
    assert [name for name, _ in heard.told] == ["enqueued", "started", "finished"]


@pytest.mark.parametrize(("name", "seconds"), [("linger", 1), ("linger_in_loop", 60)])
def test_receivers_are_told_of_a_task_whose_time_was_over(
    heard: Heard, name: str, seconds: float
) -> None:
    """It has failed, and what a thread returns then is nothing."""
    with q.swapped("memory://", clock=SystemClock()):
        result = enqueued(getattr(some_tasks, name), seconds, timeout=0.1)
        asyncio.run(q.worker(burst=True).run())
        result.refresh()
    assert (result.status, result.attempts) == (Status.FAILED, 1)
    assert [name for name, _ in heard.told] == ["enqueued", "started", "finished"]
    assert heard.results[-1].status == Status.FAILED
    assert heard.results[-1].errors[-1].exception_class is TimeoutError


def test_receivers_may_use_the_orm(queue: InMemoryQueue, heard: Heard, database: object) -> None:
    """Also where the task is a coroutine: they are not called on its event loop."""
    users: list[int] = []

    def count(**_: Any) -> None:
        users.append(User.objects.count())

    signals.task_finished.connect(count)
    try:
        some_tasks.greet.enqueue("Ann")
        queue.run_tasks()
    finally:
        signals.task_finished.disconnect(count)
    assert users == [0]


def test_a_receiver_that_raises_does_no_harm(queue: InMemoryQueue) -> None:
    """The task was stored, so `enqueue` must not look as if it was not; and it runs."""

    def receive(**_: Any) -> None:
        raise RuntimeError("of the receiver")

    for name in ("enqueued", "started", "finished"):
        getattr(signals, f"task_{name}").connect(receive)
    try:
        result = some_tasks.add.enqueue(1, 2)
        queue.run_tasks()
    finally:
        for name in ("enqueued", "started", "finished"):
            getattr(signals, f"task_{name}").disconnect(receive)
    result.refresh()
    assert result.return_value == 3


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"bytes", r"args\[0\] is b'bytes'"),
        (NAN, r"args\[0\] is nan"),
        ({1: "one"}, r"args\[0\] has the key 1"),
        ({"a": {None: 1}}, r"args\[0\]\['a'\] has the key None"),
        ([1, [2, {3}]], r"args\[0\]\[1\]\[1\] is \{3\}"),
        ("\ud800", r"surrogate"),
        (memoryview(b"x"), r"args\[0\] is <memory"),
        (datetime(2026, 1, 1, tzinfo=UTC), r"expected what JSON has"),
    ],
)
def test_what_json_would_change_is_refused(queue: InMemoryQueue, value: object, said: str) -> None:
    """By `enqueue`, which says where it is; nothing is stored."""
    with pytest.raises(TypeError, match=said):
        some_tasks.note.enqueue(value)
    assert queue.q.blocking_inspector.counts() == {}


def test_arguments_arrive_as_they_were_given(queue: InMemoryQueue) -> None:
    """Tuples as lists, as in JSON."""
    value = {"a": [1, 2.5, None, True, "é", {"b": [10**15]}]}
    some_tasks.note.enqueue(value)
    some_tasks.note.enqueue((1, (2,)))
    queue.run_tasks()
    assert [value, [1, [2]]] == some_tasks.SEEN


def test_a_result_that_json_would_change_fails_once(queue: InMemoryQueue) -> None:
    """It is not run again: its work is done."""
    task = some_tasks.return_an_object.using(backend="anywhere")
    result = task.enqueue()
    queue.run_tasks()
    result.refresh()
    assert (result.status, result.attempts) == (Status.FAILED, 1)
    assert "the result is <object" in result.errors[0].traceback


def test_tasks_run_by_priority_and_not_before_their_time(queue: InMemoryQueue) -> None:
    """From -100 to 100, the greatest first; `run_after` is a moment."""
    soon = datetime.now(UTC) + timedelta(hours=1)
    some_tasks.note.using(run_after=soon).enqueue("later")
    for priority in (-100, 100, 0):
        some_tasks.note.using(priority=priority).enqueue(priority)
    assert queue.run_tasks(jump=False) == 3
    assert some_tasks.SEEN == [100, 0, -100]
    queue.run_tasks()
    assert some_tasks.SEEN[-1] == "later"


@pytest.mark.parametrize(
    "options",
    [
        {"queue_name": "of nobody"},
        {"queue_name": "a blank", "backend": "anywhere"},
        {"priority": 101},
        {"priority": -101},
        {"priority": True},
        {"priority": 1.0},
        {"run_after": timedelta(seconds=1)},
        {"run_after": date(2026, 1, 1)},
        {"run_after": datetime(2026, 1, 1)},  # noqa: DTZ001  (without a zone is what is refused)
    ],
)
def test_a_task_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    """When it is made, and without asking the store."""
    with pytest.raises(InvalidTask):
        some_tasks.add.using(**options)


def test_a_function_that_cannot_be_found_again_is_refused() -> None:
    """A lambda and a static method have no name of their own in their module."""

    class Holder:
        @staticmethod
        def method() -> None: ...

    Holder.method.__qualname__ = "Holder.method"
    nameless = lambda: None  # noqa: E731  (what is refused)
    nameless.__qualname__ = "<lambda>"
    for function in (Holder.method, nameless):
        with pytest.raises(InvalidTask, match="found again"):
            package.task(function)


def test_a_task_is_made_while_the_store_is_away() -> None:
    """Modules that declare tasks can be imported by whoever only reads them."""
    from qcore.django import q

    with q.swapped("redis://127.0.0.1:1/0"):
        assert some_tasks.add.using(priority=5).priority == 5


def test_there_is_no_result_of_another_id_or_task(queue: InMemoryQueue) -> None:
    """An id that is unknown, of another task, of another backend, or of a task of qcore."""
    other = some_tasks.fail_twice.enqueue("k")
    mine = some_tasks.greet.enqueue("Ann")
    with pytest.raises(exceptions.TaskResultMismatch):
        some_tasks.add.get_result(mine.id)
    for unknown in ("nothing", other.id):
        with pytest.raises(exceptions.TaskResultDoesNotExist):
            some_tasks.add.get_result(unknown)


def test_results_are_kept_as_long_as_the_options_say(queue: InMemoryQueue) -> None:
    """For a week by default."""
    kept = [
        some_tasks.add.enqueue(1, 2),
        some_tasks.add.using(backend="anywhere").enqueue(1, 2),
    ]
    stored = [queue.q.blocking.handle("default", each.id).task() for each in kept]
    assert [each and each.spec.retention for each in stored] == [604_800, 60]
    assert [each and each.spec.tags for each in stored] == [("of-django",), ()]


def test_a_task_that_was_discarded_has_failed(queue: InMemoryQueue) -> None:
    """With the reason, though no run has raised anything."""
    result = some_tasks.add.enqueue(1, 2)
    queue.q.blocking.handle("default", result.id).cancel()
    result.refresh()
    assert (result.status, result.attempts) == (Status.FAILED, 0)
    assert issubclass(result.errors[0].exception_class, Exception)


def test_a_task_whose_function_is_not_here_waits_a_day(
    queue: InMemoryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of the version before puts it back for those that have it."""
    result = some_tasks.note.enqueue("x")
    function = some_tasks.note
    monkeypatch.delattr(some_tasks, "note")
    assert queue.run_tasks(jump=False) == 1
    monkeypatch.setattr(some_tasks, "note", function, raising=False)
    queue.run_tasks()
    assert some_tasks.SEEN == ["x"]
    result.refresh()
    assert result.status == Status.SUCCESSFUL


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "memory://"}, r'where tasks wait is QCORE\["URL"\]'),
        ({"max_retries": 3}, "'max_retries': expected some of"),
        ({"retention": "long"}, "retention"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    """When the backend is made, in the words of the settings."""
    kind = type(package.task_backends["default"])
    with pytest.raises(ImproperlyConfigured, match=said):
        kind("default", {"BACKEND": "", "OPTIONS": options})


def test_without_time_zones_moments_are_local(queue: InMemoryQueue) -> None:
    """As in all of Django, where USE_TZ is False."""
    with override_settings(USE_TZ=False):
        after = datetime.now() + timedelta(hours=1)  # noqa: DTZ005  (local is what is tested)
        result = some_tasks.note.using(run_after=after).enqueue("x")
        assert result.enqueued_at.tzinfo is None
        assert queue.run_tasks(jump=False) == 0
        queue.run_tasks()
        result.refresh()
        assert result.finished_at >= after
