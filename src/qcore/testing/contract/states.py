"""`bring_to`: bring a task into any state that can be reached through the port."""

from collections.abc import Mapping
from typing import Final

from attrs import evolve

from qcore.domain.lifecycle import MOVES
from qcore.domain.new_task import NewTask
from qcore.domain.states import State
from qcore.domain.transitions import Exhausted, Failed, Rejected, Succeeded, Transition
from qcore.ports import Broker
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.steps import a_claimed, end, put, take

LATER: Final = NOW + 60
"""When scheduled and retrying tasks of the cases are due."""

LIVE: Final = (State.SCHEDULED, State.PENDING, State.ACTIVE, State.RETRY)
ENDED: Final = (State.COMPLETED, State.ARCHIVED, State.DEAD)
REACHABLE: Final = LIVE + ENDED
"""Every state that a broker without groups keeps tasks in."""

_OUTCOMES: Final[Mapping[State, Transition]] = {
    State.RETRY: Failed("it failed", again_at=LATER),
    State.COMPLETED: Succeeded(b"42", "application/json"),
    State.ARCHIVED: Exhausted("it failed for good"),
    State.DEAD: Rejected("it can never succeed"),
}


def states_allowing(order: type) -> list[State]:
    """Return the states in which a command of this type is allowed."""
    return [state for state in REACHABLE if order in MOVES[state]]


async def bring_to(broker: Broker, state: State, spec: NewTask | None = None) -> NewTask:
    """Enqueue a task and bring it into a state, all of it now; return what was enqueued."""
    spec = _fit(a_task() if spec is None else spec, state)
    match state:
        case State.PENDING | State.SCHEDULED:
            await put(broker, spec)
        case State.ACTIVE:
            await a_claimed(broker, spec)
        case State.AGGREGATING:
            await put(broker, spec)
            await take(broker, 1, spec.queue, now=NOW + 1)
        case _:
            await end(broker, await a_claimed(broker, spec), _OUTCOMES[state])
    return spec


def _fit(spec: NewTask, state: State) -> NewTask:
    """Return a task with the options that the state requires."""
    match state:
        case State.SCHEDULED:
            return evolve(spec, due=LATER)
        case State.COMPLETED:
            return evolve(spec, retention=max(spec.retention, 3_600.0))
        case State.AGGREGATING:
            return evolve(spec, due=NOW + 1, group="a group")
        case _:
            return spec
