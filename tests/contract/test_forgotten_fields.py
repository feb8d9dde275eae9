"""The contract fails for a broker that forgets a field of a task: each field, whoever adds it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from attrs import evolve

from qcore.adapters.links.sqlite import AsyncSqliteLink
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.sqlite import SqliteBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.answers import Admission
from qcore.domain.new_task import CHANGEABLE, FIELDS, NewTask, another
from qcore.domain.states import State
from qcore.domain.task import Claim, Demand, RetentionPolicy, Task
from qcore.domain.task_fields import REQUIRED, TaskField
from qcore.domain.transitions import Command, Updated
from qcore.ports import Broker, Capability
from qcore.testing.builders import TaskOptions
from qcore.testing.contract import BrokerContract, GroupContract, UniqueContract
from qcore.testing.contract.changes import CHANGES
from qcore.testing.contract.task_examples import capability_of

ALL = pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
CASES = {
    None: "test_an_option_comes_back_unchanged",
    Capability.UNIQUE: "test_what_was_asked_for_comes_back",
    Capability.GROUPS: "test_a_member_comes_back_unchanged",
}


class Forgets(ForwardingBroker):
    """Give a field its default, or another value where it has none."""

    def __init__(self, inner: Broker, field: TaskField) -> None:
        super().__init__(inner)
        self.field = field

    def without(self, task: NewTask) -> NewTask:
        """Return a task without the field."""
        made: Any = another(task, task.id, task.payload)
        default = self.field.default
        setattr(made, self.field.name, "forgotten" if default is REQUIRED else default)
        forgetful: NewTask = made
        return forgetful


class ForgetsWhatComesIn(Forgets):
    async def enqueue(self, tasks: Sequence[NewTask], *, now: float) -> Sequence[Admission]:
        return await super().enqueue([self.without(task) for task in tasks], now=now)


class ForgetsWhatIsShown(Forgets):
    async def get(self, queue: str, ids: Sequence[str]) -> Sequence[Task | None]:
        found = await super().get(queue, ids)
        return [
            None if each is None else evolve(each, spec=self.without(each.spec)) for each in found
        ]


class ForgetsWhatGoesOut(Forgets):
    async def claim(self, demand: Demand, *, now: float, until: float) -> Sequence[Claim]:
        claims = await super().claim(demand, now=now, until=until)
        return [evolve(c, task=evolve(c.task, spec=self.without(c.task.spec))) for c in claims]


class ForgetsWhatIsChanged(Forgets):
    async def execute(
        self, queue: str, ids: Sequence[str], order: Command, *, now: float
    ) -> Sequence[Any]:
        if isinstance(order, Updated):
            changes = {k: v for k, v in order.changes.items() if k != self.field.name}
            order = Updated(changes)
        return await super().execute(queue, ids, order, now=now)


def in_memory(_: Path, keep: RetentionPolicy) -> Broker:
    """Return the reference."""
    return MemoryBroker(keep=keep)


def in_a_file(folder: Path, keep: RetentionPolicy) -> Broker:
    """Return a broker that writes tasks down."""
    return SqliteBroker(AsyncSqliteLink(folder / "qcore.db"), keep=keep)


def a_suite(make: Callable[[RetentionPolicy], Broker], folder: Path) -> Any:
    """Return an instance of the contract, to run cases of by hand."""
    bases = (BrokerContract, UniqueContract, GroupContract)
    suite = type("Suite", bases, {"make_broker": lambda _, keep: make(keep)})()
    suite.folder = folder
    return suite


def examples_in(case: str, field: TaskField) -> list[dict[str, Any]]:
    """Return what the contract's own parameters ask of a field."""
    (mark,) = getattr(a_suite(MemoryBroker, Path()), case).pytestmark
    return [each.values[0] for each in mark.args[1] if [*each.values[0]][-1] == field.name]


@ALL
@pytest.mark.parametrize("forgets", [ForgetsWhatComesIn, ForgetsWhatIsShown, ForgetsWhatGoesOut])
@pytest.mark.parametrize("store", [in_memory, in_a_file])
def test_a_broker_that_forgets_a_field_fails(
    field: TaskField,
    forgets: type[Forgets],
    store: Callable[[Path, RetentionPolicy], Broker],
    tmp_path: Path,
) -> None:
    """When it is stored, shown or handed out, for each example of every field."""
    case = CASES[capability_of(field)]
    asked = examples_in(case, field)
    assert len(asked) == len(field.examples)
    for n, options in enumerate(asked):
        folder = tmp_path / f"{n}"
        folder.mkdir()
        good = a_suite(lambda keep, folder=folder: store(folder, keep), folder)
        getattr(good, case)(asked=options)
        folder = tmp_path / f"{n} forgotten"
        folder.mkdir()
        bad = a_suite(lambda keep, folder=folder: forgets(store(folder, keep), field), folder)
        with pytest.raises((AssertionError, ValueError)):
            getattr(bad, case)(asked=options)


@pytest.mark.parametrize("name", sorted(CHANGEABLE))
def test_a_broker_that_does_not_change_a_field_fails(name: str, tmp_path: Path) -> None:
    """Of every field that may be changed there is a change."""
    assert any(name in changes for changes in CHANGES)
    bad = a_suite(
        lambda keep: ForgetsWhatIsChanged(MemoryBroker(keep=keep), FIELDS[name]), tmp_path
    )
    with pytest.raises(AssertionError):
        bad.test_what_was_changed_comes_back(state=State.DEAD)


def test_the_builders_take_every_field() -> None:
    """As it is declared: type checkers see the same."""
    assert get_type_hints(TaskOptions) == {name: field.type for name, field in FIELDS.items()}
