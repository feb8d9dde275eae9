"""A context for calling a handler as the function it is."""

from typing import Any

from qcore.app.context import Context
from qcore.domain.lifecycle import State
from qcore.domain.moments import Moment
from qcore.domain.task import Claim, NewTask
from qcore.testing.build import a_lease, a_stored_task, a_task


def a_context(
    *state: Any,
    task: NewTask | None = None,
    attempt: int = 1,
    failures: int = 0,
    deadline: Moment | None = None,
) -> Context:
    """Return the context of a run; `state` are the objects that a lifespan would have made."""
    spec = task or a_task()
    stored = a_stored_task(spec, state=State.ACTIVE, attempts=attempt, failures=failures)
    claim = Claim(stored, a_lease(spec.id, queue=spec.queue))
    return Context(claim, deadline=deadline, state={type(each): each for each in state})
