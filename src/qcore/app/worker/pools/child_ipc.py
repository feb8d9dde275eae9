"""What a worker and its child processes send each other over a pipe.

Before the first job with a function the worker sends its `ProcessFunction`, and the child answers
with an `Outcome` when it has imported what it needs. The worker sends a `Job`. The child sends any
number of `ChildRequest`s, each but progress answered by an `Outcome`, and then the job's `Outcome`.
"""

import os
import pickle
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, Literal, TypeAlias

from attrs import evolve

from qcore.app.tasks.process_function import ProcessFunction
from qcore.app.tasks.run_details import progress_note
from qcore.app.worker.pools.error_record import ErrorRecord
from qcore.app.worker.pools.error_stand_in import rebuilt
from qcore.domain.errors import QcoreError
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.record import record
from qcore.domain.task import Claim, Lease


@record
class Job:
    """A function that a child is to call, and the run that it is called for."""

    function: ProcessFunction
    claim: Claim
    deadline: Moment | None
    arguments: bytes | ErrorRecord
    """The positional and the named ones, pickled, which fail this run alone if they cannot be read;
    or why they cannot be pickled, if the child is to decode the payload itself."""
    clock_offset: float
    """Seconds to add to this machine's monotonic clock to have the worker's time."""
    follow_ups: Sequence[NewTask]
    """The follow-ups that a middleware has asked for so far."""
    headers: Mapping[str, str] | None = None
    """The run's own headers, which a middleware may have changed; None for those of the task."""
    worker: str = ""
    """The name of the worker."""


@record
class ChildRequest:
    """A method of the run's `Context` that the worker is to call for the child."""

    method: Literal["progress", "save_sync", "saved_sync"]
    args: tuple[Any, ...]

    @property
    def is_answered(self) -> bool:
        """Whether the child waits for an answer."""
        return self.method != "progress"


@record
class Returned:
    """What a function has returned, and the follow-ups that it has asked for."""

    value: bytes
    """Pickled."""
    name: str
    """Of its class."""
    follow_ups: Sequence[NewTask] = ()


@record
class Raised:
    """What a function has raised."""

    error: ErrorRecord


Outcome: TypeAlias = Returned | Raised
"""How a job, or the method of a request, has ended."""


class PipeRunStorage:
    """The `RunStorage` of a child process: its worker, over the pipe. Thread-safe."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._is_closed = False

    def progress(self, lease: Lease, fraction: float, message: str) -> None:
        """Send how far the run has come; nothing is waited for."""
        progress = progress_note(lease, 0.0, fraction, message).progress
        if progress is not None:
            self._send(ChildRequest("progress", (progress.fraction, progress.message)))

    def save_sync(self, lease: Lease, data: bytes) -> None:  # noqa: ARG002  (the worker knows it)
        """Have partial work written; it is written when this returns."""
        self._send(ChildRequest("save_sync", (data,)))

    def saved_sync(self, lease: Lease) -> bytes | None:  # noqa: ARG002
        """Return the partial work that was saved last."""
        saved: bytes | None = self._send(ChildRequest("saved_sync", ()))
        return saved

    async def save(self, lease: Lease, data: bytes) -> None:
        """Do what `save_sync` does: a process has nothing else to do meanwhile."""
        self.save_sync(lease, data)

    async def saved(self, lease: Lease) -> bytes | None:
        """Do what `saved_sync` does."""
        return self.saved_sync(lease)

    def close(self) -> None:
        """Send no more: a thread that the handler left behind would write into the next run."""
        with self._lock:
            self._is_closed = True

    def _send(self, request: ChildRequest) -> Any:
        """Send a request; return its answer, or raise it."""
        if os.getpid() != self._pid:
            # before the lock, which a thread may have held when the process forked
            raise QcoreError("a process that a handler forked cannot write to the handler's run")
        with self._lock:
            if self._is_closed:
                raise QcoreError("the run is over: nothing more is kept of it")
            self._pipe.send(request)
            if not request.is_answered:
                return None
            answer: Outcome = self._pipe.recv()
        if isinstance(answer, Raised):
            # its traceback is to begin in the handler
            raise rebuilt(evolve(answer.error, traceback=None))
        return pickle.loads(answer.value)  # noqa: S301  (of its worker)
