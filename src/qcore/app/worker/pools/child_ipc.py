"""What a worker and its child processes send each other over a pipe.

The worker sends a `Job`. The child sends any number of `ChildRequest`s, each but progress answered
by an `Outcome`, and then the job's `Outcome`.
"""

import pickle
import threading
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, Literal, TypeAlias

from qcore.app.tasks.run_details import progress_note
from qcore.domain.errors import QcoreError
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.record import record
from qcore.domain.retry import described
from qcore.domain.task import Claim, Lease


class ProcessDied(QcoreError):
    """Say that a handler's process ended before it answered: killed, out of memory, or a crash."""


class RemoteError(QcoreError):
    """Stand in for an error that could not be pickled in the process that raised it."""


@record
class Job:
    """A function of a module that a child is to call, and the run that it is called for."""

    module: str
    function: str
    claim: Claim
    deadline: Moment | None
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    clock_offset: float
    """Seconds to add to this machine's monotonic clock to have the worker's time."""
    follow_ups: Sequence[NewTask]
    """The follow-ups that a middleware has asked for so far."""


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

    value: Any
    follow_ups: Sequence[NewTask] = ()


@record
class Raised:
    """What a function has raised."""

    error: Exception


Outcome: TypeAlias = Returned | Raised
"""How a job, or the method of a request, has ended."""


class PipeRunStorage:
    """The `RunStorage` of a child process: its worker, over the pipe. Thread-safe."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
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
        with self._lock:
            if self._is_closed:
                raise QcoreError("the run is over: nothing more is kept of it")
            self._pipe.send(request)
            if not request.is_answered:
                return None
            answer: Outcome = self._pipe.recv()
        if isinstance(answer, Raised):
            raise answer.error
        return answer.value


def picklable(error: BaseException) -> Exception:
    """Return an error with its traceback as a note; a `RemoteError` if it cannot be pickled."""
    if not isinstance(error, Exception):
        return RemoteError(described(error))
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  (its own bytes)
    except Exception:  # noqa: BLE001  (whatever a class's own pickling raises)
        return RemoteError(described(error))
    return error
