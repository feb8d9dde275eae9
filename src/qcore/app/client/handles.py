"""Handles of enqueued tasks: their state, progress and result, and commands to change them."""

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeAlias, TypeVar, Unpack

from qcore.app.calls.codec import Codec
from qcore.app.calls.foreign_names import OF_HANDLES, missing
from qcore.app.calls.signature import Signature
from qcore.app.client.changes import (
    ChangesWithArguments,
    changes_of,
    keep_reserved,
    own_changes,
    reschedule_to,
)
from qcore.app.client.inline import iterate_inline, run_inline
from qcore.app.client.task_notifications import TaskNotifications
from qcore.domain.answers import Admission, Enqueued, Missing, Moved, NotAllowed
from qcore.domain.errors import RESULT_NOT_KEPT, NoResult, ResultNotKept
from qcore.domain.moments import Duration, Moment, seconds_of
from qcore.domain.new_task import NewTask
from qcore.domain.record import record
from qcore.domain.run_details import AttemptError, Details, Progress
from qcore.domain.states import ENDED, State
from qcore.domain.task import Task
from qcore.domain.transitions import Cancelled, Command, Deleted
from qcore.ports import Clock, Operator, Reader

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)

FIRST_POLL: Final = 0.25
"""Seconds after which a handle that waits reads its task without having been notified: brokers do
not report a task that is gone. The interval grows by half each time,"""
LONGEST_POLL: Final = 1.0
"""up to so many seconds."""

CommandAnswer: TypeAlias = Moved | NotAllowed | Missing
"""The answer to a command."""


WITHOUT_RESULT: Final = frozenset({State.DEAD, State.ARCHIVED})
"""Final states in which a task has no result, unless an operator runs it again."""


@record
class TaskUpdate:
    """The state and the progress of a task, as `Handle.watch` yields them."""

    state: State
    progress: Progress | None


class TaskStore(Reader, Operator, Protocol):
    """What a handle asks of a broker: to read its task, and to change it as an operator may."""


class TaskAccess(Protocol):
    """The part of a client that its handles use."""

    clock: Clock
    codec: Codec
    notifications: TaskNotifications

    @property
    def broker(self) -> TaskStore:
        """Return where its task is."""
        ...

    async def open(self) -> None:
        """Open the broker, unless that was done."""
        ...

    def payload_of(
        self, name: str, arguments: Mapping[str, Any], signature: Signature | None
    ) -> dict[str, Any]:
        """Return arguments as the fields of a task; raise `InvalidTask` if they do not fit."""
        ...


