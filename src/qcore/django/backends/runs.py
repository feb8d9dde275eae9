"""What is kept of the runs of a task of Django: who ran it and when, and what it raised.

It is saved as the task's partial work, which its function cannot reach.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from attrs import evolve, field

from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.run_details import MAX_ERRORS

MAX_RUNS: Final = 100
NOT_RAISED: Final = "qcore.errors.QcoreError"
"""In the place of the class of what a run has raised, where it has raised nothing."""


@record
class Runs:
    """The runs of one task."""

    workers: tuple[str, ...] = ()
    """Who ran it, the first first: at most the last hundred."""
    first: Moment | None = None
    last: Moment | None = None
    """When the last one began."""
    raised: tuple[tuple[int, str], ...] = field(default=())
    """The number of a run, and the dotted name of the class of what it raised."""
    told: int = 0
    """The number of the run after which receivers were told that the task has finished."""

    def begun(self, worker: str, now: Moment) -> "Runs":
        """Return these and one that begins."""
        first = now if self.first is None else self.first
        return evolve(self, workers=(*self.workers, worker)[-MAX_RUNS:], first=first, last=now)

    def failed(self, attempt: int, error: BaseException, *, is_last: bool) -> "Runs":
        """Return these, with what the last one raised."""
        raised = (*self.raised, (attempt, path_of(type(error))))[-MAX_ERRORS:]
        return evolve(self, raised=raised, told=attempt if is_last else self.told)

    def encoded(self) -> bytes:
        """Return them as bytes."""
        return json.dumps([self.workers, self.first, self.last, self.raised, self.told]).encode()


def runs_of(saved: bytes | None) -> Runs:
    """Return the runs that were saved; none where nothing was."""
    if saved is None:
        return Runs()
    # what was saved before there was `told` has none
    workers, first, last, raised, *told = json.loads(saved)
    pairs: Sequence[Any] = raised
    return Runs(tuple(workers), first, last, tuple((number, path) for number, path in pairs), *told)


def path_of(kind: type) -> str:
    """Return the dotted name of a class, under which it is imported."""
    return f"{kind.__module__}.{kind.__qualname__}"
