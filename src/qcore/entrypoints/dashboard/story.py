"""The whole story of a task as its page shows it, masked: runs, errors, what it waits for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import field

from qcore.app.calls.chain_header import decode_steps, ids_of_steps
from qcore.app.calls.chain_steps import CHAIN_HEADERS, Position, position_in
from qcore.app.client.waiting import Hindrance
from qcore.domain.audit import AuditRecord
from qcore.domain.errors import CannotDecode
from qcore.domain.moments import Moment
from qcore.domain.new_task import FIELDS
from qcore.domain.origin import ORIGIN, Origin
from qcore.domain.record import record
from qcore.domain.run_details import NO_DETAILS, AttemptError, Progress
from qcore.domain.states import ENDED, State
from qcore.domain.task import Task
from qcore.domain.workers import WorkerInfo, run_of
from qcore.entrypoints.dashboard.board import Board
from qcore.entrypoints.dashboard.masking import MaskedTask
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.visit import Visit

ELSEWHERE: Final = frozenset(
    {"name", "id", "payload", "content_type", "queue", "due", "headers", "tags", "max_retry"}
)
"""Options that have a place of their own on the page."""
RESERVED: Final = CHAIN_HEADERS | {ORIGIN}
"""Headers that are shown as what they say."""
MOMENTS: Final = frozenset({"deadline", "expires"})


@record
class Step:
    """A task that follows in a chain."""

    name: str
    queue: str
    id: str
    data: Any = field(hash=False)
    state: State | None
    """None for one that is not stored: not enqueued yet, or not kept any more."""

    @property
    def is_failed(self) -> bool:
        """Return whether it has ended without success, so that nothing follows it."""
        return self.state in {State.DEAD, State.ARCHIVED}


@record
class Event:
    """Something that happened to a task, or will."""

    at: Moment
    text: str
    kind: str
    """The state that it led to, for its colour; "retry" for an attempt that failed."""
    error: AttemptError | None = None
    order: AuditRecord | None = None
    """Who gave it which order, of what an operator did."""
    worker: str | None = None
    """Which worker has it in hand, of a run that has not ended."""


@record
class Story:
    """A task and all that is stored of it, without what is not to be seen."""

    task: Task
    data: Any = field(hash=False)
    is_readable: bool
    result: Any = field(hash=False)
    has_result: bool
    headers: Mapping[str, str] = field(hash=False)
    origin: Origin | None
    """What it came from, where the visitor may see that."""
    is_origin_stored: bool
    """Whether that is a task which is still there."""
    position: Position | None
    """Which step of its chain it is; None where later ones may not be seen, and of no chain."""
    steps: Sequence[Step]
    errors: Sequence[AttemptError]
    """The newest first."""
    progress: Progress | None
    saved: int | None
    """Bytes of partial work."""
    waits_for: Sequence[Hindrance]
    is_untold: bool
    """Whether it is in the hands of a worker, and none that the visitor may see tells of it."""
    options: Sequence[tuple[str, object]]
    """Those that were asked for."""
    events: Sequence[Event]
    """The newest first."""


async def story_of(visit: Visit, task: Task) -> Story:
    """Return the story of a task."""
    board = visit.board
    details = await visit.inspector.details(task.queue, task.id) or NO_DETAILS
    waits_for = (
        () if task.state in ENDED else await visit.inspector.why_waiting(task.queue, task.id)
    )
    workers = await _workers_of(visit, task)
    run = _run(workers or (), task)
    seen = board.mask.masked(task, board.read_payload)
    steps = await _steps(visit, task, seen)
    may_see_all = steps is not None and all(each is not None for each in steps)
    errors = [*reversed(details.errors)]
    has_result, result = _result(board, task, seen)
    headers = {name: text for name, text in task.spec.headers.items() if name not in RESERVED}
    origin = task.origin
    if origin is not None and not visit.may(Right.TASK_READ, origin.queue):
        origin = None
    return Story(
        task,
        seen.data,
        seen.is_readable,
        result,
        has_result,
        headers,
        origin,
        await _is_stored(visit, origin),
        position_in(task.spec.headers) if may_see_all else None,
        [each for each in steps or () if each is not None],
        errors,
        details.progress,
        None if details.saved is None else len(details.saved),
        waits_for or (),
        workers is not None and run is None,
        [*_options(task)],
        sorted(_events(task, errors, details.audit, run), key=lambda each: -each.at),
    )


async def _workers_of(visit: Visit, task: Task) -> Sequence[WorkerInfo] | None:
    """Return the workers of which one has a task in hand.

    None for a task that does not run, for a visitor who may not see its workers, and for a broker
    that lists none.
    """
    if task.state is not State.ACTIVE or not visit.may(Right.WORKER_READ, task.queue):
        return None
    return await visit.workers()


def _run(workers: Sequence[WorkerInfo], task: Task) -> Event | None:
    """Return the run of a task that has not ended; None where no worker tells of it."""
    found = run_of(workers, task.queue, task.id)
    if found is None:
        return None
    worker, run = found
    return Event(run.since, f"attempt {task.attempts} began", State.ACTIVE, worker=worker.name)


async def _is_stored(visit: Visit, origin: Origin | None) -> bool:
    """Return whether the task is stored that another came from."""
    if origin is None or origin.task is None:
        return False
    return await visit.inspector.get(origin.queue, origin.task) is not None


def _result(board: Board, task: Task, seen: MaskedTask) -> tuple[bool, Any]:
    """Return whether a task has a result, and that; None where it cannot be read."""
    if task.result is None:
        return False, None
    try:
        found: object = board.codec.loads(task.result, task.result_type, object)
    except CannotDecode:
        return True, None
    return True, seen.plain(found)


async def _steps(visit: Visit, task: Task, seen: MaskedTask) -> Sequence[Step | None] | None:
    """Return what follows a task, None for what the visitor may not see, and for the unreadable."""
    try:
        plans = decode_steps(task.spec, visit.board.codec)
    except CannotDecode:
        return None
    steps: list[Step | None] = []
    before: State | None = task.state
    for plan, (queue, name) in zip(plans, ids_of_steps(task.spec, plans), strict=True):
        # none is enqueued before the one before it has succeeded
        found = await visit.inspector.get(queue, name) if before is State.COMPLETED else None
        before = None if found is None else found.state
        data = seen.plain(plan["arguments"])
        step = Step(str(plan["task"].get("name", "?")), queue, name, data, before)
        steps.append(step if visit.may(Right.TASK_READ, queue) else None)
    return steps


def _options(task: Task) -> Iterator[tuple[str, object]]:
    """Yield the options that differ from their defaults."""
    for name, declared in FIELDS.items():
        value = getattr(task.spec, name)
        if name not in ELSEWHERE and value != declared.default:
            yield name, value


def _events(
    task: Task, errors: Sequence[AttemptError], audit: Sequence[AuditRecord], run: Event | None
) -> Iterator[Event]:
    """Yield what happened, of one moment the latest first."""
    if run is not None:
        yield run
    if task.finished is not None:
        yield Event(task.finished, task.state, task.state)
    elif task.state in {State.SCHEDULED, State.RETRY}:
        yield Event(task.due, "due", State.PENDING)
    elif task.due > task.created:
        yield Event(task.due, "ready to run", State.PENDING)
    for record_ in reversed(audit):
        yield Event(record_.at, record_.action, State.ARCHIVED, order=record_)
    for each in errors:
        yield Event(each.at, f"attempt {each.attempt} failed", State.RETRY, each)
    yield Event(task.created, "enqueued", State.SCHEDULED)