class Handle(Generic[R_co]):
    """An enqueued task, known by its queue and its id."""

    __slots__ = ("_client", "_signature", "_task", "id", "is_new", "name", "queue")

    def __init__(
        self,
        client: TaskAccess,
        task: NewTask,
        answer: Admission,
        signature: Signature | None = None,
    ) -> None:
        self._client = client
        self._task = task
        self._signature = signature
        self.id = answer.id
        self.name = task.name
        self.queue = task.queue
        self.is_new = isinstance(answer, Enqueued)
        """Whether this call stored the task; if not, it is a live task that was stored before: the
        one with this id, or the one that holds the unique key."""

    def __repr__(self) -> str:
        """Show which task it is."""
        return f"<{type(self).__name__} {self._task.name} {self.queue}/{self.id}>"

    if not TYPE_CHECKING:  # which would take any attribute then

        def __getattr__(self, name: str) -> Any:
            """Raise `AttributeError`, which says what another queue's method is here."""
            raise missing(self, name, OF_HANDLES)

    # --- read ----------------------------------------------------------------------------------

    async def task(self) -> Task | None:
        """Return the task as it is now, None when it is no longer stored."""
        return (await self._client.broker.get(self.queue, [self.id]))[0]

    async def status(self) -> State:
        """Return where the task is; `State.GONE` when it is no longer stored."""
        return _state(await self.task())

    async def progress(self) -> Progress | None:
        """Return the progress that its last run reported; None if it reported none."""
        details = await self._details()
        return None if details is None else details.progress

    async def errors(self) -> Sequence[AttemptError]:
        """Return the errors of its last runs, ten at most, the oldest first."""
        details = await self._details()
        return () if details is None else details.errors

    async def _details(self) -> Details | None:
        return (await self._client.broker.details(self.queue, [self.id]))[0]

    # --- wait ----------------------------------------------------------------------------------

    async def result(self, timeout: Duration | None = None) -> R_co:  # noqa: ASYNC109
        """Wait for the task to be completed, and return what its handler returned.

        Raises `NoResult` when it never will have one (it is dead, archived, gone, or keeps none
        because its `retention` is 0): `ResultNotKept` if its handler has returned what cannot be
        kept. Raises TimeoutError after `timeout` seconds.
        """
        if self.is_new and not self._task.retention:
            raise NoResult(f"{self!r} keeps no result: enqueue it with retention=…")
        await self._client.open()
        until = None
        if timeout is not None:
            until = self._client.clock.monotonic() + seconds_of(timeout, "timeout")
        state = State.PENDING
        async with aclosing(self._reads(until)) as reads:
            async for task in reads:
                state = _state(task)
                if task is None or state in WITHOUT_RESULT:
                    raise _no_result(self, task)
                if state is State.COMPLETED:
                    value: R_co = self._decoded(task)
                    return value
        raise TimeoutError(f"{self!r} is {state} after {timeout} seconds")

    async def watch(self) -> AsyncGenerator[TaskUpdate, None]:
        """Yield the task's state and progress now, and whenever they have changed, until it ends.

        The last update has the final state, `State.GONE` if the task is no longer stored. A slow
        consumer misses updates in between, never the last one.
        """
        await self._client.open()
        last, progress = None, None
        async with aclosing(self._reads()) as reads:
            async for task in reads:
                # read after the task: progress is written before the verdict
                details = await self._details()
                progress = progress if details is None else details.progress
                seen = TaskUpdate(_state(task), progress)
                if seen != last:
                    yield seen
                if seen.state in ENDED:
                    return
                last = seen

    async def _reads(self, until: float | None = None) -> AsyncGenerator[Task | None, None]:
        """Yield the task now, at each notification, at growing intervals, and at `until`.

        That is a reading of the monotonic clock.
        """
        yield await self.task()
        clock, pause = self._client.clock, FIRST_POLL
        waiter = await self._client.notifications.waiter(self.queue, self.id)
        try:
            while True:
                waiter.clear()
                yield await self.task()
                left = inf if until is None else until - clock.monotonic()
                if left <= 0:
                    return
                await waiter.wait(min(pause, left))
                pause = min(LONGEST_POLL, pause * 1.5)
        finally:
            waiter.close()

    def _decoded(self, task: Task) -> Any:
        if task.result is None:
            return None
        codec = self._client.codec
        kind = Any if self._signature is None else self._signature.returns
        if codec.why_unreadable(kind) is not None:
            # what the worker kept arrives as plain data
            kind = Any
        return codec.loads(task.result, task.result_type, kind)

    # --- change --------------------------------------------------------------------------------

    async def reschedule(
        self, *, at: datetime | Moment | None = None, delay: Duration | None = None
    ) -> CommandAnswer:
        """Make it due at a moment, or after a delay from now, earlier or later than it was.

        Returns `Moved` with its state; `NotAllowed` with the state of one that runs or has ended;
        `Missing` for one that is no longer stored.
        """
        await self._client.open()
        return await self._execute(reschedule_to(at, delay, self._client.clock.now()))

    async def update(self, **changes: Unpack[ChangesWithArguments]) -> CommandAnswer:
        """Change options or arguments of a task that does not run; its state stays.

        `changes` are options, and `arguments`, a mapping of all arguments. Returns what
        `reschedule` returns; raises `InvalidTask` for a value that is wrong, as `enqueue` does.
        """
        # before anything is awaited: meanwhile the caller may change what it has given
        fields: dict[str, Any] = {}
        if "arguments" in changes:
            arguments = changes.pop("arguments")
            fields = self._client.payload_of(self._task.name, arguments, self._signature)
        options = own_changes(changes)
        await self._client.open()
        command = changes_of(options, self._client.clock.now(), **fields)
        if "headers" in changes and (task := await self.task()) is not None:
            command = keep_reserved(command, task.spec)
        return await self._execute(command)

    async def cancel(self) -> CommandAnswer:
        """Cancel the task: it is dead; if it runs, its handler is cancelled too."""
        return await self._execute(Cancelled())

    async def delete(self) -> CommandAnswer:
        """Delete the task and all that is stored of it; `NotAllowed` for one that runs."""
        return await self._execute(Deleted())

    async def _execute(self, command: Command) -> CommandAnswer:
        await self._client.open()
        now = self._client.clock.now()
        return (await self._client.broker.execute(self.queue, [self.id], command, now=now))[0]


