"""Which step of its chain a task is, and how its chain stands: told by headers, without a codec."""

from collections.abc import Mapping
from enum import StrEnum
from re import compile as pattern
from typing import Final, NamedTuple

from qcore.domain.new_task import NewTask
from qcore.domain.states import ENDED, State
from qcore.domain.task import Task

CHAIN_HEADER: Final = "qcore-chain"
"""The header that holds the later steps, encoded."""
STEP_HEADER: Final = "qcore-step"
"""The header of each step, the last one too, that says which it is: `2/5`."""
CHAIN_HEADERS: Final = frozenset({CHAIN_HEADER, STEP_HEADER})
_WRITTEN: Final = pattern(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,8})")


class Position(NamedTuple):
    """Which step of how many a task is."""

    step: int
    of: int


class ChainState(StrEnum):
    """How a chain stands, by one of its steps."""

    OPEN = "open"
    """The step has not ended."""
    STOPPED = "stopped"
    """The step has ended without success: what comes after it will not run."""
    PASSED = "passed"
    """The step has succeeded, and was not the last."""
    DONE = "done"
    """The last step has succeeded."""


STATES_OF: Final[Mapping[ChainState, frozenset[State]]] = {
    ChainState.OPEN: frozenset(State) - ENDED,
    ChainState.STOPPED: frozenset({State.ARCHIVED, State.DEAD}),
    ChainState.PASSED: frozenset({State.COMPLETED}),
    ChainState.DONE: frozenset({State.COMPLETED}),
}
"""The states in which a step can be of a chain that stands so."""


def position_in(headers: Mapping[str, str]) -> Position | None:
    """Return which step a task is; None for one of no chain, or of one that does not tell."""
    found = _WRITTEN.fullmatch(headers.get(STEP_HEADER, ""))
    if found is None:
        return None
    position = Position(int(found[1]), int(found[2]))
    return position if position.step <= position.of else None


def first_of(task: NewTask, more: int) -> Mapping[str, str]:
    """Return the header of a first step that so many others follow."""
    return {**task.headers, STEP_HEADER: f"1/{more + 1}"}


def after(task: NewTask) -> Mapping[str, str]:
    """Return the header of the step after a task; none where that does not tell its own."""
    position = position_in(task.headers)
    return {} if position is None else {STEP_HEADER: f"{position.step + 1}/{position.of}"}


def chain_state(task: Task) -> ChainState | None:
    """Return how the chain of a task stands; None of a task of none."""
    headers = task.spec.headers
    has_more = CHAIN_HEADER in headers
    if not has_more and position_in(headers) is None:
        return None
    if task.state is State.COMPLETED:
        return ChainState.PASSED if has_more else ChainState.DONE
    return ChainState.STOPPED if task.state in ENDED else ChainState.OPEN
