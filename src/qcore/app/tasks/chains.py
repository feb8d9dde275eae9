"""Chains: tasks that run one after the other, each with the result of the one before it."""

from collections.abc import Iterator, Sequence
from typing import Any, Concatenate, Final, Generic, TypeAlias, TypeVar, cast, overload

from attrs import evolve

from qcore.app.calls.call import Call, CallChain, Step
from qcore.app.calls.chain_header import next_step_task
from qcore.app.client.client import BlockingClient, Client
from qcore.app.client.handles import WITHOUT_RESULT, BlockingHandle, Handle
from qcore.app.client.inline import run_inline
from qcore.app.tasks.handler import BoundCall, HandlerWithOptions, Sender
from qcore.domain.answers import Conflict, Enqueued
from qcore.domain.errors import InvalidOption, InvalidTask, NoResult
from qcore.domain.moments import Duration, seconds_of
from qcore.domain.new_task import NewTask, another
from qcore.domain.states import State

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
R_co = TypeVar("R_co", covariant=True)

MAX_STEPS: Final = 100
FIRST_POLL: Final = 0.01
LONGEST_POLL: Final = 0.25
"""Seconds between two reads of a step: brokers do not report a task that is gone."""

Link: TypeAlias = HandlerWithOptions[Concatenate[A, ...], B] | Step[A, B] | Call[B]
"""What can follow a step that returns an `A`, and returns a `B` itself."""

AnyLink: TypeAlias = HandlerWithOptions[..., Any] | Step[Any, Any] | Call[Any]


class Chain(CallChain[R_co], Generic[R_co]):
    """Calls that run one after the other; nothing is written before `enqueue`."""

    async def enqueue(self, client: Client | None = None) -> "ChainHandle[R_co]":
        """Enqueue the first step; each later one is stored when the one before it succeeds.

        Raises `InvalidTask`, and writes nothing, when something about any of them is wrong. Without
        a `client` it uses that of the first step's handler.
        """
        return await self._enqueued(client or self._sender.client)

    def enqueue_sync(self, client: BlockingClient | None = None) -> "BlockingChainHandle[R_co]":
        """Enqueue the chain from code that blocks; see `enqueue`."""
        inner = (client or self._sender.blocking).inner
        return BlockingChainHandle(run_inline(self._enqueued(inner)))

    @property
    def _sender(self) -> Sender:
        if not isinstance(self.call, BoundCall):
            raise InvalidOption(f"{self!r} belongs to no queue: expected enqueue(client)")
        return self.call.sender

    async def _enqueued(self, client: Client) -> "ChainHandle[R_co]":
        await client.open()
        task = client.build(self.call, client.clock.now())
        handle = await client.enqueue(task)
        # a live task of the same key may have another id
        first = another(task, handle.id, task.payload)
        answer = Enqueued if handle.is_new else Conflict
        tasks = list(_tasks(first, len(self.call.rest), client))
        calls = (self.call, *(step.call for step in self.call.rest))
        handles: list[Handle[Any]] = [
            Handle(client, task, answer(task.id, State.PENDING), call.signature)
            for task, call in zip(tasks, calls, strict=True)
        ]
        keeps = tasks[-1].retention > 0 or not handle.is_new
        return ChainHandle(client, handles, is_new=handle.is_new, keeps=keeps)


def _tasks(task: NewTask, more: int, client: Client) -> Iterator[NewTask]:
    """Yield the tasks of all steps as they will be stored, but for the results between them."""
    yield task
    for _ in range(more):
        task = next_step_task(task, None, client.codec, client.clock.now())
        yield task


