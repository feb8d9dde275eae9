"""What `qcore top` prints where nobody reads along: how all stands, once, in lines of cells."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from qcore.app.client.failure_groups import FailureGroup
from qcore.app.client.queue_listing import QueueSummary
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.workers import WorkerInfo
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.cli.failures import group_record
from qcore.entrypoints.cli.failures import plain_row as group_row
from qcore.entrypoints.cli.queue_output import plain_row as queue_row
from qcore.entrypoints.cli.queue_output import queue_record
from qcore.entrypoints.cli.workers import as_record as worker_record
from qcore.entrypoints.cli.workers import row as worker_row
from qcore.entrypoints.cli.workers import run_row
from qcore.entrypoints.written_times import timestamp
from qcore.ports import worker_registry_of

LOOK: Final = 500
"""Failed tasks that are looked at: what is looked at again every few seconds has to be little."""

QUEUES = 1_000


@record
class Snapshot:
    """What the first views show, all at one time."""

    at: Moment
    queues: Sequence[QueueSummary]
    workers: Sequence[WorkerInfo]
    errors: Sequence[FailureGroup]

    def lines(self) -> Iterator[Sequence[str]]:
        """Yield cells; the first one says what a line is about."""
        for queue in self.queues:
            yield "queue", *queue_row(queue)
        for worker in self.workers:
            yield "worker", *worker_row(worker, self.at)
        for worker in self.workers:
            for task in worker.running:
                yield "running", *run_row(worker, task, self.at)
        for group in self.errors:
            yield "error", *group_row(group)

    def as_record(self) -> Mapping[str, Any]:
        """Return it as JSON has it."""
        return {
            "at": timestamp(self.at),
            "queues": [queue_record(each) for each in self.queues],
            "workers": [worker_record(each, self.at) for each in self.workers],
            "errors": [group_record(each) for each in self.errors],
        }


async def snapshot(store: Store) -> Snapshot:
    """Return how a store stands."""
    page = await store.inspector.queues(limit=QUEUES)
    has_workers = worker_registry_of(store.broker) is not None
    workers = await store.inspector.workers() if has_workers else ()
    failures = await store.inspector.failures(look=LOOK)
    return Snapshot(store.now(), page.queues, workers, failures.groups)
