"""The inspector: read tasks and queues, and move tasks by hand, one or many."""

from typing import Final

from qcore.app.client.commanding_inspector import BATCH, CommandingInspector
from qcore.app.client.selection import one_queue
from qcore.domain.answers import QueueNotEmpty, QueueRemoved
from qcore.domain.errors import InvalidOption, QueueHasTasks
from qcore.domain.lifecycle import State
from qcore.domain.periodic.changes import EntryChange
from qcore.domain.queue_limits import LimitChange, Limits, Rate, SetInFlight, SetPaused, SetRate
from qcore.domain.text import shown
from qcore.ports import periodic_of

REMOVALS: Final = 10
"""How often a queue is emptied, as tasks may come meanwhile, before its removal is given up."""


class Inspector(CommandingInspector):
    """Ask a broker what it holds, and move tasks by hand."""

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

    async def _set_limit(self, queue: str, rule: LimitChange) -> Limits:
        queue = one_queue(queue)
        await self._open()
        return await self._limiting().set_limit(queue, rule, now=self._clock.now())
