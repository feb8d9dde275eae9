"""Cases of every cell of `domain.lifecycle.MOVES` that can be reached through the port."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import pytest
from attrs import evolve

from qcore.domain.lifecycle import MOVES, Fork, advance
from qcore.domain.new_task import NewTask
from qcore.domain.states import State
from qcore.domain.task import Verdict, updated
from qcore.domain.transitions import (
    Aggregated,
    Archived,
    BroughtBack,
    Cancelled,
    Claimed,
    Command,
    Crashed,
    Deleted,
    Discarded,
    Due,
    Exhausted,
    Expired,
    Failed,
    Rejected,
    Released,
    Rescheduled,
    Revoked,
    RunNow,
    Snoozed,
    Succeeded,
    Transition,
    Updated,
)
from qcore.ports import Broker
from qcore.testing.builders import LEASE, NOW, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.states import LATER, bring_to
from qcore.testing.contract.steps import (
    a_claimed,
    find_task,
    put,
    stored_task,
    sweep_all,
    take,
    take_one,
)

EXAMPLES: Final[Mapping[type, Transition]] = {
    type(event): event
    for event in (
        Due(),
        Claimed(),
        Succeeded(b"1", "a/b"),
        Failed("no", NOW + 9),
        Exhausted("no"),
        Rejected("no"),
        Revoked(),
        Snoozed(NOW + 9),
        Released(),
        Crashed(),
        Cancelled(),
        Expired(),
        Aggregated(),
        RunNow(),
        Archived(),
        Discarded(),
        BroughtBack(),
        Deleted(),
        Rescheduled(NOW + 9),
        updated(priority=7),
    )
}

VARIETIES: Final[Mapping[type, tuple[NewTask, ...]]] = {
    Due: (a_task(), a_task(group="g")),
    Succeeded: (a_task(), a_task(retention=0.5)),
    Crashed: (a_task(max_crashes=2), a_task(max_crashes=1)),
}
"""For a fork, a task that goes one way and a task that goes the other."""


def _of_a_group(state: object, _event: object, spec: object) -> bool:
    return state is State.AGGREGATING or (isinstance(spec, NewTask) and spec.group is not None)


CELLS: Final = [
    pytest.param(state, EXAMPLES[kind], spec, id=f"{state}-{kind.__name__}-{n}")
    for state, row in MOVES.items()
    for kind, cell in row.items()
    if kind is not Aggregated  # made by a worker of groups, not by one call of the port
    for n, spec in enumerate(VARIETIES[kind] if isinstance(cell, Fork) else (a_task(),))
]

PLAIN: Final = [cell for cell in CELLS if not _of_a_group(*cell.values)]
GROUPED: Final = [cell for cell in CELLS if cell not in PLAIN]

Apply: TypeAlias = Callable[[Broker, NewTask, Transition], Awaitable[object]]


async def _due(broker: Broker, task: NewTask, _: Transition) -> None:
    # a demand whose whole room a higher priority fills, so that what is due stays pending
    await put(broker, a_task(queue=task.queue, priority=1000))
    await take_one(broker, task.queue, now=LATER)


async def _claimed(broker: Broker, task: NewTask, _: Transition) -> None:
    await take(broker, 1, task.queue)


async def _expired(broker: Broker, task: NewTask, _: Transition) -> None:
    await sweep_all(broker, task.queue, now=NOW + 3_600)


async def _ordered(broker: Broker, task: NewTask, event: Transition) -> None:
    assert isinstance(event, Command)
    await broker.execute(task.queue, [task.id], event, now=NOW)


_WAYS: Final[Mapping[type, Apply]] = {
    Due: _due,
    Claimed: _claimed,
    Expired: _expired,
    RunNow: _ordered,
    Archived: _ordered,
    Discarded: _ordered,
    BroughtBack: _ordered,
    Cancelled: _ordered,
    Deleted: _ordered,
    Rescheduled: _ordered,
    Updated: _ordered,
}
"""How the port lets an event happen, where it is no verdict."""


class TableCases(Cases):
    """Cell by cell."""

    # - The new state is `advance(task, outcome)`.

    @pytest.mark.parametrize(("state", "event", "spec"), PLAIN)
    async def test_every_cell_leads_where_the_table_says(
        self, broker: Broker, state: State, event: Transition, spec: NewTask
    ) -> None:
        """A task of a state to which an event happens is then in the state of the table's cell."""
        if isinstance(event, Expired):
            spec = evolve(spec, expires=NOW + 3_600)
        if state is State.ACTIVE:
            await _settles(broker, spec, event)
        else:
            await _leads(broker, state, event, spec)

    @pytest.mark.parametrize("most", [1, 2])
    async def test_a_crash_found_by_a_sweep_leads_where_the_table_says(
        self, broker: Broker, most: int
    ) -> None:
        """A lease that ran out is the same event as a worker's own word of it."""
        claim = await a_claimed(broker, a_task(max_crashes=most))
        await sweep_all(broker, now=NOW + LEASE)
        assert (await stored_task(broker, claim.task.spec)).state is advance(claim.task, Crashed())


class GroupTableCases(Cases):
    """The cells of tasks that have a group."""

    @pytest.mark.parametrize(("state", "event", "spec"), GROUPED)
    async def test_every_cell_of_a_group_leads_where_the_table_says(
        self, broker: Broker, state: State, event: Transition, spec: NewTask
    ) -> None:
        """A task that has a group aggregates when it is due, and obeys orders while it does."""
        await _leads(broker, state, event, spec)


async def _leads(broker: Broker, state: State, event: Transition, spec: NewTask) -> None:
    task = await bring_to(broker, state, spec)
    expected = advance(await stored_task(broker, task), event)
    await _WAYS[type(event)](broker, task, event)
    found = await find_task(broker, task)
    assert (State.GONE if found is None else found.state) is expected


async def _settles(broker: Broker, spec: NewTask, event: Transition) -> None:
    claim = await a_claimed(broker, spec)
    expected = advance(claim.task, event)
    answers = await broker.settle([Verdict(claim.lease, event)], now=NOW)
    assert [getattr(answer, "state", None) for answer in answers] == [expected]
    found = await find_task(broker, claim.task.spec)
    assert (State.GONE if found is None else found.state) is expected
