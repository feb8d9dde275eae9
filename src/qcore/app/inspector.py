"""Look at tasks, and give orders about them: what the command line and a dashboard ask."""

from collections.abc import Mapping, Sequence

from qcore.domain.lifecycle import Archived, Cancelled, Deleted, Order, RunNow, State
from qcore.domain.task import Missing, Moved, NotAllowed, Task, TaskId
from qcore.ports import Broker, Clock, Counts, Page


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

    async def _order(
        self, queue: str, tasks: Sequence[TaskId], order: Order
    ) -> Sequence[Moved | NotAllowed | Missing]:
        if not self._is_open:
            # before the clock is read: the time may be the store's, and is known from then on
            await self._broker.open()
            self._is_open = True
        return await self._broker.order(queue, tasks, order, now=self._clock.now())
