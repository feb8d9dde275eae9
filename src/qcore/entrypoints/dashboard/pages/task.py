"""One task: all that is known of it, and the orders that it takes."""

from typing import Any, Final

from qcore.app.client.moving import MoveTo
from qcore.domain.answers import Duplicate, Moved
from qcore.domain.lifecycle import MOVES
from qcore.domain.states import ENDED, State
from qcore.domain.task import Task
from qcore.domain.transitions import Updated
from qcore.entrypoints.dashboard.moves import BY_VERB, choices, destination, moves_of, said_of
from qcore.entrypoints.dashboard.refusals import NotThere
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Answer, Route
from qcore.entrypoints.dashboard.story import MOMENTS, story_of
from qcore.entrypoints.dashboard.visit import NOT_STORED, YES, Done, Page, Visit


async def task(visit: Visit) -> Page:
    """Show one task."""
    found = await _found(visit, visit.query.queue(), visit.query.task())
    moves = [each for each in moves_of(found) if visit.may(each.right, found.queue)]
    values: dict[str, Any] = {
        "story": await story_of(visit, found),
        "moves": moves,
        "moments": MOMENTS,
    }
    values["can_edit"] = Updated in MOVES[found.state] and visit.may(Right.TASK_EDIT, found.queue)
    values["can_repeat"] = found.state in ENDED and visit.may(Right.TASK_ENQUEUE, found.queue)
    command = ("task", "show", found.id, "--queue", found.queue)
    return Page("task.html", found.name, values, command, live={"queue": found.queue})


async def move(visit: Visit) -> Answer:
    """Carry out an order for a task, or ask first."""
    return await _carry_out(visit, visit.form.one_of("verb", _verbs(Right.TASK_MOVE)))


async def delete(visit: Visit) -> Answer:
    """Delete a task, or ask first."""
    return await _carry_out(visit, visit.form.one_of("verb", _verbs(Right.TASK_DELETE)))


async def _carry_out(visit: Visit, verb: str) -> Answer:
    order = BY_VERB[verb]
    queue, name = visit.form.queue(), visit.form.task()
    if order.asks and visit.form.maybe("confirm", most=len(YES)) != YES:
        found = await _found(visit, queue, name)
        offered = await choices(visit, order)
        values = {"move": order, "task": found, "route": visit.name, "choices": offered}
        command = order.typed("task", verb, name, "--queue", queue)
        return Page("confirm.html", f"{order.label}?", values, command)
    [outcome] = await order.carry_out(visit, queue, [name])
    said, is_good = said_of(name, outcome, order.said)
    if order.transition is MoveTo and isinstance(outcome, Moved | Duplicate):
        queue = destination(visit)
    is_gone = getattr(outcome, "state", State.GONE) is State.GONE
    to = (
        visit.links.to("queue", queue=queue)
        if is_gone
        else visit.links.to("task", queue=queue, id=name)
    )
    return Done(to, said, is_good)


async def _found(visit: Visit, queue: str, name: str) -> Task:
    found = await visit.inspector.get(queue, name)
    if found is None:
        raise NotThere(NOT_STORED)
    return found


def _verbs(right: Right) -> list[str]:
    return [each.verb for each in BY_VERB.values() if each.right is right]


ROUTES: Final = (
    Route("GET", "task", Right.TASK_READ, task, per_queue=True),
    Route("POST", "task-move", Right.TASK_MOVE, move, per_queue=True),
    Route("POST", "task-delete", Right.TASK_DELETE, delete, per_queue=True),
)
