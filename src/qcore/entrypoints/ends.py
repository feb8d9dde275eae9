"""Look for tasks that have ended without a verdict, for end hooks to be told of them.

They have expired, an operator has cancelled or archived them, or they were taken back from a lost
worker for the last time. All of them stay stored, as archived or dead. A periodic task looks at
what has ended since the last look; the moment up to which it has looked is its result, so that
none is left out when workers stop. What a worker has told of already it finds as well: the task of
a hook has an id that follows from the end, and is stored once.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

from qcore.app.client.client import Client
from qcore.app.client.inspector import Inspector
from qcore.app.tasks.context import Context
from qcore.app.tasks.ends import LOOK, ended
from qcore.app.tasks.router import Router
from qcore.app.worker.ends import EndTasks
from qcore.domain.backoff import fixed
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.domain.task_error import DISCARDED, MOVING
from qcore.entrypoints.last_results import LastResults
from qcore.ports import Clock

EVERY: Final = 15.0
"""Seconds between two looks."""
OVERLAP: Final = 60.0
"""Seconds by which a look goes back behind the one before: clocks differ, and writes take time."""
KEPT: Final = timedelta(days=30)
"""For how long it is known up to where was looked, when nothing can look."""
PAGE: Final = 100
TIMEOUT: Final = timedelta(minutes=5)


class Look:
    """What a look needs of a queue, whose broker and clock may be swapped."""

    def __init__(self, q: Any) -> None:
        self._q = q

    async def __call__(self, ctx: Context) -> float:
        """Look once; return up to when that was."""
        q = self._q
        client: Client = q.client
        clock: Clock = q.clock
        inspector: Inspector = q.inspector
        now = clock.now()
        results = LastResults(inspector, client, ctx.queue, LOOK)
        last = await results.last()
        # the first look of all tells of nothing that ended before there was a hook
        since = now - EVERY if last is None else float(last) - OVERLAP
        ends = EndTasks(q.node, client, clock)
        async for task in self._ended(inspector, since):
            await self._tell(client, ends, task, now)
        await results.trim(now)
        return now

    async def _ended(self, inspector: Inspector, since: Moment) -> AsyncIterator[Task]:
        """Yield the tasks that were archived or dead since a moment."""
        for queue, states in (await inspector.counts()).items():
            for state in (State.ARCHIVED, State.DEAD):
                if state not in states:
                    continue
                cursor: str | None = None
                while True:
                    page = await inspector.browse(queue, state, limit=PAGE, cursor=cursor)
                    new = [each for each in page.tasks if (each.finished or 0.0) >= since]
                    for task in new:
                        yield task
                    cursor = page.cursor
                    if cursor is None or len(new) < len(page.tasks):
                        break

    async def _tell(self, client: Client, ends: EndTasks, task: Task, now: Moment) -> None:
        error = task.error or ""
        if error.startswith((DISCARDED, MOVING)):
            # set aside for now, or on its way to another queue: it has not ended
            return
        end = ended(task, task.state, task.finished or now, task.error)
        made: list[NewTask] = ends.of(end, task, now)
        if made:
            await client.enqueue_many(made)


def look_for_ends(q: Any) -> None:
    """Have a queue with end hooks look for ends, unless it does."""
    router: Router = q
    if router.node.handlers.get(LOOK) is not None:
        return

    look = Look(q)

    @router.every(EVERY, overlap="skip", name=LOOK)
    @router.task(LOOK, retention=KEPT, retry=fixed(EVERY), timeout=TIMEOUT, max_retry=3)
    async def looks(ctx: Context) -> float:
        return await look(ctx)

    looks.is_heard = False
