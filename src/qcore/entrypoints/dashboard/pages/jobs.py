"""Moves of many that run, or have run: how far they are, and orders to stop or undo them."""

from typing import Final

from qcore.entrypoints.dashboard.inputs import Inputs
from qcore.entrypoints.dashboard.jobs import Job
from qcore.entrypoints.dashboard.moves import BY_VERB
from qcore.entrypoints.dashboard.pages.bulk import BEGUN, job_of, one_by_one
from qcore.entrypoints.dashboard.refusals import BadRequest
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Route
from qcore.entrypoints.dashboard.visit import Done, Page, Visit

MAX_NAME: Final = 32
EVERY: Final = 2
"""Seconds after which the page of one that runs is asked for again."""
NOT_KEPT: Final = (
    "This move is not known: it may have ended long ago, be somebody else's, or run in another "
    "process of the server."
)
LOOKS_AGAIN: Final = f"{NOT_KEPT} The page looks again every {EVERY} seconds."


async def jobs(visit: Visit) -> Page:
    """Show the moves of many that the visitor has begun, or may give everywhere."""
    return _listed(visit)


async def job(visit: Visit) -> Page:
    """Show one move of many; all of them where it is not known.

    Where the server has several processes, one of the next requests reaches that which knows it.
    """
    found = _found(visit, visit.query)
    if found is None:
        return _listed(visit, LOOKS_AGAIN, every=EVERY)
    return Page("job.html", found.label, {"job": found}, every=0 if found.is_over else EVERY)


async def stop(visit: Visit) -> Done:
    """Let a move of many end after the step that it makes."""
    found = _found(visit, visit.form)
    if found is None:
        return _not_kept(visit)
    found.stop()
    return Done(visit.links.to("job", id=found.id), "It stops after the step that it makes.")


async def undo(visit: Visit) -> Done:
    """Bring back what a move of many has discarded."""
    found = _found(visit, visit.form)
    if found is None:
        return _not_kept(visit)
    if not found.can_be_undone:
        raise BadRequest("nothing of this move can be brought back")
    for queue in found.moved:
        visit.require(Right.TASK_MOVE, queue)
    order = BY_VERB["bring-back"]
    number = sum(map(len, found.moved.values()))
    new = job_of(visit, order, f"what was discarded of: {found.about}", number)
    visit.board.jobs.start(new, one_by_one(visit, new, order, found.moved), visit.board.now)
    found.is_undone = True
    return Done(visit.links.to("job", id=new.id), BEGUN)


def _found(visit: Visit, inputs: Inputs) -> Job | None:
    found = visit.board.jobs.get(inputs.text("id", most=MAX_NAME))
    return found if found is not None and _may_see(visit, found) else None


def _listed(visit: Visit, text: str = "", every: int = 0) -> Page:
    shown = [each for each in visit.board.jobs.all if _may_see(visit, each)]
    every = EVERY if any(not each.is_over for each in shown) else every
    return Page("jobs.html", "Moves of many", {"jobs": shown, "text": text}, every=every)


def _not_kept(visit: Visit) -> Done:
    return Done(visit.links.to("jobs"), NOT_KEPT, is_good=False)


def _may_see(visit: Visit, found: Job) -> bool:
    """Return whether a visitor has begun a move, or may see and give it in every queue."""
    return visit.visitor == found.visitor or visit.visitor.rights.may_everywhere(found.right)


ROUTES: Final = (
    Route("GET", "jobs", Right.TASK_READ, jobs),
    Route("GET", "job", Right.TASK_READ, job),
    Route("POST", "job-stop", Right.TASK_MOVE, stop),
    Route("POST", "job-delete-stop", Right.TASK_DELETE, stop),
    Route("POST", "job-edit-stop", Right.TASK_EDIT, stop),
    Route("POST", "job-undo", Right.TASK_MOVE, undo),
)
