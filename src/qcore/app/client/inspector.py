"""The inspector: read tasks and queues, and move tasks by hand, one or many."""

from typing import Final

from qcore.app.client.auditing import Attribution
from qcore.app.client.commanding_inspector import BATCH, CommandingInspector
from qcore.app.client.selection import one_queue
from qcore.domain.answers import QueueNotEmpty, QueueRemoved
from qcore.domain.errors import InvalidOption, QueueHasTasks
from qcore.domain.new_task import FIELDS
from qcore.domain.periodic.changes import EntryChange
from qcore.domain.queue_limits import LimitChange, Limits, Rate, SetInFlight, SetPaused, SetRate
from qcore.domain.states import State
from qcore.domain.text import shown
from qcore.ports import periodic_of

REMOVALS: Final = 10
"""How often a queue is emptied, as tasks may come meanwhile, before its removal is given up."""


class Inspector(CommandingInspector):
    """Ask a broker what it holds, and move tasks by hand."""

    async def pause(
        self, queue: str, *, by: str | None = None, reason: str | None = None
    ) -> Limits:
        """Hand out nothing of a queue to any worker; what runs goes on. Return its limits."""
        return await self._set_limit("pause queue", queue, SetPaused(is_paused=True), by, reason)

    async def resume(
        self, queue: str, *, by: str | None = None, reason: str | None = None
    ) -> Limits:
        """Hand out the tasks of a queue again; return its limits."""
        return await self._set_limit("resume queue", queue, SetPaused(is_paused=False), by, reason)

    async def limit_rate(
        self,
        queue: str,
        rate: str | Rate | None,
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> Limits:
        """Start no more of a queue's tasks than so many in a time, over all workers.

        `rate` is such as "100/min" (see `Rate.of`), None for no limit. Returns the queue's limits.
        """
        rule = SetRate(None if rate is None else Rate.of(rate))
        return await self._set_limit("limit rate", queue, rule, by, reason)

    async def limit_in_flight(
        self,
        queue: str,
        most: int | None,
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> Limits:
        """Run no more of a queue's tasks at a time, over all workers; None for no limit."""
        return await self._set_limit("limit in flight", queue, SetInFlight(most), by, reason)

    async def remove_queue(
        self,
        queue: str,
        *,
        force: bool = False,
        by: str | None = None,
        reason: str | None = None,
    ) -> int:
        """Remove a queue and all that is kept of it; return how many tasks were deleted with it.

        Raises `QueueHasTasks` if it has any, or entries of periodic tasks, unless with `force`:
        then the entries are removed, the tasks that run are cancelled, and all are deleted. Whoever
        enqueues into it later makes it anew.
        """
        queue = one_queue(queue)
        if not isinstance(force, bool):
            raise InvalidOption(f"force is {shown(force)}: expected True or False")
        who = self._auditor.attribution(by, reason)
        await self._open()
        deleted = 0
        left = QueueNotEmpty(0)
        for _ in range(REMOVALS if force else 1):
            if force:
                deleted += await self._empty(queue, who)
            now = self._clock.now()
            answer = await self._broker.remove_queue(queue, now=now)
            if isinstance(answer, QueueRemoved):
                self._auditor.tell(who, "remove queue", queue, now)
                return deleted
            left = answer
        advice = "it keeps getting more: stop who enqueues" if force else "force=True deletes them"
        held = f"{left.tasks:,} tasks"
        if left.entries:
            held += f" and {left.entries:,} periodic ones"
        raise QueueHasTasks(f"the queue {queue!r} has {held}: {advice}")

    async def _empty(self, queue: str, who: Attribution) -> int:
        """Delete all tasks of a queue, its entries first; return how many."""
        await self._remove_entries(queue)
        await self.cancel_all(queue=queue, state=State.ACTIVE, by=who.by, reason=who.reason)
        states = [state for state in State if state is not State.GONE]
        return sum(
            [
                await self.delete_all(queue=queue, state=state, by=who.by, reason=who.reason)
                for state in states
            ]
        )

    async def _remove_entries(self, queue: str) -> None:
        periodic = periodic_of(self._broker)
        if periodic is None:
            return
        last = ""
        while found := await periodic.browse_entries(queue, BATCH, after=last):
            changes = [EntryChange(queue, each.id, each.revision, None) for each in found]
            await periodic.write_entries(changes, now=self._clock.now())
            last = found[-1].id

    async def _set_limit(
        self, action: str, queue: str, rule: LimitChange, by: str | None, reason: str | None
    ) -> Limits:
        # no task can be in a queue of another name, and an import would refuse its limits
        FIELDS["queue"].check("queue", queue := one_queue(queue))
        who = self._auditor.attribution(by, reason)
        await self._open()
        now = self._clock.now()
        limits = await self._limiting().set_limit(queue, rule, now=now)
        self._auditor.tell(who, action, queue, now, detail=_detail(rule))
        return limits


def _detail(rule: LimitChange) -> str:
    match rule:
        case SetRate(None) | SetInFlight(None):
            return "none"
        case SetRate(Rate(count, per)):
            return f"{count} in {per:g} s"
        case SetInFlight(most):
            return str(most)
        case _:
            return ""
