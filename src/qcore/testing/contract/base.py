"""How a case runs: no plugin, a loop of its own, or no loop at all.

A case is written `async def test_…(self, broker: Broker)`. `Cases` turns each, as its class is
made, into a plain function that pytest knows how to call: with `asyncio.run`, or, for a blocking
suite, stepped with `send(None)` as the blocking client steps it. So an author needs pytest alone,
no plugin can run a case in another way than it was meant, and a case that an author adds to their
own subclass in the same form runs in the same way.
"""

import asyncio
import itertools
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property, partial, wraps
from inspect import iscoroutinefunction, signature
from pathlib import Path
from threading import Barrier, Event
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

import pytest

from qcore.domain.task import RetentionPolicy
from qcore.ports import Broker

T = TypeVar("T")
Case: TypeAlias = Callable[..., Coroutine[Any, Any, None]]

DEFAULT_RETENTION: Final = RetentionPolicy()
_numbers: Final = itertools.count()


class Cases:
    """The base of all cases: gives each a broker of the author's, open while the case runs."""

    blocking: ClassVar[bool] = False
    """Set it to run every case over `make_broker(…).blocking()`, and to refuse any suspension."""

    patience: ClassVar[float] = 30.0
    """Seconds to wait for another thread or process before a case fails."""

    @cached_property
    def folder(self) -> Path:
        """An empty folder of the case's own, for a store that needs one."""
        # not tmp_path, which makes one for each case of every store
        return self._folders.mktemp(f"store{next(_numbers)}", numbered=False)

    def make_broker(self, keep: RetentionPolicy) -> Broker:
        """Return a broker that is not open, and that keeps as much of the past as `keep` says.

        A case has an instance of the suite to itself. What `make_broker` returns first in a case
        stands on an empty store; further calls in the same case stand on the same store if the
        broker has `Capability.SHARED` or `Capability.DURABLE`.
        """
        raise NotImplementedError(f"{type(self).__name__} has to say how its broker is made")

    @asynccontextmanager
    async def opened(
        self, keep: RetentionPolicy = DEFAULT_RETENTION
    ) -> AsyncGenerator[Broker, None]:
        """Give a broker, open until the block ends."""
        broker = self.make_broker(keep)
        if self.blocking:
            broker = broker.blocking()
        await broker.open()
        try:
            yield broker
        finally:
            await broker.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end: on a loop of its own, or stepped."""
        return step(coroutine) if self.blocking else asyncio.run(coroutine)

    async def together(self, calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
        """Make calls concurrently, in threads where they block; return the answers in order."""
        if not self.blocking:
            return list(await asyncio.gather(*(call() for call in calls)))
        return in_threads([partial(stepped, call) for call in calls])

    async def comes(self, event: Event) -> bool:
        """Wait for an event, up to `patience`; return whether it was set."""
        if self.blocking or event.is_set():
            return event.wait(self.patience)
        return await asyncio.to_thread(event.wait, self.patience)

    @pytest.fixture(autouse=True)
    def _take_folders(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self._folders = tmp_path_factory

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, case in tuple(vars(cls).items()):
            if name.startswith("test_") and iscoroutinefunction(case):
                setattr(cls, name, _runnable(case))


def _runnable(case: Case) -> Callable[..., None]:
    """Return a case as a plain function, its parameter `broker` hidden from pytest."""
    whole = signature(case)
    shown = [p for p in whole.parameters.values() if p.name != "broker"]

    @wraps(case)
    def run(self: Cases, **given: object) -> None:
        self.run(
            _with_broker(self, case, given) if "broker" in whole.parameters else case(self, **given)
        )

    # pytest reads fixtures and parameters from it
    setattr(run, "__signature__", whole.replace(parameters=shown))  # noqa: B010
    return run


async def _with_broker(cases: Cases, case: Case, given: dict[str, object]) -> None:
    async with cases.opened() as broker:
        await case(cases, broker=broker, **given)


def stepped(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call that never suspends; return its answer."""

    async def awaited() -> T:
        return await call()

    return step(awaited())


def step(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends; fail where it does."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        answer: T = end.value
        return answer
    try:
        coroutine.close()
    finally:
        pytest.fail("a broker from blocking() suspended: its calls must end on their first step")


def in_threads(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Make each call in a thread of its own, all from one barrier; return the answers in order."""
    start = Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        start.wait()
        return call()

    with _frequent_switches(), ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


@contextmanager
def _frequent_switches() -> Generator[None, None, None]:
    """Let the interpreter switch threads a thousand times as often, so that races do occur."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 1_000)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
