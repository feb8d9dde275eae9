"""Gather notifications for one who watches: bounded, however many come while it does not look."""

import threading
from collections.abc import Callable, Mapping
from typing import Final

from qcore.app.client.store_updates import GatheredTasks
from qcore.domain.new_task import TaskId
from qcore.ports import Notification, TasksChanged

QUEUES_OF_IDS: Final = 100
"""Ids that are kept over all queues, in the number of ids that are kept of one."""


class UpdateBuffer:
    """Keeps the ids of tasks that have changed, until they are taken. May be used by any thread."""

    def __init__(self, most: int, wake: Callable[[], None]) -> None:
        self._most = most
        self._wake = wake
        self._lock = threading.Lock()
        self._ids: dict[str, dict[TaskId, None]] = {}
        self._room = most * QUEUES_OF_IDS
        self._full: set[str] = set()
        self._vague: set[str] = set()
        self._is_told = False

    @property
    def is_told(self) -> bool:
        """Return whether anything was notified of since the last time."""
        return self._is_told

    def notify(self, notification: Notification) -> None:
        """Keep what a notification says, and wake who watches."""
        with self._lock:
            if isinstance(notification, TasksChanged):
                self._keep(notification)
            was_told, self._is_told = self._is_told, True
        if not was_told:
            self._wake()

    def _keep(self, changed: TasksChanged) -> None:
        if not changed.ids:
            self._vague.add(changed.queue)
            return
        ids = self._ids.setdefault(changed.queue, {})
        for task in changed.ids:
            if task in ids:
                continue
            if len(ids) >= self._most or self._room <= 0:
                self._full.add(changed.queue)
                return
            ids[task] = None
            self._room -= 1

    def take(self) -> Mapping[str, GatheredTasks]:
        """Return queue to the tasks that were notified of, and forget them."""
        with self._lock:
            ids, full, vague = self._ids, self._full, self._vague
            self._ids, self._full, self._vague = {}, set(), set()
            self._room = self._most * QUEUES_OF_IDS
            self._is_told = False
        return {
            queue: GatheredTasks(tuple(ids.get(queue, ())), queue in full, queue in vague)
            for queue in {*ids, *full, *vague}
        }
