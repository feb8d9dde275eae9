"""A line of another queue that was not moved says what it becomes."""

import copy
import re
from typing import Any

import pytest

from qcore import Context, Qcore
from qcore.app.calls.foreign_names import OF_HANDLES, OF_QUEUES, OF_TASKS

q = Qcore("memory://")


@q.task("charge", retention=60)
def charge(ctx: Context, order: int) -> int:
    """Return its order."""
    return order


@pytest.mark.parametrize(
    ("name", "here"),
    [
        ("delay", "enqueue_sync(…), or await enqueue(…)"),
        ("send", "enqueue_sync(…), or await enqueue(…)"),
        ("apply_async", "using(delay=…, …).enqueue_sync(…), or await using(…).enqueue(…)"),
        ("s", "call(…); in a chain, where it gets a result, step(…)"),
    ],
)
@pytest.mark.parametrize("task", [charge, charge.using(priority=1)])
def test_a_task_says_what_another_queues_method_is_here(task: Any, name: str, here: str) -> None:
    """An `AttributeError`, as of any object."""
    with pytest.raises(AttributeError) as raised:
        getattr(task, name)
    assert f"no attribute {name!r}; it is {here} of " in str(raised.value)
    assert not hasattr(task, name)


@pytest.mark.parametrize(
    ("name", "here"), [("get", "result(timeout=…)"), ("state", "status()"), ("task_id", "id")]
)
def test_a_handle_says_what_another_queues_method_is_here(name: str, here: str) -> None:
    """Of either colour, with the task that it is of."""
    for handle in (charge.handle("7"), charge.handle_sync("7")):
        with pytest.raises(AttributeError) as raised:
            getattr(handle, name)
        assert str(raised.value).endswith(f" has no attribute {name!r}; it is {here} of {handle!r}")


@pytest.mark.parametrize("queue", [q, Qcore.later()])
@pytest.mark.parametrize(
    ("name", "here"),
    [
        ("enqueue", "client.enqueue(…), or blocking.enqueue(…), of task.call(…)"),
        ("actor", "task(…)"),
        ("cron", "periodic(…)"),
    ],
)
def test_a_queue_says_what_another_queues_method_is_here(queue: Any, name: str, here: str) -> None:
    """Also one of which no store is known yet."""
    with pytest.raises(AttributeError, match=f"no attribute {name!r}; it is {re.escape(here)} of "):
        getattr(queue, name)


def test_no_name_of_ours_is_said_to_be_missing() -> None:
    """What is there is not looked for among the others' names."""
    names = [OF_TASKS, OF_HANDLES, OF_QUEUES]
    for owner, known in zip((charge, charge.handle("7"), q), names, strict=True):
        assert not known.keys() & set(dir(owner))


def test_any_other_attribute_is_missing_as_it_is_of_any_object() -> None:
    """Also of an object that is not made yet, as where one is copied."""
    unmade = object.__new__(type(charge))
    owners: list[Any] = [charge, charge.handle("7"), charge.handle_sync("7"), unmade]
    for owner in owners:
        with pytest.raises(AttributeError, match=r"^'\w+' object has no attribute 'nonsense'$"):
            owner.nonsense  # noqa: B018
    assert copy.copy(charge.handle_sync("7")).id == "7"
