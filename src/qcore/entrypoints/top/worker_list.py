"""The workers, with what each of their slots runs and since when."""

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import ClassVar, Final

from rich.text import Text

from qcore.domain.moments import Moment
from qcore.domain.workers import BLOCKED_AFTER, Condition, RunningTask, WorkerInfo
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.top import cells
from qcore.entrypoints.top.columns import Column, Row
from qcore.entrypoints.top.task_view import TaskView
from qcore.entrypoints.top.view import Page, View

COLUMNS: Final = (
    Column("WORKER / TASK", least=34, grows=True),
    Column("STATE", least=8),
    Column("SEEN", least=5, is_right=True),
    Column("FOR", least=5, is_right=True),
    Column("SLOTS", rank=1, least=7, is_right=True),
    Column("LAG", rank=2, least=5, is_right=True),
    Column("CLAIM", rank=6, least=5, is_right=True),
    Column("VERSION", rank=7),
    Column("QUEUES", rank=4, least=8, grows=True),
)
RUNS: Final = (
    Column("RUNS NOW", least=12, grows=True),
    Column("ID", least=12, grows=True),
    Column("FOR", least=5, is_right=True),
    Column("QUEUE", rank=1, least=8, grows=True),
    Column("WORKER", rank=2, least=8, grows=True),
)
STYLES: Final = {
    Condition.RUNNING: "green",
    Condition.PAUSED: "yellow",
    Condition.STOPPING: "yellow",
    Condition.BLOCKED: "red",
    Condition.SILENT: "red",
}
NOBODY: Final = "no worker is there: start one with qcore worker module:q, or look at its log"


class WorkerList(View):
    """Workers, and below each the tasks that it has in hand."""

    name: ClassVar[str] = "workers"

    def title(self) -> str:
        """Return what it shows."""
        return "workers"

    def command(self) -> str:
        """Return the command that shows the same."""
        return "qcore workers"

    async def read(self, store: Store, width: int, height: int) -> Page:  # noqa: ARG002
        """Return all workers: how many there are is bounded by who runs them."""
        found = await store.inspector.workers()
        now = store.now()
        rows = [row for each in found for row in _rows(each, now)]
        in_hand, room = sum(e.in_hand for e in found), sum(e.concurrency for e in found)
        summary = Text(f"{len(found):,} workers, {in_hand:,} tasks in hand, of {room:,} at most")
        return Page(COLUMNS, rows, summary, empty=NOBODY)

    def opened(self, row: Row) -> View | None:
        """Return the task of a slot."""
        if not isinstance(row.about, RunningTask):
            return None
        return TaskView(row.about.queue, row.about.id, row.about.name)

    def copied(self, row: Row) -> str:
        """Return the name of a worker, or the id of a task."""
        if isinstance(row.about, WorkerInfo):
            return row.about.name
        return row.about.id if isinstance(row.about, RunningTask) else row.id


def _rows(worker: WorkerInfo, now: Moment) -> Iterator[Row]:
    condition = worker.condition(now)
    late = "red" if worker.loop_lag >= BLOCKED_AFTER else ""
    served = ("{}" if worker.is_strict else "{}={}").format
    queues = ",".join(served(queue, weight) for queue, weight in worker.queues.items())
    yield Row(
        worker.id,
        (
            cells.plain(worker.name, "bold"),
            Text(condition, style=STYLES[condition]),
            cells.seconds(worker.age(now), "red" if condition is Condition.SILENT else ""),
            cells.seconds(now - worker.started),
            Text(f"{worker.in_hand}/{worker.concurrency}"),
            cells.seconds(worker.loop_lag, late),
            cells.NONE if worker.last_claim is None else cells.seconds(now - worker.last_claim),
            cells.plain(worker.version),
            cells.plain(queues),
        ),
        worker,
    )
    for task in worker.running:
        yield _slot(worker, task, now)


def _slot(worker: WorkerInfo, task: RunningTask, now: Moment) -> Row:
    return Row(
        f"{worker.id}\t{task.queue}\t{task.id}",
        (
            Text.assemble("  ", cells.plain(task.name), " ", cells.plain(task.id, "bright_black")),
            Text("runs"),
            Text(""),
            cells.seconds(now - task.since),
            *[Text("")] * 4,
            cells.plain(task.queue),
        ),
        task,
    )


def running(workers: Sequence[WorkerInfo], now: Moment) -> Page:
    """Return what all workers run, the longest runs first."""
    runs = [(task.since, task.id, task, worker) for worker in workers for task in worker.running]
    rows = [_run(task, worker, now) for _, _, task, worker in sorted(runs, key=itemgetter(0, 1))]
    return Page(RUNS, rows)


def _run(task: RunningTask, worker: WorkerInfo, now: Moment) -> Row:
    return Row(
        f"{worker.id}\t{task.queue}\t{task.id}",
        (
            cells.plain(task.name, "bold"),
            cells.plain(task.id),
            cells.seconds(now - task.since),
            cells.plain(task.queue),
            cells.plain(worker.name),
        ),
        task,
    )
