"""`EndedTasks`: what the claims of a broker have ended, until somebody asks for it."""

from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

from qcore.domain.answers import MAX_SWEPT_TASKS, Swept, SweptTask, UnreadableTask
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.domain.transitions import Expired

MAX_KEPT: Final = 16
"""Claims whose ended tasks are kept while nobody asks."""


class EndedTasks:
    """Tasks that claims ended instead of handing them out: a `Swept` for each such claim.

    Thread-safe without a lock: a deque is appended to, and popped from, in one step.
    """

    def __init__(self) -> None:
        self._claims: deque[Swept] = deque(maxlen=MAX_KEPT)

    def add(self, tasks: Sequence[SweptTask]) -> None:
        """Keep what one claim has ended, if it has ended any."""
        if tasks:
            kinds = Counter(type(task.transition) for task in tasks)
            named = (*islice(tasks, MAX_SWEPT_TASKS),)
            self._claims.append(
                Swept(expired=kinds[Expired], unreadable=kinds[UnreadableTask], tasks=named)
            )

    def take(self) -> Sequence[Swept]:
        """Return what is kept, the oldest first, and forget it."""
        if not self._claims:
            return ()
        taken: list[Swept] = []
        # another thread may take the last at the same time
        with suppress(IndexError):
            while True:
                taken.append(self._claims.popleft())
        return taken


def unreadable_task(task: Task, error: str) -> SweptTask:
    """Return a task that is dead as it could not be read, given what of it can be."""
    name = task.spec.name or None
    return SweptTask(task.queue, task.id, State.DEAD, UnreadableTask(error), name, task.attempts)
