"""Enqueue tasks: `Client` awaits, and `BlockingClient` steps the same coroutines inline."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast, overload

from attrs import evolve

from qcore.app.calls.call import Call, Refused, Step, TaskRequest
from qcore.app.calls.chain_header import encode_steps, plan_step
from qcore.app.calls.chain_steps import CHAIN_HEADER, first_of
from qcore.app.calls.codec import Codec
from qcore.app.calls.signature import Signature
from qcore.app.calls.user_code import raise_naming, refusal
from qcore.app.client.async_notifications import AsyncTaskNotifications
from qcore.app.client.blocking_notifications import BlockingTaskNotifications
from qcore.app.client.coalescing import EnqueueAnswer, EnqueueCoalescer, enqueue_divided
from qcore.app.client.enqueue_middleware import (
    Enqueue,
    EnqueueMiddleware,
    TellEnqueued,
    told,
    wrapped,
)
from qcore.app.client.handles import BlockingHandle, Handle
from qcore.app.client.inline import run_inline
from qcore.app.client.own_frames import without_own_frames
from qcore.app.client.shared_open import SharedOpen
from qcore.app.client.size_limits import DEFAULT_MAX_PAYLOAD, byte_limit
from qcore.app.client.task_notifications import TaskNotifications
from qcore.domain.answers import Admission, Conflict, has_kind
from qcore.domain.errors import CannotEncode, InvalidTask, QcoreError
from qcore.domain.ids import ENTROPY_BYTES, task_id
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.states import State
from qcore.domain.text import shown
from qcore.domain.uniqueness import key_of
from qcore.ports import Broker, Capability, Clock

R = TypeVar("R")


def _nobody() -> None:
    """Return nobody to be told of what was enqueued."""


class Client:
    """Enqueue tasks from asynchronous code.

    Concurrent calls are coalesced: those made while a batch is on its way go with the next batch.
    `teller` is asked when the client opens, and returns what is to be told of each enqueue, if
    anything is.
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
        middleware: Sequence[EnqueueMiddleware] = (),
        teller: Callable[[], TellEnqueued | None] = _nobody,
    ) -> None:
        self.broker = broker
        self.clock = clock
        self.codec = codec
        self._send: Enqueue = (
            EnqueueCoalescer(broker).enqueue if coalesce else partial(enqueue_divided, broker)
        )
        self._middleware = middleware
        self._teller = teller
        self._enqueue = wrapped(self._send, middleware)
        self._make_ready = SharedOpen(broker) if coalesce else broker.open
        self.notifications: TaskNotifications = (
            AsyncTaskNotifications(broker, clock)
            if coalesce
            else BlockingTaskNotifications(broker, clock)
        )
        """Through which its handles wait for their tasks."""
        self._is_open = False
        self._max_payload = byte_limit("max_payload", max_payload)
        self._entropy = entropy

    @overload
    async def enqueue(self, request: Call[R]) -> Handle[R]: ...
    @overload
    async def enqueue(self, request: NewTask) -> Handle[Any]: ...
    async def enqueue(self, request: TaskRequest) -> Handle[Any]:
        """Store one task and return a handle of it.

        Raises `InvalidTask`, naming the value, when something about it is wrong, and
        `BrokerRefused`, which is one, when the store does not take what is in it. A live task of
        the same id, or one that has the unique key, is no error: the handle is that task's, and
        `handle.is_new` is false.
        """
        try:
            if not self._is_open:
                await self.open()
            now = self.clock.now()
            task = self.build(request, now)
        except QcoreError as error:
            raise without_own_frames(error)  # noqa: B904  (it is the same error)
        try:
            answers = await self._enqueue((task,), now=now)
        except QcoreError as error:
            # its headers may have the arguments of a chain's later steps
            del task
            raise without_own_frames(error)  # noqa: B904
        answer = answers[0]
        if isinstance(answer, InvalidTask):
            raise answer
        # not by `_handle`: a call is a hundredth of a lone enqueue
        return Handle(
            self, task, answer, None if isinstance(request, NewTask) else request.signature
        )

    async def enqueue_many(self, requests: Iterable[TaskRequest]) -> list[Handle[Any] | Refused]:
        """Store many tasks in one call; each answer is at its task's place.

        One that is wrong is `Refused` with the error that `enqueue` would have raised; the others
        go in. Raises `InvalidTask` for a single request, which belongs into a list.
        """
        # it may be a generator, and is iterated twice
        requests = _listed(requests)
        try:
            if not self._is_open:
                await self.open()
        except QcoreError as error:
            raise without_own_frames(error)  # noqa: B904  (it is the same error)
        now = self.clock.now()
        built = [self._tried(each, now) for each in requests]
        good = [task for task in built if isinstance(task, NewTask)]
        try:
            answers = await self._enqueue(good, now=now)
        except QcoreError as error:
            del built, good
            raise without_own_frames(error)  # noqa: B904
        if len(good) == len(built) and not has_kind(answers, InvalidTask):
            # as usual: without a question about each task
            admitted = zip(requests, good, cast("Sequence[Admission]", answers), strict=True)
            return [self._handle(request, task, answer) for request, task, answer in admitted]
        rest = iter(answers)
        return [
            task if isinstance(task, Refused) else self._outcome(request, task, next(rest))
            for request, task in zip(requests, built, strict=True)
        ]

    async def open(self) -> None:
        """Open the broker, unless that was done; the first call that needs it does so too."""
        if not self._is_open:
            # before the clock is read: it may be the store's, which is known once it is open
            await self._make_ready()
            # asked once, and late: an application may configure its log after it has made its queue
            self._enqueue = wrapped(told(self._send, self._teller()), self._middleware)
            self._is_open = True

    async def close(self) -> None:
        """Close the broker; the next call opens it again."""
        self._is_open = False
        await self.notifications.close()
        await self.broker.close()

    def new_id(self) -> str:
        """Return a fresh task id that sorts by time."""
        return task_id(self.clock.now(), self._entropy(ENTROPY_BYTES))

    def handle(
        self, queue: str, task: str, *, name: str = "?", signature: Signature | None = None
    ) -> Handle[Any]:
        """Return a handle of a task by its queue and id, whether or not it is stored.

        With the signature of its handler it decodes the result as that of `enqueue` does.
        """
        known = NewTask(name, id=task, queue=queue)
        return Handle(self, known, Conflict(task, State.PENDING), signature)

    def payload_of(
        self, name: str, arguments: Mapping[str, Any], signature: Signature | None
    ) -> dict[str, Any]:
        """Return arguments as the fields of a task; raise `InvalidTask` if they do not fit.

        Without a signature, as for a task that is known by its id alone, any arguments fit.
        """
        if signature is None:
            payload = self.codec.dumps(dict(arguments))
        else:
            payload = signature.encode((), arguments, self.codec)
        self._refuse_large(name, payload)
        return {"payload": payload, "content_type": self.codec.content_type}

    def build(self, request: TaskRequest, now: Moment) -> NewTask:
        """Return the task to be stored for a request; raise `InvalidTask` if it is wrong."""
        if isinstance(request, NewTask):
            task = request
        elif not isinstance(request, Call):
            raise InvalidTask(f"{shown(request)} is no task: expected task.call(…) or a NewTask")
        else:
            template, kind = request.template, self.codec.content_type
            try:
                payload = request.signature.encode(request.args, request.kwargs, self.codec)
                key = self._key(request, payload) if template.is_unique else None
                task = template.make(payload, kind, now, self._entropy, unique_key=key)
                if request.rest:
                    task = self._with_steps(task, request.rest, now)
            except CannotEncode as error:
                raise_naming(template.name, error)
            except QcoreError:
                raise
            except BaseException as error:
                # all that is asked of a caller's objects is asked here
                raise refusal(template.name, error) from error
        size = len(task.payload)
        if size > self._max_payload or task.group is not None or task.unique_key is not None:
            self._refuse(task)
        return task

    def _with_steps(self, task: NewTask, rest: "Sequence[Step[Any, Any]]", now: Moment) -> NewTask:
        """Return the first task of a chain, with the later steps in its headers."""
        plans = [plan_step(step, self.build(step.call, now), self.codec) for step in rest]
        header = encode_steps(plans, self.codec)
        if len(header) > self._max_payload:
            raise InvalidTask(
                f"{task.name}: the rest of its chain is {len(header):,} bytes: expected at most "
                f"{self._max_payload:,}; store what it is about elsewhere and send where it is"
            )
        return evolve(task, headers={**first_of(task, len(rest)), CHAIN_HEADER: header})

    def _tried(self, request: TaskRequest, now: Moment) -> NewTask | Refused:
        try:
            return self.build(request, now)
        except InvalidTask as error:
            return Refused(without_own_frames(error))
        except QcoreError as error:
            # of its handler, whose annotations cannot be read, say: the others go in all the same
            return Refused(InvalidTask(str(error)))
        except BaseException as error:  # noqa: BLE001  (an object that does not even say what it is)
            return Refused(refusal("a task", error))

    def _refuse(self, task: NewTask) -> None:
        """Raise `InvalidTask` for a task that this broker or this client does not accept."""
        self._refuse_large(task.name, task.payload)
        if task.group is not None and Capability.GROUPS not in self.broker.capabilities:
            raise InvalidTask(
                f"{task.name}: group is {task.group!r}, but this broker has no groups"
            )
        if task.unique_key is not None and Capability.UNIQUE not in self.broker.capabilities:
            raise InvalidTask(
                f"{task.name}: unique_key is {task.unique_key!r}, but this broker knows no unique "
                "tasks"
            )

    def _refuse_large(self, name: str, payload: bytes) -> None:
        if len(payload) > self._max_payload:
            raise InvalidTask(
                f"{name}: the payload is {len(payload):,} bytes: expected at most "
                f"{self._max_payload:,}; store it elsewhere and send where it is, or raise "
                "max_payload"
            )

    def _key(self, request: Call[Any], payload: bytes) -> str:
        """Return a call's unique key: a hash of its name and its arguments, as they will arrive."""
        arrived = request.signature.named(payload, self.codec.content_type, self.codec)
        return key_of(request.template.name, self.codec.digests(arrived))

    def _outcome(
        self, request: TaskRequest, task: NewTask, answer: EnqueueAnswer
    ) -> Handle[Any] | Refused:
        if isinstance(answer, InvalidTask):
            return Refused(answer)
        return self._handle(request, task, answer)

    def _handle(self, request: TaskRequest, task: NewTask, answer: Admission) -> Handle[Any]:
        signature = None if isinstance(request, NewTask) else request.signature
        return Handle(self, task, answer, signature)


