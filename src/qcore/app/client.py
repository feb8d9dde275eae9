"""Ask for work: `Client` awaits, `BlockingClient` steps the very same text."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar, overload

from qcore.app.coalesce import Coalescing
from qcore.app.codec import Codec
from qcore.app.inline import run_inline
from qcore.app.mould import Mould
from qcore.app.opening import Opening
from qcore.app.signature import Signature
from qcore.domain.errors import InvalidTask, NoResult
from qcore.domain.ids import ENTROPY_BYTES, task_id
from qcore.domain.lifecycle import State
from qcore.domain.moments import Duration, Moment, seconds_of
from qcore.domain.record import record
from qcore.domain.task import Admission, Conflict, Enqueued, NewTask, Task
from qcore.domain.uniqueness import key_of
from qcore.ports import Broker, Capability, Clock

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

DEFAULT_MAX_PAYLOAD: Final = 1 << 20
FIRST_LOOK: Final = 0.01
LONGEST_LOOK: Final = 0.25


@record
class Call(Generic[R_co]):
    """A call of a task, not yet asked for: what it is called with, and its options."""

    mould: Mould
    signature: Signature
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


@record
class Refused:
    """One of a batch was wrong, and was not written; `error` says why."""

    error: InvalidTask


Asked: TypeAlias = NewTask | Call[Any]


class Handle(Generic[R_co]):
    """A task that was asked for."""

    def __init__(
        self,
        client: "Client",
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
        """Whether this call stored it; if not, it is a live task that was there already: one of
        this id, or the one that has the unique key."""

    def __repr__(self) -> str:
        """Show which task it is."""
        return f"<{type(self).__name__} {self._task.name} {self.queue}/{self.id}>"

    async def task(self) -> Task | None:
        """Return the task as it is now, None when it is no longer stored."""
        return (await self._client.broker.get(self.queue, [self.id]))[0]

    async def status(self) -> State:
        """Return where the task is; `State.GONE` when it is no longer stored."""
        task = await self.task()
        return State.GONE if task is None else task.state

    async def result(self, timeout: Duration | None = None) -> R_co:  # noqa: ASYNC109
        """Wait for the task to be completed, and return what its handler returned.

        Raises `NoResult` when it never will have one (it is dead, archived, gone, or keeps none
        because its `retention` is 0), and TimeoutError after `timeout` seconds.
        """
        if self.is_new and not self._task.retention:
            raise NoResult(f"{self!r} keeps no result: enqueue it with retention=…")
        await self._client.open()
        clock = self._client.clock
        until = None if timeout is None else clock.now() + seconds_of(timeout, "timeout")
        pause = FIRST_LOOK
        while True:
            task = await self.task()
            if task is None or task.state in _HOPELESS:
                raise NoResult(_why_none(self, task))
            if task.state is State.COMPLETED:
                value: R_co = self._decoded(task)
                return value
            now = clock.now()
            if until is not None and now >= until:
                raise TimeoutError(f"{self!r} is {task.state} after {timeout} seconds")
            await clock.sleep_until(now + pause if until is None else min(now + pause, until))
            pause = min(LONGEST_LOOK, pause * 1.5)

    def _decoded(self, task: Task) -> Any:
        if task.result is None:
            return None
        kind = Any if self._signature is None else self._signature.returns
        return self._client.codec.loads(task.result, task.result_type, kind)


_HOPELESS = frozenset({State.DEAD, State.ARCHIVED})


def _why_none(handle: Handle[Any], task: Task | None) -> str:
    if task is None:
        return f"{handle!r} is no longer stored: it was revoked, deleted, or its retention is over"
    return f"{handle!r} is {task.state}: {task.error}"


class Client:
    """Ask for work from asynchronous code.

    Concurrent calls coalesce: what is asked for while a batch is on its way goes with the next.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        clock: Clock,
        codec: Codec,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        entropy: Callable[[int], bytes] = os.urandom,
        coalesce: bool = True,
    ) -> None:
        self.broker = broker
        self.clock = clock
        self.codec = codec
        self._enqueue = Coalescing(broker).enqueue if coalesce else broker.enqueue
        self._make_ready = Opening(broker) if coalesce else broker.open
        self._is_open = False
        self._max_payload = max_payload
        self._entropy = entropy

    @overload
    async def enqueue(self, asked: Call[R]) -> Handle[R]: ...
    @overload
    async def enqueue(self, asked: NewTask) -> Handle[Any]: ...
    async def enqueue(self, asked: Asked) -> Handle[Any]:
        """Store one task and return a handle of it.

        Raises `InvalidTask`, naming the value, when something about it is wrong. A live task of
        the same id, or one that has the unique key, is no error: the handle is that task's, and
        `handle.is_new` is false.
        """
        if not self._is_open:
            await self.open()
        now = self.clock.now()
        task = self._built(asked, now)
        answers = await self._enqueue((task,), now=now)
        return self._handle(asked, task, answers[0])

    async def enqueue_many(self, asked: Iterable[Asked]) -> list[Handle[Any] | Refused]:
        """Store many tasks in one call; each answer is at its task's place.

        One that is wrong is `Refused` with the error that `enqueue` would have raised; the others
        go in.
        """
        if not self._is_open:
            await self.open()
        now = self.clock.now()
        # it may be a generator, and is gone through twice
        asked = list(asked)
        built = [self._tried(each, now) for each in asked]
        good = [task for task in built if isinstance(task, NewTask)]
        answers = iter(await self._enqueue(good, now=now))
        return [
            task if isinstance(task, Refused) else self._handle(each, task, next(answers))
            for each, task in zip(asked, built, strict=True)
        ]

    async def open(self) -> None:
        """Make the store ready, unless that was done; its first use does it too."""
        if not self._is_open:
            # before the clock is read: the time may be the store's, and is known from then on
            await self._make_ready()
            self._is_open = True

    async def close(self) -> None:
        """Let go of the store; its next use opens it again."""
        self._is_open = False
        await self.broker.close()

    def new_id(self) -> str:
        """Return a fresh task id that sorts by time."""
        return task_id(self.clock.now(), self._entropy(ENTROPY_BYTES))

    def handle(self, queue: str, task: str) -> Handle[Any]:
        """Return a handle of a task by its queue and id, whether or not it is stored."""
        return Handle(self, NewTask("?", id=task, queue=queue), Conflict(task, State.PENDING))

    def _tried(self, asked: Asked, now: Moment) -> NewTask | Refused:
        try:
            return self._built(asked, now)
        except InvalidTask as error:
            return Refused(error)

    def _built(self, asked: Asked, now: Moment) -> NewTask:
        """Return what to store; raise `InvalidTask` where it is wrong."""
        if isinstance(asked, NewTask):
            task = asked
        elif not isinstance(asked, Call):
            raise InvalidTask(f"{asked!r} is no task: expected task.call(…) or a NewTask")
        else:
            payload = asked.signature.encode(asked.args, asked.kwargs, self.codec)
            mould, kind = asked.mould, self.codec.content_type
            key = self._key(asked) if mould.is_unique else None
            task = mould.cast(payload, kind, now, self._entropy, unique_key=key)
        if len(task.payload) > self._max_payload:
            raise InvalidTask(
                f"{task.name}: the payload is {len(task.payload):,} bytes: expected at most "
                f"{self._max_payload:,}; store it elsewhere and send where it is, or raise "
                "max_payload"
            )
        if task.group is not None and Capability.GROUPS not in self.broker.capabilities:
            raise InvalidTask(
                f"{task.name}: group is {task.group!r}, but this broker has no groups"
            )
        if task.unique_key is not None and Capability.UNIQUE not in self.broker.capabilities:
            raise InvalidTask(
                f"{task.name}: unique_key is {task.unique_key!r}, but this broker knows no unique "
                "tasks"
            )
        return task

    def _key(self, asked: Call[Any]) -> str:
        """Return what makes a call unique: its name and its arguments, in whatever order."""
        given = asked.signature.given(asked.args, asked.kwargs)
        return key_of(asked.mould.name, self.codec.plain(dict(sorted(given.items()))))

    def _handle(self, asked: Asked, task: NewTask, answer: Admission) -> Handle[Any]:
        signature = None if isinstance(asked, NewTask) else asked.signature
        return Handle(self, task, answer, signature)


