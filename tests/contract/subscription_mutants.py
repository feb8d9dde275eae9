"""Memory brokers that break a promise of subscriptions each."""

import threading
from collections.abc import Sequence
from typing import Any, get_args

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.memory.subscriptions import Subscribers
from qcore.domain.new_task import TaskId
from qcore.domain.task import Task, Verdict
from qcore.ports import Kinds, Notification, Notify


def deaf_to(verb: str) -> type[MemoryBroker]:
    """Return a broker that tells nobody of what one of its verbs has done."""

    async def muted(self: MemoryBroker, *args: Any, **options: Any) -> Any:
        subscribers, self._subscribers = self._subscribers, Subscribers()
        try:
            return await getattr(MemoryBroker, verb)(self, *args, **options)
        finally:
            self._subscribers = subscribers

    return type(f"DeafTo{verb.title()}", (MemoryBroker,), {verb: muted})


class TellsTooEarly(deaf_to("settle")):  # type: ignore[misc]  (a class made by a function)
    """Tells of verdicts that are not written yet, and not again when they are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._was_read = threading.Event()

    async def get(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Task | None]:
        found = await super().get(queue, ids)
        self._was_read.set()
        return found

    async def settle(self, verdicts: Sequence[Verdict], *, now: float) -> Any:
        self._was_read.clear()
        for verdict in verdicts:
            self._subscribers.tell_of_tasks({verdict.lease.queue: [verdict.lease.id]})
        # until whoever was told has looked
        self._was_read.wait(1)
        return await super().settle(verdicts, now=now)


class TellsOfAll(MemoryBroker):
    """Tells everybody of what happens in every queue."""

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Any:
        return await super().subscribe([*queues, "default", "a", "b"], kinds, notify)


class TellsOfEveryKind(MemoryBroker):
    """Tells everybody whatever happens in their queues."""

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Any:
        return await super().subscribe(queues, get_args(Notification), notify)


class NeverStopsTelling(MemoryBroker):
    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Any:
        await super().subscribe(queues, kinds, notify)
        return await super().subscribe([], kinds, notify)
