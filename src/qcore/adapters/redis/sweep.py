"""Sweep: crashed and expired tasks, and the trimming of history."""

from collections.abc import Sequence

from qcore.adapters.links.redis import Arg
from qcore.adapters.redis.encoding import decode_id
from qcore.adapters.redis.script_runner import MAX_TASKS_PER_CALL, ScriptRunner, refuse_in_part
from qcore.adapters.redis.scripts import SWEEP
from qcore.adapters.redis.snapshot import Snapshot
from qcore.adapters.redis.transitions import ConditionalWrite, apply_transitions
from qcore.domain.answers import Swept, SweptByKind, SweptTask, swept
from qcore.domain.moments import Moment
from qcore.domain.states import State
from qcore.domain.transitions import Crashed, Expired

CRASHED, EXPIRED, TRIMMED = range(3)


async def sweep(runner: ScriptRunner, queues: Sequence[str], limit: int, now: Moment) -> Swept:
    """Take back tasks whose lease ended, end those that expired, and trim history."""
    run = _Sweep(runner, limit, now)
    left = runner.queue_batches(queues) if limit > 0 else []
    while left:
        left = await run.sweep_once(left)
    return run.swept()


class _Sweep:
    """A sweep of some queues, in calls of at most 250 tasks each."""

    def __init__(self, runner: ScriptRunner, limit: int, now: Moment) -> None:
        self._runner = runner
        self._limit = limit
        self._now = now
        self._done: dict[str, SweptByKind] = {}

    def swept(self) -> Swept:
        """Return what was swept so far."""
        return swept(self._done.values(), self._limit)

    async def sweep_once(self, groups: Sequence[list[str]]) -> list[list[str]]:
        """Sweep some groups of queues once; return those that may have more."""
        asked = [(group, self._words(group)) for group in groups]
        replies = await self._runner.run_idempotent(SWEEP, asked)
        again: list[list[str]] = []
        for group, reply in zip(groups, replies, strict=True):
            full = False
            rows = zip(group, reply[::3], reply[1::3], reply[2::3], strict=True) if reply else ()
            for queue, trimmed, late, stale in rows:
                done = self._done.setdefault(queue, ([], [], []))
                room = [self._room(queue, kind) for kind in (CRASHED, EXPIRED, TRIMMED)]
                moved = (
                    await self._move(queue, late, State.ACTIVE, Crashed()),
                    await self._move(queue, stale, State.PENDING, Expired()),
                    [SweptTask(queue, decode_id(name), State.GONE) for name in trimmed],
                )
                for kind, more in zip(done, moved, strict=True):
                    kind.extend(more)
                full = full or any(0 < len(n) == most for n, most in zip(moved, room, strict=True))
            if full:
                again.append(group)
        return again

    def _words(self, group: Sequence[str]) -> list[Arg]:
        keep = self._runner.keep
        words: list[Arg] = [repr(self._now), keep.count, repr(self._now - keep.age)]
        for queue in group:
            words += (self._room(queue, kind) for kind in (CRASHED, EXPIRED, TRIMMED))
        return words

    def _room(self, queue: str, kind: int) -> int:
        done = len(self._done[queue][kind]) if queue in self._done else 0
        return max(0, min(MAX_TASKS_PER_CALL, self._limit - done))

    async def _move(
        self, queue: str, rows: Sequence[bytes], state: State, event: Crashed | Expired
    ) -> list[SweptTask]:
        """Apply an event to tasks, each if it is unchanged since it was found."""
        writes: list[ConditionalWrite] = []
        tasks: list[SweptTask] = []
        for name, value, progress, score, called in zip(
            *(rows[n::5] for n in range(5)), strict=True
        ):
            snapshot = Snapshot(
                name, state, value, progress, score, called.decode(errors="replace")
            )
            task_state = snapshot.task_state()
            # a pending task's score is its negated priority, not a moment: the guard is for any
            guard = task_state.snapshot_guard(score if state is State.ACTIVE else None)
            after = task_state.apply(event, self._now)
            ending = snapshot.task_name, event, after, None
            writes.append((queue, name, 0, [*guard, *task_state.encode_change()], ending))
            tasks.append(
                SweptTask(
                    queue, decode_id(name), after, event, snapshot.task_name, task_state.attempts
                )
            )
        made = refuse_in_part(await apply_transitions(self._runner, writes, self._now))
        return [task for task, was_made in zip(tasks, made, strict=True) if was_made]