class BlockingHandle(Generic[R_co]):
    """A task that was asked for, for callers that block."""

    def __init__(self, handle: Handle[R_co]) -> None:
        self._handle = handle
        self.id = handle.id
        self.name = handle.name
        self.queue = handle.queue
        self.is_new = handle.is_new

    def __repr__(self) -> str:
        """Show which task it is."""
        return repr(self._handle).replace("Handle", "BlockingHandle", 1)

    def task(self) -> Task | None:
        """Return the task as it is now, None when it is no longer stored."""
        return run_inline(self._handle.task())

    def status(self) -> State:
        """Return where the task is; `State.GONE` when it is no longer stored."""
        return run_inline(self._handle.status())

    def result(self, timeout: Duration | None = None) -> R_co:
        """Wait for the task to be completed, and return its result; see `Handle.result`."""
        return run_inline(self._handle.result(timeout))


class BlockingClient:
    """Ask for work from code that blocks: scripts, Flask, Django, threads. Needs no event loop."""

    def __init__(
        self,
        broker: Broker,
        *,
        clock: Clock,
        codec: Codec,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._client = Client(
            broker.blocking(),
            clock=clock.blocking(),
            codec=codec,
            max_payload=max_payload,
            entropy=entropy,
            coalesce=False,
        )

    @overload
    def enqueue(self, asked: Call[R]) -> BlockingHandle[R]: ...
    @overload
    def enqueue(self, asked: NewTask) -> BlockingHandle[Any]: ...
    def enqueue(self, asked: Asked) -> BlockingHandle[Any]:
        """Store one task and return a handle of it; see `Client.enqueue`."""
        return BlockingHandle(run_inline(self._client.enqueue(asked)))

    def enqueue_many(self, asked: Iterable[Asked]) -> list[BlockingHandle[Any] | Refused]:
        """Store many tasks in one call; see `Client.enqueue_many`."""
        answers = run_inline(self._client.enqueue_many(asked))
        return [each if isinstance(each, Refused) else BlockingHandle(each) for each in answers]

    def new_id(self) -> str:
        """Return a fresh task id that sorts by time."""
        return self._client.new_id()

    def handle(self, queue: str, task: str) -> BlockingHandle[Any]:
        """Return a handle of a task by its queue and id, whether or not it is stored."""
        return BlockingHandle(self._client.handle(queue, task))

    def close(self) -> None:
        """Let go of the store; its next use opens it again."""
        run_inline(self._client.close())
