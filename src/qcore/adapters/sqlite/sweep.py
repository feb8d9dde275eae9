"""What time moves."""

import json
from collections.abc import Sequence
from typing import Final

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite.queue_rows import Line, keep, lines
from qcore.adapters.sqlite.statements import statements
from qcore.adapters.sqlite.transitions import forget, late, stale, write
from qcore.domain.answers import Swept
from qcore.domain.lifecycle import Crashed, Expired, State
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.task import RetentionPolicy

_SQL: Final = statements("sweep")


@record
class Chore:
    """What a sweep is asked to do."""

    queues: Sequence[str]
    limit: int
    past: RetentionPolicy
    now: Moment


def nothing_to_sweep(tx: Tx, chore: Chore) -> Swept | None:
    """Return that nothing was moved if there is nothing to move, None if there may be."""
    asked = {
        "queues": json.dumps(chore.queues),
        "now": chore.now,
        "count": chore.past.count,
        "age": chore.past.age,
    }
    if chore.limit < 1 or tx.execute(_SQL["anything"], asked):
        return None
    return Swept()


def sweep(tx: Tx, chore: Chore) -> Swept:
    """Move what time has moved."""
    crashed = expired = trimmed = 0
    more = False
    found = lines(tx, chore.queues)
    for line in [found[name] for name in chore.queues if name in found]:
        done = _crash(tx, line, chore), _expire(tx, line, chore), _trim(tx, line, chore)
        crashed, expired, trimmed = crashed + done[0], expired + done[1], trimmed + done[2]
        more = more or max(done) >= chore.limit
    keep(tx, found.values())
    return Swept(crashed, expired, trimmed, more)


def _crash(tx: Tx, line: Line, chore: Chore) -> int:
    """Take back the tasks whose lease ran out."""
    tasks = late(tx, line, chore.now, chore.limit)
    for task in tasks:
        task.move(Crashed(), chore.now)
    write(tx, tasks)
    return len(tasks)


def _expire(tx: Tx, line: Line, chore: Chore) -> int:
    """End the tasks that did not start in time."""
    tasks = stale(tx, line, chore.now, chore.limit)
    for task in tasks:
        task.move(Expired(), chore.now)
    write(tx, tasks)
    return len(tasks)


def _trim(tx: Tx, line: Line, chore: Chore) -> int:
    """Forget the tasks that have been kept for long enough."""
    over = [key for (key,) in tx.execute(_SQL["over"], (line.key, chore.now, chore.limit))]
    done = _forget(tx, line, State.COMPLETED, over)
    for state in (State.ARCHIVED, State.DEAD):
        oldest = tx.execute(_SQL["oldest"], (line.key, state, chore.limit - done))
        done += _forget(tx, line, state, _past(oldest, line.counts[state], chore))
    return done


def _past(oldest: Sequence[Row], number: int, chore: Chore) -> list[int]:
    """Return, of the oldest of a state, those past their age, and those that are too many."""
    too_many = number - chore.past.count
    return [
        key
        for n, (key, ended) in enumerate(oldest)
        if n < too_many or ended + chore.past.age <= chore.now
    ]


def _forget(tx: Tx, line: Line, state: State, keys: Sequence[int]) -> int:
    forget(tx, keys)
    line.moved(state, State.GONE, len(keys))
    return len(keys)
