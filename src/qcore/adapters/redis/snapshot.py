"""Snapshots of tasks: what Redis stores of them, and in which state."""

from collections.abc import Iterable, Sequence

from qcore.adapters.redis.encoding import StoredId, encode_id
from qcore.adapters.redis.keys import STATE_OF
from qcore.adapters.redis.script_runner import ScriptRunner, chunks, group_by_queue
from qcore.adapters.redis.scripts import READ
from qcore.adapters.redis.task_state import TaskState
from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.domain.states import ENDED, State


@record
class Snapshot:
    """The value and run record of a task, its state, its score there, and its name."""

    name: StoredId
    state: State
    value: bytes
    progress: bytes | None
    score: bytes
    task_name: str = ""

    def is_held(self, token: int) -> bool:
        """Return whether it is active under a token."""
        return self.state is State.ACTIVE and self.task_state().token == token

    def task_state(self) -> TaskState:
        """Return what an event can be applied on."""
        return TaskState(self.name, self.state, self.value, self.progress, self.score)


async def read_snapshots(
    runner: ScriptRunner, queue: str, ids: Sequence[TaskId], *, whole: bool = False
) -> list[Snapshot | None]:
    """Read tasks of one queue, None where there is none; with their options if `whole`.

    The name is in the options: a snapshot that has these does without.
    """
    names = [encode_id(task) for task in ids]
    asked = [([queue], [1 if whole else 2, *chunk]) for chunk in chunks(names)]
    rows = [item for reply in await runner.run_idempotent(READ, asked) for item in reply]
    parts = zip(names, rows[::4], rows[1::4], rows[2::4], rows[3::4], strict=True)
    return [
        None
        if value is None
        else Snapshot(name, STATE_OF[state], value, progress, score)
        if whole
        else _with_name(name, STATE_OF[state], value, progress, score)
        for name, value, progress, state, score in parts
    ]


def _with_name(
    name: StoredId, state: State, value: bytes, progress: bytes | None, score: bytes
) -> Snapshot:
    """Return a snapshot of a value that has the task's name in the place of its options."""
    head, bar, called = value.partition(b"|")
    return Snapshot(name, state, head + bar, progress, score, called.decode(errors="replace"))


async def living(
    runner: ScriptRunner, tasks: Iterable[tuple[str, TaskId]]
) -> set[tuple[str, TaskId]]:
    """Return those of these tasks that are stored in their queue and have not ended."""
    asked = [
        (queue, chunk)
        for queue, ids in group_by_queue((q, (q, i)) for q, i in tasks).items()
        for chunk in chunks(ids)
    ]
    words = [([queue], [0, *(encode_id(task) for _, task in chunk)]) for queue, chunk in asked]
    replies = await runner.run_idempotent(READ, words)
    return {
        task
        for (_, chunk), reply in zip(asked, replies, strict=True)
        for task, state in zip(chunk, reply[2::4], strict=True)
        if state is not None and STATE_OF[state] not in ENDED
    }
