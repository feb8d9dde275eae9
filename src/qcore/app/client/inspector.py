"""The inspector: read tasks and queues, and move tasks by hand, one or many."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from math import inf, nextafter
from typing import Final, Literal, Unpack

from qcore.app.calls.options import Changes
from qcore.app.client.changes import changes_of, keep_chain, own_changes, reschedule_to
from qcore.app.client.query_inspector import QueryInspector
from qcore.app.client.selection import (
    TaskFilter,
    checked_filter,
    one_id,
    one_name,
    one_queue,
    page_cursor,
    page_size,
    predicate_of,
    several_ids,
)
from qcore.app.client.waiting import Hindrance, hindrances, knowing
from qcore.domain.answers import Missing, Moved, NotAllowed, QueueNotEmpty, QueueRemoved
from qcore.domain.errors import InvalidOption, QueueHasTasks
from qcore.domain.lifecycle import (
    Archived,
    Cancelled,
    Command,
    Deleted,
    RunNow,
    State,
    Updated,
    state_of,
)
from qcore.domain.moments import Duration, Moment, moment_of, seconds_of
from qcore.domain.new_task import TaskId
from qcore.domain.periodic.changes import EntryChange
from qcore.domain.queue_limits import (
    NO_LIMITS,
    LimitChange,
    Limits,
    Rate,
    SetInFlight,
    SetPaused,
    SetRate,
)
from qcore.domain.run_details import Details
from qcore.domain.statistics import Resolution, StatisticsRow
from qcore.domain.task import Task, changed
from qcore.domain.text import shown
from qcore.domain.workers import WorkerInfo
from qcore.ports import (
    Counts,
    Limiting,
    Page,
    WorkerRegistry,
    limiting_of,
    periodic_of,
    recording_of,
    worker_registry_of,
)

BATCH: Final = 500
"""Tasks that are read, and moved, in one call to the broker."""
LAST_HOUR: Final = timedelta(hours=1)
REMOVALS: Final = 10
"""How often a queue is emptied, as tasks may come meanwhile, before its removal is given up."""
A_MOMENT: Final = 0.001
"""Seconds."""
WAITING: Final = frozenset({State.PENDING, State.SCHEDULED, State.RETRY, State.AGGREGATING})
"""The states of tasks that are yet to be run."""


class Inspector(QueryInspector):
    """Ask a broker what it holds, and move tasks by hand."""

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
        return (await self._broker.get(one_queue(queue), [one_id(task)]))[0]

    async def details(self, queue: str, task: TaskId) -> Details | None:
        """Return errors, progress and saved work of a task, None when it is not stored."""
        return (await self._broker.details(one_queue(queue), [one_id(task)]))[0]

    async def browse(
        self, queue: str, state: State, *, limit: int = 100, cursor: str | None = None
    ) -> Page:
        """Return tasks of one queue and state; the page's cursor asks for the next ones."""
        return await self._broker.browse(
            one_queue(queue), state_of(state), page_size(limit), cursor=page_cursor(cursor)
        )

    async def workers(
        self, *, queue: str | None = None, name: str | None = None
    ) -> Sequence[WorkerInfo]:
        """Return the workers that are there, those that were started first before the others.

        With `queue` those that serve it, with `name` those that know tasks of that name: where
        there are none, such tasks wait for ever. One that was killed is listed for up to 15 seconds
        more; `condition(now)` says how each is. Raises `InvalidOption` where the broker lists none.
        """
        queue = None if queue is None else one_queue(queue)
        name = None if name is None else one_name(name)
        await self._open()
        return knowing(await self._registry().workers(now=self._clock.now()), queue, name)

    async def unserved_queues(self) -> Mapping[str, int]:
        """Return the queues that no worker serves, with how many tasks wait in each.

        Raises `InvalidOption` where the broker does not list workers.
        """
        served = {queue for worker in await self.workers() for queue in worker.queues}
        waiting = {
            queue: sum(number for state, number in states.items() if state in WAITING)
            for queue, states in (await self._broker.count()).items()
        }
        return {queue: n for queue, n in waiting.items() if n and queue not in served}

    async def why_waiting(self, queue: str, task: TaskId) -> Sequence[Hindrance] | None:
        """Return what keeps a task from being run, None when it is not stored.

        Nothing where it runs, or where its turn will come: tasks before it, and a rate of its
        queue, are not told.
        """
        found = await self.get(queue, task)
        if found is None:
            return None
        await self._open()
        now, registry = self._clock.now(), worker_registry_of(self._broker)
        return hindrances(
            found,
            now,
            workers=None if registry is None else await registry.workers(now=now),
            limits=NO_LIMITS if limiting_of(self._broker) is None else await self.limits(queue),
            active=(await self._broker.count()).get(queue, {}).get(State.ACTIVE, 0),
        )

    async def statistics(
        self,
        queue: str | None = None,
        *,
        since: datetime | Moment | timedelta = LAST_HOUR,
        until: datetime | Moment | None = None,
        by: Resolution | Literal["minute", "day"] | None = None,
    ) -> Sequence[StatisticsRow]:
        """Return what ended in a queue, or in all, by period and task name, the oldest first.

        `since` and `until` are aware datetimes or epoch seconds, `until` now if it is not given; a
        timedelta is so long before that. Periods are minutes, which are kept for three hours, or
        days, in UTC, which are kept for 90; unless `by` says so, minutes where all that is asked
        for is kept by them. `merged` and `totals` of `qcore.statistics` add rows up. Raises
        `InvalidOption` where the broker does not count what ends.
        """
        recording = recording_of(self._broker)
        if recording is None:
            raise InvalidOption("this broker does not count what ends")
        await self._open()
        now = self._clock.now()
        end = now if until is None else moment_of(until, "until")
        long_ago = isinstance(since, timedelta)
        begin = end - seconds_of(since, "since") if long_ago else moment_of(since, "since")
        if begin >= end:
            raise InvalidOption(f"since is {since!r}: expected a moment before until")
        return await recording.statistics(
            None if queue is None else [one_queue(queue)],
            since=begin,
            # the period that begins at this very moment is one of them
            until=nextafter(end, inf) if until is None else end,
            resolution=_finest(begin, now) if by is None else Resolution.of(by),
        )

    async def run_now(
        self, queue: str, tasks: Sequence[TaskId]
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Make tasks pending at once, with fresh budgets."""
        return await self._execute(queue, tasks, RunNow())

    async def archive(
        self, queue: str, tasks: Sequence[TaskId]
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Archive tasks: they are kept, and do not run."""
        return await self._execute(queue, tasks, Archived())

    async def cancel(
        self, queue: str, tasks: Sequence[TaskId]
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """End tasks as dead; one that runs loses its lease, and its handler is cancelled."""
        return await self._execute(queue, tasks, Cancelled())

    async def delete(
        self, queue: str, tasks: Sequence[TaskId]
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Remove tasks that nobody runs."""
        return await self._execute(queue, tasks, Deleted())

    async def reschedule(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        at: datetime | Moment | None = None,
        delay: Duration | None = None,
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Make tasks due at a moment, or after a delay, earlier or later than they were."""
        queue, tasks = one_queue(queue), several_ids(tasks)
        await self._open()
        return await self._execute(queue, tasks, reschedule_to(at, delay, self._clock.now()))

    async def update(
        self, queue: str, tasks: Sequence[TaskId], **changes: Unpack[Changes]
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Change options of tasks that do not run, and leave them where they are.

        Raises `InvalidTask` for a value that is wrong. For new arguments see `Handle.update`.
        """
        queue, tasks, changes = one_queue(queue), several_ids(tasks), own_changes(changes)
        await self._open()
        command = changes_of(changes, self._clock.now())
        if "headers" not in changes:
            return await self._execute(queue, tasks, command)
        answers: list[Moved | NotAllowed | Missing] = []
        for each, task in zip(tasks, await self._broker.get(queue, tasks), strict=True):
            own = command if task is None else keep_chain(command, task.spec)
            answers += await self._execute(queue, [each], own)
        return answers

    async def pause(self, queue: str) -> Limits:
        """Hand out nothing of a queue to any worker; what runs goes on. Return its limits."""
        return await self._set_limit(queue, SetPaused(is_paused=True))

    async def resume(self, queue: str) -> Limits:
        """Hand out the tasks of a queue again; return its limits."""
        return await self._set_limit(queue, SetPaused(is_paused=False))

    async def limit_rate(self, queue: str, rate: str | Rate | None) -> Limits:
        """Start no more of a queue's tasks than so many in a time, over all workers.

        `rate` is such as "100/min" (see `Rate.of`), None for no limit. Returns the queue's limits.
        """
        return await self._set_limit(queue, SetRate(None if rate is None else Rate.of(rate)))

    async def limit_in_flight(self, queue: str, most: int | None) -> Limits:
        """Run no more of a queue's tasks at a time, over all workers; None for no limit."""
        return await self._set_limit(queue, SetInFlight(most))

    async def limits(self, queue: str) -> Limits:
        """Return the limits of a queue."""
        return (await self._limiting().limits([one_queue(queue)]))[0]

    async def remove_queue(self, queue: str, *, force: bool = False) -> int:
        """Remove a queue and all that is kept of it; return how many tasks were deleted with it.

        Raises `QueueHasTasks` if it has any, or entries of periodic tasks, unless with `force`:
        then the entries are removed, the tasks that run are cancelled, and all are deleted. Whoever
        enqueues into it later makes it anew.
        """
        queue = one_queue(queue)
        if not isinstance(force, bool):
            raise InvalidOption(f"force is {shown(force)}: expected True or False")
        await self._open()
        deleted = 0
        left = QueueNotEmpty(0)
        for _ in range(REMOVALS if force else 1):
            if force:
                deleted += await self._empty(queue)
            answer = await self._broker.remove_queue(queue, now=self._clock.now())
            if isinstance(answer, QueueRemoved):
                return deleted
            left = answer
        advice = "it keeps getting more: stop who enqueues" if force else "force=True deletes them"
        held = f"{left.tasks:,} tasks"
        if left.entries:
            held += f" and {left.entries:,} periodic ones"
        raise QueueHasTasks(f"the queue {queue!r} has {held}: {advice}")

    async def _empty(self, queue: str) -> int:
        """Delete all tasks of a queue, its entries first; return how many."""
        await self._remove_entries(queue)
        await self.cancel_all(queue=queue, state=State.ACTIVE)
        states = [state for state in State if state is not State.GONE]
        return sum([await self.delete_all(queue=queue, state=state) for state in states])

    async def _remove_entries(self, queue: str) -> None:
        periodic = periodic_of(self._broker)
        if periodic is None:
            return
        last = ""
        while found := await periodic.browse_entries(queue, BATCH, after=last):
            changes = [EntryChange(queue, each.id, each.revision, None) for each in found]
            await periodic.write_entries(changes, now=self._clock.now())
            last = found[-1].id

    async def run_all(self, **selected: Unpack[TaskFilter]) -> int:
        """Make all selected tasks pending at once; return how many."""
        return await self._execute_all(RunNow(), selected)

    async def archive_all(self, **selected: Unpack[TaskFilter]) -> int:
        """Archive all selected tasks; return how many."""
        return await self._execute_all(Archived(), selected)

    async def cancel_all(self, **selected: Unpack[TaskFilter]) -> int:
        """Cancel all selected tasks; return how many. One that began to run meanwhile ends too."""
        return await self._execute_all(Cancelled(), selected)

    async def delete_all(self, **selected: Unpack[TaskFilter]) -> int:
        """Delete all selected tasks that do not run; return how many."""
        return await self._execute_all(Deleted(), selected)

    async def reschedule_all(
        self,
        *,
        at: datetime | Moment | None = None,
        delay: Duration | None = None,
        **selected: Unpack[TaskFilter],
    ) -> int:
        """Make all selected tasks due at a moment, or after a delay; return how many were moved."""
        selected = checked_filter(selected)
        await self._open()
        command = reschedule_to(at, delay, self._clock.now())
        waits = selected["state"] in {State.SCHEDULED, State.RETRY}
        # a task that was moved may come again on a later page
        return await self._execute_all(
            command, selected, lambda t: waits and _is_due(t, command.at)
        )

    async def update_all(self, changes: Changes, **selected: Unpack[TaskFilter]) -> int:
        """Change options of all selected tasks that do not run; return how many were changed.

        `changes` are as those of `update`: `update_all({"priority": 5}, state=…)`.
        """
        selected, changes = checked_filter(selected), own_changes(changes)
        await self._open()
        command = changes_of(changes, self._clock.now())
        return await self._execute_all(command, selected, lambda t: _is_as(t, command))

    async def _execute_all(
        self,
        command: Command,
        selected: TaskFilter,
        is_done: Callable[[Task], bool] = lambda _: False,
    ) -> int:
        moved = 0
        async for queue, found in self._found(selected):
            tasks = [task for task in found if not is_done(task)]
            for part, ids in _parts(command, tasks):
                answers = await self._execute(queue, ids, part)
                moved += sum(isinstance(answer, Moved) for answer in answers)
        return moved

    async def _found(self, selected: TaskFilter) -> AsyncIterator[tuple[str, Sequence[Task]]]:
        """Yield the selected tasks, in batches of at most what one call moves."""
        selected = checked_filter(selected)
        await self._open()
        fits = predicate_of(selected, self._clock.now())
        queue = selected.get("queue")
        queues = [*await self._broker.count()] if queue is None else [queue]
        for name in queues:
            cursor: str | None = None
            while True:
                page = await self._broker.browse(name, selected["state"], BATCH, cursor=cursor)
                if tasks := [task for task in page.tasks if fits(task)]:
                    yield name, tasks
                if (cursor := page.cursor) is None:
                    break

    async def _set_limit(self, queue: str, rule: LimitChange) -> Limits:
        queue = one_queue(queue)
        await self._open()
        return await self._limiting().set_limit(queue, rule, now=self._clock.now())

    def _registry(self) -> WorkerRegistry:
        registry = worker_registry_of(self._broker)
        if registry is None:
            raise InvalidOption("this broker does not list workers")
        return registry

    def _limiting(self) -> Limiting:
        limiting = limiting_of(self._broker)
        if limiting is None:
            raise InvalidOption("this broker cannot limit a queue")
        return limiting

    async def _execute(
        self, queue: str, tasks: Sequence[TaskId], command: Command
    ) -> Sequence[Moved | NotAllowed | Missing]:
        queue, ids = one_queue(queue), several_ids(tasks)
        await self._open()
        return await self._broker.execute(queue, ids, command, now=self._clock.now())


def _finest(since: Moment, now: Moment) -> Resolution:
    """Return the finest resolution in which all is kept that has ended since a moment."""
    return Resolution.MINUTE if now - since <= Resolution.MINUTE.kept else Resolution.DAY


def _parts(command: Command, tasks: Sequence[Task]) -> Sequence[tuple[Command, Sequence[TaskId]]]:
    """Return commands and their tasks: one for all, and its own for each task of a chain."""
    if not isinstance(command, Updated):
        return [(command, [task.id for task in tasks])] if tasks else []
    own = [(keep_chain(command, task.spec), task.id) for task in tasks]
    plain = [task for each, task in own if each is command]
    parts: list[tuple[Command, Sequence[TaskId]]] = [(command, plain)] if plain else []
    return parts + [(each, [task]) for each, task in own if each is not command]


def _is_due(task: Task, moment: Moment) -> bool:
    # a store may keep no more than milliseconds
    return abs(task.due - moment) < A_MOMENT


def _is_as(task: Task, command: Updated) -> bool:
    return changed(task.spec, keep_chain(command, task.spec)) == task.spec
