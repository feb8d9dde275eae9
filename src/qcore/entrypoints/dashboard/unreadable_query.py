"""The page of a query that cannot be read: what is wrong with it, and the query, to be mended."""

from collections.abc import Sequence
from typing import Final

from qcore.app.client.query_terms import quoted
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
        "instead": _instead(refusal.query),
        **completions(visit, **queue),
    }
    status = int(refusal.status)
    return Page("unreadable_query.html", "This query cannot be read", values, status=status)


def _instead(text: str) -> Sequence[str]:
    """Return queries that may be meant by words without a qualifier, such as an id."""
    words = text.strip()
    if not words or ":" in words:
        return ()
    asked = words if words.isalnum() else quoted(words)
    return [f"{each}:{asked}" for each in ("id", "text")]
