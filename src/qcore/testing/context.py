"""`a_context`: a `Context` with which a test calls a handler as an ordinary function."""

from typing import Any

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.serializers import JsonSerializer
from qcore.app.calls.call import TaskRequest
from qcore.app.calls.codec import Codec
from qcore.app.client.client import Client
from qcore.app.tasks.context import Context, RunServices
from qcore.app.tasks.run_details import MAX_SAVED, RunStorage, progress_note, saved_note
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.run_details import Progress
from qcore.domain.states import State
from qcore.domain.task import Claim, Lease
from qcore.testing.builders import NOW, a_lease, a_stored_task, a_task
from qcore.testing.clock import ManualClock


class RecordedRun:
    """A run's progress and saved work, recorded in memory for a test to look at."""

    def __init__(self, saved: bytes | None = None) -> None:
        self.progress_updates: list[Progress] = []
        """Each progress, the newest last; a worker stores only some of them."""
        self.saved_work = saved
        """What was saved last, by this attempt or an earlier one."""

    def progress(self, lease: Lease, fraction: float, message: str) -> None:
        """Record progress."""
        progress = progress_note(lease, NOW, fraction, message).progress
        self.progress_updates += [] if progress is None else [progress]

    async def save(self, lease: Lease, data: bytes) -> None:
        """Record partial work."""
        self.save_sync(lease, data)

    async def saved(self, lease: Lease) -> bytes | None:
        """Return the work that was saved last."""
        return self.saved_sync(lease)

    def save_sync(self, lease: Lease, data: bytes) -> None:
        """Record partial work."""
        self.saved_work = saved_note(lease, data, MAX_SAVED).saved

    def saved_sync(self, lease: Lease) -> bytes | None:  # noqa: ARG002  (there is one run)
        """Return the work that was saved last."""
        return self.saved_work


def a_context(
    *state: Any,
    task: NewTask | None = None,
    attempt: int = 1,
    failures: int = 0,
    deadline: Moment | None = None,
    storage: RunStorage | None = None,
) -> Context:
    """Return the context of a run; `state` are the objects that a lifespan would have made.

    What the handler asks for by `ctx.then` is in `ctx.follow_ups`, its payload in JSON. What it
    says by `ctx.progress` and `ctx.save` is recorded in `storage`, a `RecordedRun` that a test may
    look at.
    """
    spec = task or a_task()
    stored = a_stored_task(spec, state=State.ACTIVE, attempts=attempt, failures=failures)
    claim = Claim(stored, a_lease(spec.id, queue=spec.queue))
    known: dict[type, Any] = {type(each): each for each in state}
    return Context(
        claim, RunServices(known, build=_build, storage=storage or RecordedRun()), deadline=deadline
    )


def _build(asked: TaskRequest) -> NewTask:
    """Return what a worker would store, with a broker that has every capability but time."""
    client = Client(MemoryBroker(), clock=ManualClock(), codec=Codec([JsonSerializer()]))
    return client.build(asked, NOW)
