"""`Qcore.inline`: a block in which tasks run where they are asked for."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from types import TracebackType
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from qcore.app.client.coalescing import EnqueueAnswer
from qcore.app.client.enqueue_middleware import SendTasks
from qcore.app.tasks.lifespan import Lifespan, enter
from qcore.app.worker.inline import InlineRunner, without_loop
from qcore.domain.errors import InvalidOption
from qcore.domain.new_task import NewTask

Q = TypeVar("Q")
T = TypeVar("T")

Errors: TypeAlias = Literal["raise", "keep"]

ERRORS: Final = ("raise", "keep")


class InlineBlock(Generic[Q]):
    """A block in which tasks run where they are asked for: `with` it, or `async with` it.

    `use` is entered for the block with itself, and returns the queue; `make` makes what runs tasks
    from what the lifespans yielded.
    """

    def __init__(
        self,
        use: "Callable[[InlineBlock[Q]], AbstractContextManager[Q]]",
        lifespans: Callable[[], Sequence[Lifespan]],
        make: Callable[[Mapping[type, Any]], InlineRunner],
        *,
        errors: Errors,
    ) -> None:
        if errors not in ERRORS:
            raise InvalidOption(f"errors is {errors!r}: expected 'raise' or 'keep'")
        self._use = use
        self._lifespans = lifespans
        self._make = make
        self._raises = errors == "raise"
        self._stack = ExitStack()
        self._entered = AsyncExitStack()
        """The lifespans."""
        self._idle: list[asyncio.Runner] = []
        self._runner: InlineRunner | None = None

    # --- the block -------------------------------------------------------------------------------

    def __enter__(self) -> Q:
        """Enter the lifespans, on an event loop of the block's own."""
        q = self._begin()
        try:
            self._refuse_loop()
            self._run(self._enter())
        except BaseException:
            self._end()
            raise
        return q

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Exit the lifespans, and use the queue's own store again."""
        try:
            self._run(self._entered.aclose())
        finally:
            self._end()

    async def __aenter__(self) -> Q:
        """Enter the lifespans, on the event loop that runs."""
        q = self._begin()
        try:
            await self._enter()
        except BaseException:
            self._end()
            raise
        return q

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Exit the lifespans, and use the queue's own store again."""
        try:
            await self._entered.aclose()
        finally:
            self._end()

    def _refuse_loop(self) -> None:
        if self._lifespans() and asyncio._get_running_loop() is not None:  # noqa: SLF001
            raise InvalidOption(
                "lifespans cannot be entered by blocking code in a running event loop: write "
                "`async with q.inline()`, or give it lifespans=[]"
            )

    def _begin(self) -> Q:
        if self._runner is not None:
            raise InvalidOption("this inline block is entered already: make another, q.inline()")
        return self._stack.enter_context(self._use(self))

    async def _enter(self) -> None:
        # nothing cuts a lifespan short here
        state = await enter(self._lifespans(), self._entered, end_limit=asyncio.Event().wait)
        self._runner = self._make(state)

    def _end(self) -> None:
        self._runner = None
        with without_loop():
            while self._idle:
                self._idle.pop().close()
        self._stack.close()

    # --- what clients call -----------------------------------------------------------------------

    async def awaited(self, tasks: Sequence[NewTask], send: SendTasks) -> Sequence[EnqueueAnswer]:
        """Send tasks, and run them on the caller's event loop."""
        answers = await send(tasks)
        await self._run_due()
        return answers

    async def blocking(self, tasks: Sequence[NewTask], send: SendTasks) -> Sequence[EnqueueAnswer]:
        """Send tasks, and run them without suspending: on an event loop of their own."""
        answers = await send(tasks)
        self._run(self._run_due())
        return answers

    async def _run_due(self) -> None:
        if self._runner is None:
            # a lifespan enqueues: what waits is run by the first enqueue of the block
            return
        error = await self._runner.run_due()
        if error is not None and self._raises:
            raise error

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end in this thread, also where another event loop runs in it."""
        runner = self._idle.pop() if self._idle else _new_runner()
        try:
            with without_loop():
                return runner.run(coroutine, context=contextvars.copy_context())
        finally:
            self._idle.append(runner)


def _new_runner() -> asyncio.Runner:
    # with a factory it leaves the thread's own event loop as it is
    return asyncio.Runner(loop_factory=asyncio.new_event_loop)
