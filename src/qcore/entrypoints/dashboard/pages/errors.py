"""Failures by cause, and orders for all tasks that have failed for one."""

from collections.abc import Sequence
from typing import Final

from qcore.app.client.failure_groups import FAILED
from qcore.app.client.queries import Query
from qcore.domain.fingerprints import FINGERPRINT
from qcore.domain.task_error import DISCARDED
from qcore.domain.text import shown
from qcore.domain.transitions import Discarded, RunNow
from qcore.entrypoints.dashboard.commands import typed
from qcore.entrypoints.dashboard.inputs import Inputs
from qcore.entrypoints.dashboard.pages.complete import completions
from qcore.entrypoints.dashboard.query_orders import QueryOrder, carried_out, told
from qcore.entrypoints.dashboard.refusals import BadRequest
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Answer, Route
from qcore.entrypoints.dashboard.visit import YES, Done, Page, Visit

GROUPS: Final = 50
LOOK: Final = 2_000
"""Failed tasks that the page looks at: of each queue and state an equal share, the latest."""
LOOK_TO_MOVE: Final = 10_000
"""Tasks that are looked at to move those of one group, while a page is waited for."""
SAMPLE: Final = 5
PACES: Final = (10, 100, 1_000)
"""How many tasks one order moves at most; ten first shows whether the cause is gone."""
MAX_FINGERPRINT: Final = 12
WERE_DISCARDED: Final = Query.parse(f'state:archived error:"{DISCARDED}"')
NOT_DISCARDED: Final = Query.parse(f'-error:"{DISCARDED}"')
"""What somebody has looked at already, and set aside, is no failure to be looked at."""


RETRY: Final = QueryOrder(
    "errors-retry",
    "run",
    "Retry",
    "They are pending at once, with fresh budgets. Ten first show whether the cause is gone.",
    "pending again",
    Right.TASK_MOVE,
    RunNow,
)
DISCARD: Final = QueryOrder(
    "errors-discard",
    "discard",
    "Discard",
    "They are set aside, and are not run. They can be brought back until they are removed.",
    "discarded",
    Right.TASK_MOVE,
    Discarded,
)
ORDERS: Final = (RETRY, DISCARD)


async def errors(visit: Visit) -> Page:
    """Show the failed tasks that the visitor may see, by cause."""
    asked = visit.query.query()
    allowed = visit.visitor.rights.query(Right.TASK_READ)
    limit = visit.query.whole("limit", 1, GROUPS, GROUPS)
    query = allowed & asked & NOT_DISCARDED
    report = await visit.inspector.failures(query, look=LOOK, limit=limit)
    values = {
        "report": report,
        "q": str(asked),
        "orders": [each for each in ORDERS if visit.may(each.right)],
        "discarded": str(WERE_DISCARDED),
        **completions(visit),
    }
    command = typed(asked, (each.message for each in report.groups), "errors", *_words(asked))
    return Page("errors.html", "Errors", values, command, live={})


async def retry(visit: Visit) -> Answer:
    """Run the tasks of a group again, so many first; ask before."""
    return await _carry_out(visit, RETRY)


async def discard(visit: Visit) -> Answer:
    """Set the tasks of a group aside; ask before."""
    return await _carry_out(visit, DISCARD)


async def _carry_out(visit: Visit, order: QueryOrder) -> Answer:
    form, asked = visit.form, visit.form.query()
    fingerprint = _fingerprint(form)
    query = asked & Query.parse(f"state:{','.join(FAILED)} fingerprint:{fingerprint}")
    # of those that are seen, and no others: what somebody may not see is not counted either
    allowed = visit.visitor.rights.query(order.right)
    number = form.whole("number", 1, max(PACES), PACES[0])
    if form.maybe("confirm", most=len(YES)) != YES:
        preview = await visit.inspector.preview(
            allowed & query, order.move(), look=visit.board.settings.look, sample=SAMPLE
        )
        values = {
            "order": order,
            "preview": preview,
            "q": str(asked),
            "fingerprint": fingerprint,
            "query": query,
            "paces": _paces(preview.count, is_all=preview.is_complete),
        }
        errors = (task.error for task in preview.sample)
        command = typed(query, errors, "tasks", order.verb, str(query), "--limit", str(number))
        return Page("errors_confirm.html", f"{order.label}?", values, command)
    as_of = form.moment("as_of", visit.now)
    progress = await carried_out(
        visit, order, allowed & query, as_of, limit=number, look=LOOK_TO_MOVE
    )
    to = visit.links.to("errors", q=str(asked) or None)
    return Done(to, told(order, progress), is_good=progress.done > 0)


def _paces(count: int, *, is_all: bool) -> Sequence[int]:
    """Return the numbers that make a difference for so many tasks."""
    return [each for i, each in enumerate(PACES) if not i or not is_all or count > PACES[i - 1]]


def _fingerprint(form: Inputs) -> str:
    text = form.text("fingerprint", most=MAX_FINGERPRINT)
    if FINGERPRINT.fullmatch(text) is None:
        raise BadRequest(f"fingerprint is {shown(text)}: expected twelve digits from 0 to f")
    return text


def _words(query: Query) -> Sequence[str]:
    return [str(query)] if query.terms else []


ROUTES: Final = (
    Route("GET", "errors", Right.TASK_READ, errors, nav="Errors"),
    Route("POST", RETRY.route, RETRY.right, retry),
    Route("POST", DISCARD.route, DISCARD.right, discard),
)
