"""Change a task that waits, or enqueue one again; what is read for that is written back.

So these pages ask the queue itself, and not the inspector that masks.
"""

from hashlib import sha256
from typing import Any, Final, cast

from attrs import evolve

from qcore.app.calls.options import Changes
from qcore.app.calls.signature import Signature
from qcore.app.client.changes import changes_of
from qcore.domain.answers import Moved
from qcore.domain.lifecycle import MOVES
from qcore.domain.new_task import MAX_BUDGET, MAX_PRIORITY
from qcore.domain.origin import Origin, OriginKind, with_origin
from qcore.domain.states import ENDED
from qcore.domain.task import Task
from qcore.domain.transitions import Updated
from qcore.entrypoints.dashboard.audit import ENQUEUE_AGAIN, auditor, tell, who
from qcore.entrypoints.dashboard.moves import said_of
from qcore.entrypoints.dashboard.refusals import BadRequest, NotThere
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Route
from qcore.entrypoints.dashboard.unmasking import MOST, as_text, from_text
from qcore.entrypoints.dashboard.visit import NOT_STORED, Done, Page, Visit

DIGEST: Final = 64


async def form(visit: Visit) -> Page:
    """Show what of a task may be changed."""
    task = await _task(visit, visit.query.queue(), visit.query.task())
    if Updated not in MOVES[task.state]:
        raise BadRequest(f"the task is {task.state}: expected one that waits, or has failed")
    values = {
        "task": task,
        "arguments": as_text(visit.board.read_payload(task), visit.board.mask),
        "seen": _digest(task),
        "bounds": {"priority": MAX_PRIORITY, "max_retry": MAX_BUDGET},
    }
    return Page("edit.html", f"Edit {task.name}", values)


async def save(visit: Visit) -> Done:
    """Change a task, unless somebody else has done so since the form was shown."""
    queue, name = visit.form.queue(), visit.form.task()
    task = await _task(visit, queue, name)
    to = visit.links.to("task", queue=queue, id=name)
    if visit.form.text("seen", most=DIGEST) != _digest(task):
        said = f"Nothing was done: {name} was changed meanwhile. Look at it, and edit it again."
        return Done(to, said, is_good=False)
    changes = _changes(visit, task)
    if not changes:
        return Done(to, "Nothing was changed.")
    command = auditor(visit).attribute(_command(visit, task, changes), **who(visit))
    [answer] = await visit.board.q.broker.execute(queue, [name], command, now=visit.now)
    if isinstance(answer, Moved):
        auditor(visit).tell_of_tasks(queue, [name], command, visit.now)
    said, is_good = said_of(name, answer)
    return Done(to, f"{name} is changed." if isinstance(answer, Moved) else said, is_good)


async def again(visit: Visit) -> Done:
    """Enqueue a task like one that has ended, to run at once."""
    queue, name = visit.form.queue(), visit.form.task()
    task = await _task(visit, queue, name)
    if task.state not in ENDED:
        raise BadRequest(f"the task is {task.state}: expected one that has ended")
    client = visit.board.q.client
    # moments that were asked for then are over
    spec = evolve(task.spec, id=client.new_id(), due=None, expires=None, deadline=None)
    spec = with_origin(spec, Origin(OriginKind.AGAIN, queue, name))
    handle = await client.enqueue(spec)
    tell(visit, ENQUEUE_AGAIN, queue, name, [handle.id])
    to = visit.links.to("task", queue=queue, id=handle.id)
    if not handle.is_new:
        return Done(to, f"Nothing was done: {handle.id} has the unique key already.", is_good=False)
    return Done(to, f"{handle.id} is enqueued, like {name}.")


def _changes(visit: Visit, task: Task) -> dict[str, Any]:
    """Return what a form changes."""
    spec, changes = task.spec, dict[str, Any]()
    priority = visit.form.whole("priority", -MAX_PRIORITY, MAX_PRIORITY, spec.priority)
    max_retry = visit.form.whole("max_retry", 0, MAX_BUDGET, spec.max_retry)
    if priority != spec.priority:
        changes["priority"] = priority
    if max_retry != spec.max_retry:
        changes["max_retry"] = max_retry
    text = visit.form.maybe("arguments", most=MOST)
    if text is not None:
        data = visit.board.read_payload(task)
        arguments = from_text(text, data, visit.board.mask)
        if arguments != data:
            changes["arguments"] = arguments
    return changes


def _command(visit: Visit, task: Task, changes: dict[str, Any]) -> Updated:
    """Return the command for changes; raise `InvalidTask` for arguments that do not fit."""
    fields: dict[str, Any] = {}
    if "arguments" in changes:
        arguments = changes.pop("arguments")
        signature = _signature(visit, task.name)
        fields = visit.board.q.client.payload_of(task.name, arguments, signature)
    return changes_of(cast("Changes", changes), visit.now, **fields)


def _signature(visit: Visit, name: str) -> Signature | None:
    """Return what the handler of a name takes, so that arguments are checked; None if not known."""
    known = {each.name: each for each in visit.board.q.handlers()}
    return known[name].signature if name in known else None


def _digest(task: Task) -> str:
    """Return what stands for all of a task that a form may change."""
    spec = task.spec
    told = (spec.payload, spec.content_type, spec.priority, spec.max_retry)
    return sha256(repr(told).encode()).hexdigest()


async def _task(visit: Visit, queue: str, name: str) -> Task:
    found = await visit.board.q.inspector.get(queue, name)
    if found is None:
        raise NotThere(NOT_STORED)
    return found


ROUTES: Final = (
    Route("GET", "task-edit", Right.TASK_EDIT, form, per_queue=True),
    Route("POST", "task-edit", Right.TASK_EDIT, save, per_queue=True),
    Route("POST", "task-again", Right.TASK_ENQUEUE, again, per_queue=True),
)
