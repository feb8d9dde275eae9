"""Builders: each fills in what a test does not care about, so that the test says what matters."""

from collections.abc import Mapping
from itertools import count
from typing import Final, TypedDict, Unpack

from qcore.domain.moments import Moment
from qcore.domain.new_task import DEFAULT_QUEUE, NewTask, TaskId
from qcore.domain.states import State
from qcore.domain.task import Claim, Demand, Lease, Task
from qcore.domain.workers import ANNOUNCE_EVERY, MISSED, RunningTask, WorkerInfo

NOW: Final[Moment] = 1_800_000_000.0
"""When tests take place unless they say otherwise; a whole number, so that sums are exact."""

LEASE: Final = 30.0
"""Seconds for which leases are given unless a test says otherwise."""

_numbers = count(1)


class TaskOptions(TypedDict, total=False):
    """What may be asked of a task: the fields of `NewTask`."""

    name: str
    id: TaskId
    payload: bytes
    content_type: str
    queue: str
    priority: int
    due: Moment | None
    max_retry: int
    max_crashes: int
    backoff: str | None
    deadline: Moment | None
    timeout: float | None
    expires: Moment | None
    retention: float
    group: str | None
    headers: Mapping[str, str]
    unique_key: str | None
    unique_for: float | None
    on_duplicate: str
    on_conflict: str
    tags: tuple[str, ...]


def fresh_id() -> TaskId:
    """Return an id that no other call in this process returns."""
    # padded: where a store orders by id, tasks come in the order in which they were made
    return f"task-{next(_numbers):08}"


def a_task(**options: Unpack[TaskOptions]) -> NewTask:
    """Return a task with an id of its own, and the defaults for all that is not named."""
    options.setdefault("name", "test:task")
    options.setdefault("id", fresh_id())
    return NewTask(**options)


def some_tasks(number: int, **options: Unpack[TaskOptions]) -> list[NewTask]:
    """Return several tasks that differ in their ids alone."""
    return [a_task(**options) for _ in range(number)]


def a_demand(limit: int = 10, **quotas: int) -> Demand:
    """Return a demand for `limit` tasks, all of them of the default queue if no quota is named."""
    return Demand(limit, quotas or {DEFAULT_QUEUE: limit})


def a_lease(
    task: TaskId = "task-0",
    *,
    queue: str = DEFAULT_QUEUE,
    token: int = 1,
    until: Moment = NOW + LEASE,
) -> Lease:
    """Return a lease that no broker gave."""
    return Lease(queue, task, token, until)


def a_stored_task(
    spec: NewTask | None = None,
    *,
    state: State = State.PENDING,
    created: Moment = NOW,
    due: Moment | None = None,
    attempts: int = 0,
    failures: int = 0,
    crashes: int = 0,
    error: str | None = None,
    finished: Moment | None = None,
    unhandled_since: Moment | None = None,
) -> Task:
    """Return a task as a broker would show it, created and due now unless told otherwise."""
    return Task(
        spec if spec is not None else a_task(),
        state,
        created,
        created if due is None else due,
        attempts=attempts,
        failures=failures,
        crashes=crashes,
        error=error,
        finished=finished,
        unhandled_since=unhandled_since,
    )


def a_claim(spec: NewTask | None = None, *, attempts: int = 1, token: int = 1) -> Claim:
    """Return a claim of a task in its first run, under a lease that no broker gave."""
    task = a_stored_task(spec, state=State.ACTIVE, attempts=attempts)
    return Claim(task, a_lease(task.id, queue=task.queue, token=token))


class WorkerFields(TypedDict, total=False):
    """What a worker may announce: the fields of `WorkerInfo`."""

    id: str
    name: str
    host: str
    pid: int
    version: str
    queues: Mapping[str, int]
    is_strict: bool
    handlers: tuple[str, ...]
    concurrency: int
    started: Moment
    seen: Moment
    expires: Moment
    in_hand: int
    running: tuple[RunningTask, ...]
    loop_lag: float
    last_claim: Moment | None
    is_paused: bool
    is_stopping: bool
    app_version: str | None


def a_worker(**fields: Unpack[WorkerFields]) -> WorkerInfo:
    """Return a worker that has just started, with an id of its own, as it announces itself."""
    seen = fields.get("seen", NOW)
    usual = WorkerFields(
        id=f"worker-{next(_numbers)}",
        name="host:7",
        host="host",
        pid=7,
        version="1.2.3",
        queues={DEFAULT_QUEUE: 1},
        is_strict=False,
        handlers=("test:task",),
        concurrency=100,
        started=NOW,
        seen=seen,
        expires=seen + MISSED * ANNOUNCE_EVERY,
    )
    usual.update(fields)
    return WorkerInfo(**usual)
