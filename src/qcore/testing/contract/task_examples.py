"""Values for every field of a task, taken from the fields' declarations.

A new field is asked of every store by the cases over these, without an edit here.
"""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from qcore.domain.new_task import FIELDS, NewTask
from qcore.domain.task_fields import TaskField
from qcore.ports import Broker, Capability
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.steps import put, stored_task, take_one

_CAPABILITY_OF: Final = {"group": Capability.GROUPS, "unique_key": Capability.UNIQUE}
"""The capability without which a broker need not take a field, nor those that go with it."""


def capability_of(field: TaskField) -> Capability | None:
    """Return the capability that a broker must have to take a field; None for the port alone."""
    for name in (field.name, *field.together):
        if name in _CAPABILITY_OF:
            return _CAPABILITY_OF[name]
    return None


def examples(capability: Capability | None = None) -> list[Any]:
    """Return each example of each field of a capability, as options for `parametrize`."""
    return [
        pytest.param({**field.together, field.name: value}, id=f"{field.name}-{n}")
        for field in FIELDS.values()
        if capability_of(field) is capability
        for n, value in enumerate(field.examples)
    ]


def all_examples(*without: str) -> dict[str, Any]:
    """Return the first example of each field that every broker takes, but for some."""
    return {
        field.name: field.examples[0]
        for field in FIELDS.values()
        if capability_of(field) is None and field.name not in without
    }


async def comes_back(broker: Broker, asked: Mapping[str, Any]) -> NewTask:
    """Enqueue a task, and fail unless `get` shows it as it was asked for; return it."""
    task = a_task(**asked)
    await put(broker, task)
    spec = (await stored_task(broker, task)).spec
    assert spec == task
    assert {name: getattr(spec, name) for name in asked} == asked
    return task


async def comes_out(broker: Broker, task: NewTask) -> None:
    """Fail unless a task is handed out as it was asked for."""
    claim = await take_one(broker, task.queue, now=task.due or NOW)
    assert claim.task.spec == task
