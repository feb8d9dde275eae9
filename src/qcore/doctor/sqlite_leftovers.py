"""Leftovers of somebody's edits: tasks that nobody comes across, and wrong numbers of tasks."""

from collections import Counter
from collections.abc import Iterator
from typing import Final, TypeAlias

from qcore.adapters.links.sqlite import Tx
from qcore.domain.diagnostics import Finding, ok, warning
from qcore.domain.states import State

COUNTED: Final = "SELECT queue, state, count(*) FROM qcore_tasks GROUP BY queue, state"
SAID: Final = """
SELECT key, name, scheduled, pending, aggregating, active, retry, completed, archived, dead
FROM qcore_queues
"""
STATES: Final = [str(state) for state in State if state is not State.GONE]
"""In the order of those columns."""

Numbers: TypeAlias = dict[tuple[object, object], object]
"""Numbers of tasks other than zero, by the key of their queue and their state."""


def leftovers(tx: Tx) -> Iterator[Finding]:
    """Compare the tasks with what the rows of their queues say."""
    names, said, counted = _read(tx)
    stray = Counter(
        {
            (names.get(key, key), state): number
            for (key, state), number in counted.items()
            if not isinstance(names.get(key), str) or state not in STATES
        }
    )
    if stray:
        (queue, state), _ = stray.most_common(1)[0]
        yield warning(
            "leftovers",
            f"{stray.total():,} tasks are in a queue or a state that qcore does not know, such as "
            f"queue {queue!r}, state {state!r}: nobody will run them",
            "correct or delete these rows of qcore_tasks",
        )
    wrong = [
        (key, state)
        for key, name in names.items()
        for state in STATES
        if isinstance(name, str) and said.get((key, state), 0) != counted.get((key, state), 0)
    ]
    for key, state in wrong:
        yield warning(
            "leftovers",
            f"{names[key]}: said to have {said.get((key, state), 0)!r} tasks {state}, and has "
            f"{counted.get((key, state), 0)!r}: it may be passed over",
            "stop the workers, and set the number in qcore_queues",
        )
    if not (stray or wrong):
        yield ok("leftovers", "each task is in one state, and counted")


def _read(tx: Tx) -> tuple[dict[object, object], Numbers, dict[tuple[object, object], int]]:
    """Return the names of queues, what their rows say, and how many tasks there are."""
    # of one moment, as workers go on; a borrowed connection is in a transaction already
    if tx.owns_file:
        tx.execute("BEGIN")
    rows = tx.execute(SAID)
    counted = {(queue, state): number for queue, state, number in tx.execute(COUNTED)}
    if tx.owns_file:
        tx.execute("COMMIT")
    names = {key: name for key, name, *_ in rows}
    said: Numbers = {
        (key, state): number
        for key, _, *numbers in rows
        for state, number in zip(STATES, numbers, strict=True)
    }
    return names, said, counted
