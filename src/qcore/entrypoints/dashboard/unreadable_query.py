"""The page of a query that cannot be read: what is wrong with it, and the query, to be mended."""

from typing import Final

from qcore.entrypoints.dashboard.pages.complete import completions
from qcore.entrypoints.dashboard.refusals import BadQuery
from qcore.entrypoints.dashboard.visit import Page, Visit

KEPT: Final = ("queue", "state")
"""Parameters that lead back to the list that was asked for."""


def page_of(visit: Visit, refusal: BadQuery) -> Page:
    """Return the page for a list that was asked for with such a query."""
    given = {name: visit.query.first(name) for name in KEPT}
    kept = {name: value for name, value in given.items() if value}
    queue = {"queue": kept["queue"]} if "queue" in kept else {}
    values = {
        "text": str(refusal),
        "q": refusal.query,
        "kept": kept,
        **completions(visit, **queue),
    }
    status = int(refusal.status)
    return Page("unreadable_query.html", "This query cannot be read", values, status=status)
