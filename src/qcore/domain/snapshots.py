"""A task as one broker has it, to be stored as it is: in another queue, in another store, again.

`enqueue` stores what is asked for, and gives it a state; `restore` stores what has been: state,
counts, error, result, moments and the details of runs.
"""

from math import inf
from typing import Any, Final

from attrs import evolve

from qcore.domain.audit import MAX_AUDIT
from qcore.domain.errors import InvalidTask
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.new_task import FIELDS, MAX_NAME, RERUN, another
from qcore.domain.record import record
from qcore.domain.run_details import MAX_ERRORS, NO_DETAILS, AttemptError, Details
from qcore.domain.states import ACTIVE, ENDED, GONE, PENDING, State
from qcore.domain.task import Task
from qcore.domain.task_fields import binary, moment, or_none, text, whole
from qcore.domain.text import is_utf8, shown

MAX_COUNT: Final = 1_000_000_000
"""Attempts, failures or crashes: what every store can count on from."""

SET_ASIDE: Final = frozenset({State.ARCHIVED, State.DEAD})
"""States that say in `error` why the task is there."""

_count: Final = whole(0, MAX_COUNT)
_content_type: Final = or_none(text(MAX_NAME))
_bytes: Final = or_none(binary)


@record
class TaskSnapshot:
    """A task with what is kept of its runs, as a broker showed it.

    Raises `InvalidTask`, which names the value, where no task can be as it says.
    """

    task: Task
    details: Details = NO_DETAILS

    @property
    def queue(self) -> str:
        """Return the queue in which it is to be stored."""
        return self.task.queue

    def __attrs_post_init__(self) -> None:
        """Refuse what no broker should have to store."""
        _check_task(self.task)
        _check_details(self.details)


def in_queue(task: Task, queue: str) -> Task:
    """Return a task as one of another queue, unchecked but for that."""
    FIELDS["queue"].check("queue", queue)
    made: Any = another(task.spec, task.id, task.spec.payload)
    made.queue = queue
    return evolve(task, spec=made)


def restored_state(task: Task) -> State:
    """Return the state in which a task is restored: its own, but pending where it was active.

    Its lease is not restored with it. The attempt that was under way stays counted, and burns
    nothing: whether that run has ended is not known here.
    """
    return PENDING if task.state is ACTIVE else task.state


def key_until(task: Task) -> Moment:
    """Return until when a live task has its unique key: as long as since it was enqueued."""
    unique_for = task.spec.unique_for
    return inf if unique_for is None else task.created + unique_for


def gives_way(state: State, error: str | None, over: str | None) -> bool:
    """Return whether what is stored under an id is replaced by what is restored `over` it."""
    return over is not None and state in SET_ASIDE and error == over


def is_successor(task: Task) -> bool:
    """Return whether a task waits for the end of the one that has its unique key."""
    return (
        task.state is State.SCHEDULED
        and task.due == LAST_MOMENT
        and task.spec.unique_key is not None
        and task.spec.on_duplicate == RERUN
    )


def asked_due(task: Task) -> Moment:
    """Return when a task was due by what was asked for."""
    return task.created if task.spec.due is None else max(task.created, task.spec.due)


def _check_task(task: Task) -> None:
    if task.state is GONE:
        raise InvalidTask("state is gone: expected that of a task that is stored")
    moment("created", task.created)
    moment("due", task.due)
    moment("unhandled_since", task.unhandled_since)
    moment("finished", task.finished)
    for name in ("attempts", "failures", "crashes"):
        _count(name, getattr(task, name))
    _utf8("error", task.error)
    _bytes("result", task.result)
    _content_type("result_type", task.result_type)
    if (task.finished is not None) is not (task.state in ENDED):
        expected = "when it ended" if task.state in ENDED else "None"
        raise InvalidTask(
            f"finished is {shown(task.finished)}: expected {expected}, as it is {task.state}"
        )
    if task.state is State.AGGREGATING and task.spec.group is None:
        raise InvalidTask("group is None: expected that in which it waits, as it is aggregating")


def _check_details(details: Details) -> None:
    if len(details.errors) > MAX_ERRORS:
        raise InvalidTask(
            f"errors are {len(details.errors)}: expected the last {MAX_ERRORS}, at most"
        )
    for each in details.errors:
        _check_error(each)
    if details.progress is not None:
        moment("the moment of progress", details.progress.at)
        details.progress.check()
    _bytes("saved", details.saved)
    if len(details.audit) > MAX_AUDIT:
        raise InvalidTask(
            f"the audit trail has {len(details.audit)} records: expected the last {MAX_AUDIT}"
        )
    for order in details.audit:
        moment("the moment of a command", order.at)
        _utf8("an operator", order.by)
        _utf8("the reason of a command", order.reason)


def _check_error(error: AttemptError) -> None:
    moment("the moment of an error", error.at)
    _count("the attempt of an error", error.attempt)
    _utf8("an error", error.error)
    _utf8("the worker of an error", error.worker)
    _utf8("the traceback of an error", error.traceback)


def _utf8(what: str, value: object) -> None:
    if value is not None and not (isinstance(value, str) and is_utf8(value)):
        raise InvalidTask(f"{what} is {shown(value)}: expected text that UTF-8 can say, or None")