def _listed(requests: Iterable[TaskRequest]) -> list[TaskRequest]:
    given: object = requests
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        text = shown(requests)
        raise InvalidTask(f"enqueue_many has {text}: expected several, as [task.call(…)]")
    return list(requests)


class BlockingClient:
    """Enqueue tasks from code that blocks: scripts, Flask, Django, threads. Needs no event loop."""

    def __init__(
        self,
        broker: Broker,
        *,
        clock: Clock,
        codec: Codec,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        entropy: Callable[[int], bytes] = os.urandom,
        middleware: Sequence[EnqueueMiddleware] = (),
        teller: Callable[[], TellEnqueued | None] = _nobody,
    ) -> None:
        self.inner = Client(
            broker.blocking(),
            clock=clock.blocking(),
            codec=codec,
            max_payload=max_payload,
            entropy=entropy,
            coalesce=False,
            middleware=middleware,
            teller=teller,
        )
        """The client whose coroutines it steps: over a blocking broker none of them suspends."""

    @overload
    def enqueue(self, request: Call[R]) -> BlockingHandle[R]: ...
    @overload
    def enqueue(self, request: NewTask) -> BlockingHandle[Any]: ...
    def enqueue(self, request: TaskRequest) -> BlockingHandle[Any]:
        """Store one task and return a handle of it; see `Client.enqueue`."""
        return BlockingHandle(run_inline(self.inner.enqueue(request)))

    def enqueue_many(self, requests: Iterable[TaskRequest]) -> list[BlockingHandle[Any] | Refused]:
        """Store many tasks in one call; see `Client.enqueue_many`."""
        answers = run_inline(self.inner.enqueue_many(requests))
        return [each if isinstance(each, Refused) else BlockingHandle(each) for each in answers]

    def new_id(self) -> str:
        """Return a fresh task id that sorts by time."""
        return self.inner.new_id()

    def handle(
        self, queue: str, task: str, *, name: str = "?", signature: Signature | None = None
    ) -> BlockingHandle[Any]:
        """Return a handle of a task by its queue and id; see `Client.handle`."""
        return BlockingHandle(self.inner.handle(queue, task, name=name, signature=signature))

    def close(self) -> None:
        """Close the broker; the next call opens it again."""
        run_inline(self.inner.close())
