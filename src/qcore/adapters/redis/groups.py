"""Groups: list them and their members, and replace members by one task."""

from collections.abc import Sequence
from contextlib import suppress
from math import isfinite

from qcore.adapters.links.redis import Arg
from qcore.adapters.redis.encoding import decode_id, encode_id
from qcore.adapters.redis.enqueue import admission, encode_tasks
from qcore.adapters.redis.records import decode_or_describe
from qcore.adapters.redis.script_runner import MAX_TASKS_PER_CALL, ScriptRunner
from qcore.adapters.redis.scripts import AGGREGATE, LIST_GROUPS, LIST_MEMBERS
from qcore.domain.answers import Admission
from qcore.domain.groups import Group, Stale
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.states import State
from qcore.domain.task import Task

STALE = b"stale"


async def groups(runner: ScriptRunner, queue: str, limit: int, after: str) -> list[Group]:
    """Return groups of a queue in which tasks wait, in the order of their names."""
    found: list[Group] = []
    start: Arg = after
    while len(found) < limit:
        size = min(MAX_TASKS_PER_CALL, limit - len(found))
        (rows,) = await runner.run_idempotent(LIST_GROUPS, [([queue], [start, size])])
        for name, number, first, last in zip(*(rows[n::4] for n in range(4)), strict=True):
            start = name
            # a name that is not UTF-8 is somebody's edit: the doctor tells of it
            with suppress(UnicodeDecodeError):
                found.append(Group(queue, name.decode(), number, _moment(first), _moment(last)))
        if len(rows) < 4 * size:
            break
    return found


def _moment(score: bytes) -> Moment:
    """Return a score as a moment; an infinite one, which somebody has edited, as long ago."""
    moment = float(score)
    return moment if isfinite(moment) else 0.0


async def members(runner: ScriptRunner, queue: str, group: str, limit: int) -> list[Task]:
    """Return tasks that wait in a group, those due first before the others."""
    found: list[Task] = []
    after = b""
    while len(found) < limit:
        size = min(MAX_TASKS_PER_CALL, limit - len(found))
        (rows,) = await runner.run_idempotent(LIST_MEMBERS, [([queue], [group, size, after])])
        for member, name, value, record in zip(*(rows[n::4] for n in range(4)), strict=True):
            after = member
            if value is not None:
                found.append(
                    decode_or_describe(queue, decode_id(name), State.AGGREGATING, value, record)
                )
        if len(rows) < 4 * size:
            break
    return found


async def aggregate(
    runner: ScriptRunner, group: str, ids: Sequence[TaskId], task: NewTask, now: Moment
) -> Admission | Stale:
    """Put one task in the place of members of a group."""
    names = dict.fromkeys(map(encode_id, ids))
    words: list[Arg] = [group, len(names), *names, *encode_tasks([task], now)]
    (reply,) = await runner.run_once(AGGREGATE, [([task.queue], words)])
    return Stale() if reply == STALE else admission(task, reply, now)