def _state(task: Task | None) -> State:
    return State.GONE if task is None else task.state


def _no_result(handle: Handle[Any], task: Task | None) -> NoResult:
    """Return the error that says why a task has no result."""
    if task is None:
        return NoResult(
            f"{handle!r} is no longer stored: it was revoked, deleted, or its retention is over"
        )
    kind = ResultNotKept if (task.error or "").startswith(RESULT_NOT_KEPT) else NoResult
    return kind(f"{handle!r} is {task.state}: {task.error}")


class BlockingHandle(Generic[R_co]):
    """An enqueued task, for callers that block."""

    def __init__(self, handle: Handle[R_co]) -> None:
        self._handle = handle
        self.id = handle.id
        self.name = handle.name
        self.queue = handle.queue
        self.is_new = handle.is_new

    def __repr__(self) -> str:
        """Show which task it is."""
        return repr(self._handle).replace("Handle", "BlockingHandle", 1)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Raise `AttributeError`, which says what another queue's method is here."""
            raise missing(self, name, OF_HANDLES)

    def task(self) -> Task | None:
        """Return the task as it is now, None when it is no longer stored."""
        return run_inline(self._handle.task())

    def status(self) -> State:
        """Return where the task is; `State.GONE` when it is no longer stored."""
        return run_inline(self._handle.status())

    def progress(self) -> Progress | None:
        """Return the progress that its last run reported; None if it reported none."""
        return run_inline(self._handle.progress())

    def errors(self) -> Sequence[AttemptError]:
        """Return the errors of its last runs, ten at most, the oldest first."""
        return run_inline(self._handle.errors())

    def result(self, timeout: Duration | None = None) -> R_co:
        """Wait for the task to be completed, and return its result; see `Handle.result`."""
        return run_inline(self._handle.result(timeout))

    def watch(self) -> Generator[TaskUpdate, None, None]:
        """Yield the task's state and progress until it ends; see `Handle.watch`."""
        yield from iterate_inline(self._handle.watch())

    def reschedule(
        self, *, at: datetime | Moment | None = None, delay: Duration | None = None
    ) -> CommandAnswer:
        """Make it due at a moment, or after a delay; see `Handle.reschedule`."""
        return run_inline(self._handle.reschedule(at=at, delay=delay))

    def update(self, **changes: Unpack[ChangesWithArguments]) -> CommandAnswer:
        """Change options or arguments; see `Handle.update`."""
        return run_inline(self._handle.update(**changes))

    def cancel(self) -> CommandAnswer:
        """Cancel the task: it is dead; if it runs, its handler is cancelled too."""
        return run_inline(self._handle.cancel())

    def delete(self) -> CommandAnswer:
        """Delete the task and all that is stored of it; `NotAllowed` for one that runs."""
        return run_inline(self._handle.delete())
