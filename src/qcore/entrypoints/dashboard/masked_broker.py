"""A broker whose tasks are masked as they come out: errors, tracebacks, progress, headers, tags.

So whatever asks it, a list, a query, a group of failures or a page that is yet to be written, never
has what is not to be seen. Payloads come out as they are: `Mask.masked` reads them.
"""

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from qcore.adapters.wrappers import TransformingBroker
from qcore.app.client.qualifiers import ReadPayload
from qcore.domain.audit import AuditRecord
from qcore.domain.frozen_dict import FrozenDict
from qcore.domain.new_task import NewTask, TaskId, another
from qcore.domain.run_details import NO_DETAILS, AttemptError, Details, Progress
from qcore.domain.task import Task
from qcore.entrypoints.dashboard.masking import Mask, MaskedTask
from qcore.ports import Broker


class MaskedBroker(TransformingBroker):
    """Mask the texts of each task by the secrets that its arguments and headers have."""

    def __init__(self, inner: Broker, mask: Mask, read: ReadPayload) -> None:
        super().__init__(inner)
        self._mask = mask
        self._read = read

    def on_task_out(self, task: Task) -> Task:
        """Return a task whose error, headers, tags and unique key may be seen."""
        if task.error is None and not _quotes(task.spec):
            return task
        seen = self._mask.masked(task, self._read)
        error = None if task.error is None else seen.text(task.error)
        return evolve(task, spec=_spec(task.spec, seen), error=error)

    async def details(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Details | None]:
        """Return details whose texts may be seen; the tasks are read for what is secret in them."""
        found = await super().details(queue, ids)
        if not any(each is not None and each != NO_DETAILS for each in found):
            return found
        tasks = await self.inner.get(queue, ids)
        return [
            # one that was removed meanwhile has nothing to be masked by
            None if each is None or task is None else self._details(each, task)
            for each, task in zip(found, tasks, strict=True)
        ]

    def _details(self, details: Details, task: Task) -> Details:
        seen = self._mask.masked(task, self._read)
        errors = tuple(_error(each, seen) for each in details.errors)
        audit = tuple(_order(each, seen) for each in details.audit)
        progress = _progress(details.progress, seen)
        return evolve(details, errors=errors, progress=progress, audit=audit)


def _quotes(spec: NewTask) -> bool:
    """Return whether there is something beside the arguments that may quote them."""
    return bool(spec.headers or spec.tags or spec.unique_key)


def _spec(spec: NewTask, seen: MaskedTask) -> NewTask:
    if not _quotes(spec):
        return spec
    # unchecked, as it is stored: it may have been written under other rules
    made: Any = another(spec, spec.id, spec.payload)
    made.headers = FrozenDict(seen.headers(spec.headers))
    made.tags = tuple(map(seen.text, spec.tags))
    made.unique_key = None if spec.unique_key is None else seen.text(spec.unique_key)
    masked: NewTask = made
    return masked


def _error(error: AttemptError, seen: MaskedTask) -> AttemptError:
    traceback = None if error.traceback is None else seen.text(error.traceback)
    return evolve(error, error=seen.text(error.error), traceback=traceback)


def _order(order: AuditRecord, seen: MaskedTask) -> AuditRecord:
    return order if order.reason is None else evolve(order, reason=seen.text(order.reason))


def _progress(progress: Progress | None, seen: MaskedTask) -> Progress | None:
    return None if progress is None else evolve(progress, message=seen.text(progress.message))
