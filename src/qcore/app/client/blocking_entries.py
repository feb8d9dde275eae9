"""Entries of periodic tasks, at run time, for code that blocks."""

from collections.abc import Sequence
from typing import Any, Unpack

from qcore.app.calls.call import TaskRequest
from qcore.app.calls.periodic_task import EntryOptions, PeriodicTask
from qcore.app.client.auditing import Emit
from qcore.app.client.client import BlockingClient
from qcore.app.client.entries import Entries
from qcore.app.client.entry_listing import (
    DEFAULT_ENTRIES,
    EntryPage,
    EntryStatus,
    ListedEntry,
)
from qcore.app.client.handles import BlockingHandle
from qcore.app.client.inline import run_inline
from qcore.domain.moments import Duration
from qcore.domain.new_task import DEFAULT_QUEUE
from qcore.domain.schedules.schedule import Schedule


class BlockingEntries:
    """The entries of periodic tasks, for code that blocks; see `Entries`."""

    def __init__(
        self, client: BlockingClient, *, emit: Emit | None = None, by: str | None = None
    ) -> None:
        self._client = client
        self._inner = Entries(client.inner, emit=emit, by=by)

    def put(
        self,
        schedule: "str | Duration | Schedule",
        request: TaskRequest,
        *,
        name: str | None = None,
        tz: str | None = None,
        by: str | None = None,
        reason: str | None = None,
        **options: Unpack[EntryOptions],
    ) -> ListedEntry:
        """Do what `Entries.put` does."""
        putting = self._inner.put(
            schedule, request, name=name, tz=tz, by=by, reason=reason, **options
        )
        return run_inline(putting)

    def store(
        self, task: PeriodicTask, *, by: str | None = None, reason: str | None = None
    ) -> ListedEntry:
        """Do what `Entries.store` does."""
        return run_inline(self._inner.store(task, by=by, reason=reason))

    def change(
        self,
        name: str,
        *,
        queue: str = DEFAULT_QUEUE,
        schedule: "str | Duration | Schedule | None" = None,
        tz: str | None = None,
        by: str | None = None,
        reason: str | None = None,
        **options: Unpack[EntryOptions],
    ) -> ListedEntry | None:
        """Do what `Entries.change` does."""
        changing = self._inner.change(
            name, queue=queue, schedule=schedule, tz=tz, by=by, reason=reason, **options
        )
        return run_inline(changing)

    def pause(
        self,
        name: str,
        *,
        queue: str = DEFAULT_QUEUE,
        by: str | None = None,
        reason: str | None = None,
    ) -> ListedEntry | None:
        """Do what `Entries.pause` does."""
        return run_inline(self._inner.pause(name, queue=queue, by=by, reason=reason))

    def resume(
        self,
        name: str,
        *,
        queue: str = DEFAULT_QUEUE,
        by: str | None = None,
        reason: str | None = None,
    ) -> ListedEntry | None:
        """Do what `Entries.resume` does."""
        return run_inline(self._inner.resume(name, queue=queue, by=by, reason=reason))

    def run_now(
        self,
        name: str,
        *,
        queue: str = DEFAULT_QUEUE,
        by: str | None = None,
        reason: str | None = None,
    ) -> BlockingHandle[Any] | None:
        """Do what `Entries.run_now` does."""
        handle = run_inline(self._inner.run_now(name, queue=queue, by=by, reason=reason))
        return None if handle is None else BlockingHandle(handle)

    def remove(
        self,
        name: str,
        *,
        queue: str = DEFAULT_QUEUE,
        by: str | None = None,
        reason: str | None = None,
    ) -> bool:
        """Do what `Entries.remove` does."""
        return run_inline(self._inner.remove(name, queue=queue, by=by, reason=reason))

    def get(self, name: str, *, queue: str = DEFAULT_QUEUE) -> ListedEntry | None:
        """Do what `Entries.get` does."""
        return run_inline(self._inner.get(name, queue=queue))

    def list(self, queue: str | None = None) -> Sequence[ListedEntry]:
        """Do what `Entries.list` does."""
        return run_inline(self._inner.list(queue))

    def page(
        self,
        *,
        limit: int = DEFAULT_ENTRIES,
        cursor: str | None = None,
        text: str = "",
        status: EntryStatus | None = None,
    ) -> EntryPage:
        """Do what `Entries.page` does."""
        return run_inline(self._inner.page(limit=limit, cursor=cursor, text=text, status=status))
