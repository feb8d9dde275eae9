"""Look at tasks, and give orders about them: what the command line and a dashboard ask."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from math import inf
from typing import Final, Required, TypedDict, Unpack, cast

from qcore.domain.errors import InvalidOption
from qcore.domain.flow import Limits, Rate, Rule, SetInFlight, SetPaused, SetRate
from qcore.domain.lifecycle import Archived, Cancelled, Deleted, Order, RunNow, State
from qcore.domain.moments import Duration, seconds_of
from qcore.domain.task import Missing, Moved, NotAllowed, Task, TaskId
from qcore.ports import Broker, Capability, Clock, Counts, Page, Regulator

AT_ONCE: Final = 500
"""Tasks that are looked at, and moved, in one step."""


class Which(TypedDict, total=False):
    """Which tasks are meant: those of which all that is given is true."""

    state: Required[State]
    queue: str
    """All queues, if it is not given."""
    name: str
    """The task's name, or, ending in ":", what it begins with."""
    older_than: Duration
    """How long ago, at least, it was enqueued."""


class Inspector:
    """Ask a broker what it holds, and move tasks by hand."""

    def __init__(self, broker: Broker, *, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock
        self._is_open = False

    async def counts(self) -> Counts:
        """Return queue to state to number of tasks; states with none are left out."""
        return await self._broker.count()

    async def totals(self) -> Mapping[State, int]:
        """Return state to number of tasks over all queues."""
        totals: dict[State, int] = {}
        for states in (await self._broker.count()).values():
            for state, number in states.items():
                totals[state] = totals.get(state, 0) + number
        return totals

    async def get(self, queue: str, task: TaskId) -> Task | None:
        """Return a task as it is, None when it is not stored."""
        return (await self._broker.get(queue, [task]))[0]

    async def browse(
        self, queue: str, state: State, *, limit: int = 100, cursor: str | None = None
    ) -> Page:
        """Return tasks of one queue and state; the page's cursor asks for the next ones."""
        return await self._broker.browse(queue, state, limit, cursor=cursor)

    async def run_now(
        self, queue: str, tasks: Sequence[TaskId]
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Make tasks pending at once, with fresh budgets."""
        return await self._order(queue, tasks, RunNow())

    async def archive(
        self, queue: str, tasks: Sequence[TaskId]
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Set tasks aside."""
        return await self._order(queue, tasks, Archived())

    async def cancel(
        self, queue: str, tasks: Sequence[TaskId]
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """End tasks as dead; one that runs loses its lease, and its handler is cancelled."""
        return await self._order(queue, tasks, Cancelled())

    async def delete(
        self, queue: str, tasks: Sequence[TaskId]
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Remove tasks that nobody runs."""
        return await self._order(queue, tasks, Deleted())

    async def pause(self, queue: str) -> Limits:
        """Hand out nothing of a queue to any worker; what runs goes on. Return its limits."""
        return await self._regulate(queue, SetPaused(is_paused=True))

    async def resume(self, queue: str) -> Limits:
        """Hand out the tasks of a queue again; return its limits."""
        return await self._regulate(queue, SetPaused(is_paused=False))

    async def limit_rate(self, queue: str, rate: str | Rate | None) -> Limits:
        """Start no more of a queue's tasks than so many in a time, over all workers.

        `rate` is such as "100/min" (see `Rate.of`), None for no limit. Returns the queue's limits.
        """
        return await self._regulate(queue, SetRate(None if rate is None else Rate.of(rate)))

    async def limit_in_flight(self, queue: str, most: int | None) -> Limits:
        """Run no more of a queue's tasks at a time, over all workers; None for no limit."""
        return await self._regulate(queue, SetInFlight(most))

    async def limits(self, queue: str) -> Limits:
        """Return what holds for a queue."""
        return (await self._regulator().limits([queue]))[0]

    async def run_all(self, **which: Unpack[Which]) -> int:
        """Make all of some tasks pending at once; return how many."""
        return await self._order_all(RunNow(), which)

    async def archive_all(self, **which: Unpack[Which]) -> int:
        """Set all of some tasks aside; return how many."""
        return await self._order_all(Archived(), which)

    async def cancel_all(self, **which: Unpack[Which]) -> int:
        """End all of some tasks as dead; return how many. One that has begun meanwhile ends too."""
        return await self._order_all(Cancelled(), which)

    async def delete_all(self, **which: Unpack[Which]) -> int:
        """Remove all of some tasks that nobody runs; return how many."""
        return await self._order_all(Deleted(), which)

    async def _order_all(self, order: Order, which: Which) -> int:
        moved = 0
        async for queue, tasks in self._found(which):
            answers = await self._order(queue, [task.id for task in tasks], order)
            moved += sum(isinstance(answer, Moved) for answer in answers)
        return moved

    async def _found(self, which: Which) -> AsyncIterator[tuple[str, Sequence[Task]]]:
        """Yield tasks that are as asked for, no more at once than one step of the store moves."""
        fits = await self._filter(which)
        queue = which.get("queue")
        queues = [*await self._broker.count()] if queue is None else [queue]
        for name in queues:
            cursor: str | None = None
            while True:
                page = await self._broker.browse(name, which["state"], AT_ONCE, cursor=cursor)
                if tasks := [task for task in page.tasks if fits(task)]:
                    yield name, tasks
                if (cursor := page.cursor) is None:
                    break

    async def _filter(self, which: Which) -> Callable[[Task], bool]:
        unknown = which.keys() - Which.__annotations__.keys()
        if unknown or "state" not in which:
            raise InvalidOption(
                f"which tasks is {dict(which)!r}: expected state=…, and perhaps "
                "queue=…, name=… and older_than=…"
            )
        name, age = which.get("name"), which.get("older_than")
        await self._open()
        before = inf if age is None else self._clock.now() - seconds_of(age, "older_than")

        def fits(task: Task) -> bool:
            return task.created <= before and (name is None or _is_named(task.name, name))

        return fits

    async def _regulate(self, queue: str, rule: Rule) -> Limits:
        await self._open()
        return await self._regulator().regulate(queue, rule, now=self._clock.now())

    def _regulator(self) -> Regulator:
        if Capability.FLOW not in self._broker.capabilities:
            raise InvalidOption("this broker cannot limit a queue")
        return cast("Regulator", self._broker)

    async def _open(self) -> None:
        if not self._is_open:
            # before the clock is read: the time may be the store's, and is known from then on
            await self._broker.open()
            self._is_open = True

    async def _order(
        self, queue: str, tasks: Sequence[TaskId], order: Order
    ) -> Sequence[Moved | NotAllowed | Missing]:
        await self._open()
        return await self._broker.order(queue, tasks, order, now=self._clock.now())


def _is_named(task: str, name: str) -> bool:
    return task.startswith(name) if name.endswith(":") else task == name
