"""Orders for many tasks: those that are ticked, or all of a query as it was at a moment."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

from qcore.app.client.bulk_moves import Move as Command
from qcore.app.client.bulk_moves import MoveProgress
from qcore.app.client.qualifiers import STATE
from qcore.app.client.queries import Query
from qcore.domain.answers import Conflict, Duplicate, Moved
from qcore.domain.errors import BrokerRefused
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.new_task import MAX_ID, MAX_QUEUE, TaskId
from qcore.domain.text import shown
from qcore.entrypoints.dashboard.audit import who
from qcore.entrypoints.dashboard.commands import typed
from qcore.entrypoints.dashboard.jobs import Job, Steps
from qcore.entrypoints.dashboard.listing import row_of
from qcore.entrypoints.dashboard.moves import BY_VERB, Move, Outcomes, choices
from qcore.entrypoints.dashboard.pages.tasks import EVERY, TABS
from qcore.entrypoints.dashboard.refusals import BadRequest
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Answer, Route
from qcore.entrypoints.dashboard.visit import YES, Done, Page, Visit

ALL: Final = "all"
TICKED: Final = "ticked"
MOST_TICKED: Final = 1_000
MAX_PAIR: Final = 12 * (MAX_QUEUE + MAX_ID)
ASKS_ABOVE: Final = 100
"""Tasks for which a reason has to be given."""
BATCH: Final = 100
SAMPLE: Final = 10
MOST_LIMIT: Final = 1_000_000_000
LEAST_PACE: Final = 0.001
"""Tasks a second."""
BEGUN: Final = "It has begun, and goes on without this page."
NONE_TICKED: Final = "no task is ticked: tick some, or choose all of the query"

Pairs = Sequence[tuple[str, TaskId]]


async def bulk(visit: Visit) -> Answer:
    """Move many tasks, or ask first."""
    return await _ordered(visit, Right.TASK_MOVE)


async def bulk_delete(visit: Visit) -> Answer:
    """Delete many tasks, or ask first."""
    return await _ordered(visit, Right.TASK_DELETE)


async def bulk_edit(visit: Visit) -> Answer:
    """Change an option of many tasks, or ask first."""
    return await _ordered(visit, Right.TASK_EDIT)


async def _ordered(visit: Visit, right: Right) -> Answer:
    verbs = [each.verb for each in BY_VERB.values() if each.right is right]
    order = BY_VERB[visit.form.one_of("verb", verbs)]
    if visit.form.one_of("which", (ALL, TICKED), TICKED) == ALL:
        return await _order_all(visit, order)
    return await _order_ticked(visit, order)


# --- those that are ticked ----------------------------------------------------------------------


async def _order_ticked(visit: Visit, order: Move) -> Answer:
    pairs = [_pair(each) for each in visit.form.several("task", most=MAX_PAIR, number=MOST_TICKED)]
    if not pairs:
        raise BadRequest(NONE_TICKED)
    for queue in {queue for queue, _ in pairs}:
        visit.require(order.right, queue)
    if not _is_confirmed(visit) or _lacks_reason(visit, len(pairs)):
        found = [await visit.inspector.get(*pair) for pair in pairs[:SAMPLE]]
        values = {
            "pairs": pairs,
            "count": len(pairs),
            "is_complete": True,
            "sample": [row_of(visit.board, each) for each in found if each is not None],
        }
        return await _asked(visit, order, values)
    order.command(visit)
    about = "1 task that was ticked" if len(pairs) == 1 else f"{len(pairs):,} tasks, ticked"
    job = job_of(visit, order, about, len(pairs))
    return _started(visit, job, one_by_one(visit, job, order, _by_queue(pairs)))


async def one_by_one(
    visit: Visit, job: Job, order: Move, tasks: Mapping[str, Sequence[TaskId]]
) -> Steps:
    """Give an order for tasks that are named, in batches, and report after each."""
    so_far = MoveProgress()
    for queue, ids in tasks.items():
        for at in range(0, len(ids), BATCH):
            part = ids[at : at + BATCH]
            try:
                outcomes = await order.carry_out(visit, queue, part)
            except BrokerRefused:
                so_far += MoveProgress(failed=len(part), looked=len(part))
            else:
                moved = _moved(part, outcomes)
                job.keep(queue, moved)
                failed = sum(isinstance(it, Conflict | Duplicate) for it in outcomes)
                skipped = len(part) - len(moved) - failed
                so_far += MoveProgress(len(moved), skipped, failed, looked=len(part))
            yield so_far


def _moved(part: Sequence[TaskId], outcomes: Outcomes) -> Sequence[TaskId]:
    return [task for task, it in zip(part, outcomes, strict=True) if isinstance(it, Moved)]


def _pair(text: str) -> tuple[str, TaskId]:
    try:
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=2, errors="strict")
    except ValueError:
        fields = []
    match fields:
        case [("queue", queue), ("id", task)]:
            return queue, task
        case _:
            raise BadRequest(f"task is {shown(text)}: expected a task of the list")


def _by_queue(pairs: Pairs) -> Mapping[str, Sequence[TaskId]]:
    found: dict[str, list[TaskId]] = {}
    for queue, task in dict.fromkeys(pairs):
        found.setdefault(queue, []).append(task)
    return found


# --- all of a query -----------------------------------------------------------------------------


async def _order_all(visit: Visit, order: Move) -> Answer:
    asked = _query(visit)
    if not any(each.qualifier == STATE and not each.is_negated for each in asked.terms):
        raise BadRequest(
            "all tasks are asked for, whatever their state: choose one, or name it in the query, "
            "such as state:dead"
        )
    query = asked & visit.visitor.rights.query(order.right)
    limit = visit.form.whole("limit", 1, MOST_LIMIT, 0) or None
    if not _is_confirmed(visit) or who(visit)["reason"] is None:
        preview = await visit.inspector.preview(
            query, _any(visit, order), look=visit.board.settings.look, sample=SAMPLE
        )
        count = preview.count if limit is None else min(limit, preview.count)
        if not _is_confirmed(visit) or _lacks_reason(visit, count):
            values = {
                "query": str(asked),
                "as_of": repr(preview.as_of),
                "count": preview.count,
                "is_complete": preview.is_complete,
                "looked": preview.looked,
                "sample": [row_of(visit.board, each) for each in preview.sample],
            }
            errors = (task.error for task in preview.sample)
            command = typed(asked, errors, *order.typed("tasks", order.verb, str(asked)))
            return await _asked(visit, order, values, command)
    as_of, total = _as_of(visit), visit.form.whole("count", 0, MOST_LIMIT, 0)
    job = job_of(visit, order, str(asked), (total if limit is None else min(total, limit)) or None)
    steps = visit.board.inspector_of(job.note).move(
        query,
        order.command(visit),
        as_of=as_of,
        limit=limit,
        pace=visit.form.number("pace", LEAST_PACE, MOST_LIMIT),
        **who(visit),
    )
    return _started(visit, job, steps)


def _query(visit: Visit) -> Query:
    """Return what the visitor sees on the page, without what narrows it to the rights."""
    queue = visit.form.maybe("queue", most=MAX_QUEUE)
    tab = visit.form.one_of("state", TABS, EVERY)
    own = Query() if queue is None else Query.where(queue=queue)
    of_tab = Query() if tab == EVERY else Query.where(state=tab)
    return own & of_tab & visit.form.query()


def _as_of(visit: Visit) -> Moment:
    """Return the moment of the page that asked; what came later is not touched."""
    moment = visit.form.number("as_of", 0, LAST_MOMENT)
    if moment is None:
        raise BadRequest("as_of is missing: expected the moment that the page before has named")
    return min(moment, visit.now)


# --- both ---------------------------------------------------------------------------------------


def _any(visit: Visit, order: Move) -> Command:
    """Return a command to preview: what the form is to say is not known yet where it asks."""
    is_known = order.asked is None or visit.form.is_set(order.asked.name)
    made = order.command if is_known or order.any_command is None else order.any_command
    return made(visit)


def _is_confirmed(visit: Visit) -> bool:
    return visit.form.maybe("confirm", most=len(YES)) == YES


def _lacks_reason(visit: Visit, count: int) -> bool:
    return count > ASKS_ABOVE and who(visit)["reason"] is None


async def _asked(
    visit: Visit, order: Move, values: Mapping[str, object], command: Sequence[str] = ()
) -> Page:
    given: Mapping[str, object] = {
        "pairs": (),
        "query": None,
        "as_of": "",
        "looked": 0,
        "move": order,
        "route": visit.name,
        "choices": await choices(visit, order),
        "asks_above": ASKS_ABOVE,
        "is_missing": _is_confirmed(visit),
    }
    return Page("bulk_confirm.html", f"{order.label}?", {**given, **values}, command)


def job_of(visit: Visit, order: Move, about: str, total: int | None) -> Job:
    """Return a job of a visitor, for the reason that the form gives."""
    job = Job(visit.visitor, order.verb, order.label, order.right, about=about, total=total)
    job.reason = who(visit)["reason"]
    return job


def _started(visit: Visit, job: Job, steps: Steps) -> Done:
    visit.board.jobs.start(job, steps, visit.board.now)
    return Done(visit.links.to("job", id=job.id), BEGUN)


ROUTES: Final = (
    Route("POST", "bulk", Right.TASK_MOVE, bulk),
    Route("POST", "bulk-delete", Right.TASK_DELETE, bulk_delete),
    Route("POST", "bulk-edit", Right.TASK_EDIT, bulk_edit),
)
