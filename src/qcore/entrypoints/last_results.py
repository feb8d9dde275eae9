"""What each task of a periodic entry leaves to the next one: its result."""

from collections.abc import Sequence
from typing import Any, Final

from qcore.app.client.client import Client
from qcore.app.client.inspector import Inspector
from qcore.app.client.queries import Query
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.states import State
from qcore.domain.transitions import Deleted

KEPT: Final = 20
"""Results that are kept, as many as the history of a periodic task has."""
LISTED: Final = 100


class LastResults:
    """The results of the tasks of a name in a queue that have ended well, the last one first."""

    def __init__(self, inspector: Inspector, client: Client, queue: str, name: str) -> None:
        self._inspector = inspector
        self._client = client
        self._queue = queue
        self._name = name
        self._ids: Sequence[TaskId] = ()

    async def last(self) -> Any:
        """Return the last result; None where there is none."""
        query = Query.where(queue=self._queue, state=State.COMPLETED, name=self._name)
        found = await self._inspector.tasks(query, limit=LISTED)
        self._ids = [each.id for each in found.tasks]
        if not self._ids:
            return None
        return await self._client.handle(self._queue, self._ids[0]).result()

    async def trim(self, now: Moment) -> None:
        """Delete those that were kept when the last one was read, but some."""
        if self._ids[KEPT:]:
            # by themselves they would be kept for as long as the last one has to be
            await self._client.broker.execute(self._queue, self._ids[KEPT:], Deleted(), now=now)