class ChainHandle(Generic[R_co]):
    """An enqueued chain."""

    def __init__(
        self, client: Client, handles: Sequence[Handle[Any]], *, is_new: bool, keeps: bool
    ) -> None:
        self._client = client
        self._keeps = keeps
        self.handles = handles
        """A handle of each step, in order; a later step is not stored before its turn."""
        self.is_new = is_new
        """Whether this call stored the first step."""

    def __repr__(self) -> str:
        """Show its first and last step."""
        return f"<{type(self).__name__} {self.handles[0]!r} … {self.handles[-1]!r}>"

    async def result(self, timeout: Duration | None = None) -> R_co:  # noqa: ASYNC109
        """Wait for the last step to be completed, and return what its handler returned.

        Raises `NoResult`, which names the step that ended the chain, when it never will be; also
        when the last step keeps none, because its `retention` is 0. Raises TimeoutError after
        `timeout` seconds.
        """
        clock, last = self._client.clock, self.handles[-1]
        if not self._keeps:
            raise NoResult(f"{last!r} keeps no result: give the last step retention=…")
        await self._client.open()
        until = None if timeout is None else clock.monotonic() + seconds_of(timeout, "timeout")
        await self._passed(float("inf") if until is None else until)
        if await last.task() is None:
            raise NoResult(
                f"{last!r} is not stored: a step before it was revoked or deleted, or its own "
                "retention is over"
            )
        left = None if until is None else max(0.0, until - clock.monotonic())
        value: R_co = await last.result(left)
        return value

    async def _passed(self, until: float) -> None:
        """Wait until every step but the last has ended: what comes next was stored as it did."""
        clock, last, pause = self._client.clock, self.handles[-1], FIRST_POLL
        # of a step that is gone nobody tells; of the last one somebody does
        waiter = await self._client.notifications.waiter(last.queue, last.id)
        try:
            for number, handle in enumerate(self.handles[:-1], 1):
                while not await self._has_ended(handle, number):
                    left = until - clock.monotonic()
                    if left <= 0:
                        raise TimeoutError(f"{self!r} is still at step {number}")
                    await waiter.wait(min(pause, left))
                    waiter.clear()
                    pause = min(LONGEST_POLL, pause * 1.5)
        finally:
            waiter.close()

    async def _has_ended(self, handle: Handle[Any], number: int) -> bool:
        task = await handle.task()
        if task is not None and task.state in WITHOUT_RESULT:
            raise NoResult(
                f"step {number} of {len(self.handles)}, {handle!r}, is {task.state}: {task.error}"
            )
        # one that keeps nothing is gone when it has succeeded
        return task is None or task.state is State.COMPLETED


class BlockingChainHandle(Generic[R_co]):
    """An enqueued chain, for callers that block."""

    def __init__(self, handle: ChainHandle[R_co]) -> None:
        self._handle = handle
        self.handles = [BlockingHandle(each) for each in handle.handles]
        """A handle of each step, in order; a later step is not stored before its turn."""
        self.is_new = handle.is_new

    def __repr__(self) -> str:
        """Show its first and last step."""
        return f"<{type(self).__name__} {self.handles[0]!r} … {self.handles[-1]!r}>"

    def result(self, timeout: Duration | None = None) -> R_co:
        """Wait for the last step to be completed; see `ChainHandle.result`."""
        return run_inline(self._handle.result(timeout))


@overload
def chain(first: Call[A], second: Link[A, B], /) -> Chain[B]: ...
@overload
def chain(first: Call[A], second: Link[A, B], third: Link[B, C], /) -> Chain[C]: ...
@overload
def chain(
    first: Call[A], second: Link[A, B], third: Link[B, C], fourth: Link[C, D], /
) -> Chain[D]: ...
@overload
def chain(
    first: Call[A],
    second: Link[A, B],
    third: Link[B, C],
    fourth: Link[C, D],
    fifth: Link[D, E],
    /,
) -> Chain[E]: ...
@overload
def chain(
    first: Call[Any],
    second: AnyLink,
    third: AnyLink,
    fourth: AnyLink,
    fifth: AnyLink,
    sixth: AnyLink,
    /,
    *more: AnyLink,
) -> Chain[Any]: ...
def chain(first: Call[Any], /, *more: AnyLink) -> Chain[Any]:
    """Return a chain: the first call, then each of the others with the result of the one before.

    A later step is a handler, which gets the result as its first argument; `task.step(…)`,
    which gives it the other arguments; or a complete `task.call(…)`, which takes no result. Raises
    `InvalidTask` for anything else.
    """
    if not _is_plain(first):
        raise InvalidTask(f"a chain begins with {first!r}: expected task.call(…)")
    if not 0 < len(more) < MAX_STEPS:
        raise InvalidTask(f"a chain has {len(more) + 1} steps: expected 2 to {MAX_STEPS}")
    return Chain(evolve(first, rest=tuple(_step(each) for each in more)))


def _is_plain(request: object) -> bool:
    """Return whether something is a call, and of one task alone."""
    return isinstance(request, Call) and not request.rest


def _step(link: Any) -> Step[Any, Any]:
    """Return what is to be done after another step."""
    if _is_plain(link):
        return Step(link, None)
    if isinstance(link, Step):
        step: Step[Any, Any] = cast("Any", link)
    elif isinstance(link, HandlerWithOptions):
        prepared: HandlerWithOptions[..., Any] = cast("Any", link)
        step = prepared.step()
    else:
        raise InvalidTask(
            f"a chain goes on with {link!r}: expected a handler, task.step(…) or task.call(…)"
        )
    return step
