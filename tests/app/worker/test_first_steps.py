"""A handler up to its first wait: as in any task of asyncio, though on Python 3.12 none is queued.

There, most runs are over before the event loop has heard of their tasks. Nothing of that is to be
seen: these tests are the same on all Pythons, on asyncio's event loop and on uvloop's.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, TypeAlias

import pytest
import uvloop

from qcore import Context, Handle, State
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.moments import Moment
from qcore.domain.task import Claim, Demand
from tests.app.kit import Lab, stored, turn, verdict_on

RunProgram: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]

BATCH = 5
"""Tasks of one claim."""

_seen: ContextVar[int] = ContextVar("seen", default=0)


def _debugged(program: Coroutine[Any, Any, None]) -> None:
    asyncio.run(program, debug=True)


@pytest.fixture(params=[asyncio.run, _debugged, uvloop.run], ids=["asyncio", "debug", "uvloop"])
def run(request: pytest.FixtureRequest) -> RunProgram:
    """Return what runs a program on an event loop of a kind."""
    kind: RunProgram = request.param
    return kind


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory that outlives an event loop."""
    return Lab(MemoryBroker())


def current_task() -> asyncio.Task[Any]:
    """Return the task that runs."""
    task = asyncio.current_task()
    assert task is not None
    return task


class TestTheFirstStep:
    """What a handler does before it waits for anything."""

    def test_runs_in_a_task_of_its_own(self, lab: Lab, run: RunProgram) -> None:
        """One for each run, the same before and after a wait, and known to the event loop."""
        before: list[asyncio.Task[Any]] = []
        after: list[asyncio.Task[Any]] = []
        known: list[bool] = []

        @lab.task("asks")
        async def asks(ctx: Context) -> None:
            before.append(current_task())
            known.append(current_task() in asyncio.all_tasks())
            await asyncio.sleep(0)
            after.append(current_task())

        async def program() -> None:
            for _ in range(BATCH):
                await asks.enqueue()
            await lab.worker(burst=True).run()

        run(program())
        assert before == after
        assert len(set(before)) == BATCH
        assert known == [True] * BATCH

    def test_sees_no_context_variables_of_another_run(self, lab: Lab, run: RunProgram) -> None:
        """What one sets is gone for the next, whether or not it waits; it stays over a wait."""
        found: list[int] = []
        kept: list[int] = []

        @lab.task("sets")
        async def sets(ctx: Context, n: int) -> None:
            found.append(_seen.get())
            _seen.set(n)
            if n % 2:
                await asyncio.sleep(0)
            kept.append(_seen.get())

        async def program() -> None:
            for n in range(1, BATCH + 1):
                await sets.enqueue(n=n)
            await lab.worker(burst=True).run()
            assert _seen.get() == 0

        run(program())
        assert found == [0] * BATCH
        assert sorted(kept) == list(range(1, BATCH + 1))

    def test_begins_in_the_order_of_the_queue(self, lab: Lab, run: RunProgram) -> None:
        """Also where one waits and the next does not."""
        begun: list[int] = []

        @lab.task("begins")
        async def begins(ctx: Context, n: int) -> None:
            begun.append(n)
            if n % 2:
                await asyncio.sleep(0)

        async def program() -> None:
            for n in range(BATCH):
                await begins.enqueue(n=n)
            await lab.worker(burst=True).run()

        run(program())
        assert begun == list(range(BATCH))

    def test_may_bound_what_follows(self, lab: Lab, run: RunProgram) -> None:
        """A timeout that begins in it cuts the wait short, and nothing else."""

        @lab.task("bounds", retention=60)
        async def bounds(ctx: Context) -> str:
            try:
                async with asyncio.timeout(0):
                    await asyncio.Event().wait()
            except TimeoutError:
                await asyncio.sleep(0)
                return "in time"
            return "late"

        async def program() -> None:
            handle = await bounds.enqueue()
            await lab.worker(burst=True).run()
            assert await handle.result() == "in time"

        run(program())

    def test_may_have_tasks_beside_it(self, lab: Lab, run: RunProgram) -> None:
        """One of a group that fails cancels the handler, which is told of that error."""

        async def fails() -> None:
            raise ValueError("a part")

        @lab.task("divides", retention=60, max_retry=0)
        async def divides(ctx: Context) -> str:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(fails())
                    await asyncio.Event().wait()
            except ExceptionGroup as errors:
                return str(errors.exceptions[0])
            return "never"

        async def program() -> None:
            handle = await divides.enqueue()
            await lab.worker(burst=True).run()
            assert await handle.result() == "a part"

        run(program())

    def test_may_cancel_its_own_task(self, lab: Lab, run: RunProgram) -> None:
        """That comes with its next wait, and is a failure like any other; without one, nothing."""
        handles: list[Handle[str]] = []

        @lab.task("cancels", retention=60, max_retry=0)
        async def cancels(ctx: Context, *, waits: bool) -> str:
            current_task().cancel()
            if waits:
                await asyncio.sleep(0)
            return "done"

        async def program() -> None:
            handles.extend([await cancels.enqueue(waits=each) for each in (True, False)])
            await lab.worker(burst=True).run()
            waited, returned = [await stored(each) for each in handles]
            assert (waited.state, waited.error) == (State.ARCHIVED, "CancelledError")
            assert returned.state is State.COMPLETED

        run(program())

    def test_may_raise_anything(self, lab: Lab, run: RunProgram) -> None:
        """It is a failure of its run; those that were claimed with it run all the same."""
        ran: list[str] = []

        @lab.task("raises", max_retry=0)
        async def raises(ctx: Context, kind: str) -> None:
            raise {each.__name__: each for each in (GeneratorExit, SystemExit, ValueError)}[kind]

        @lab.task("runs")
        async def runs(ctx: Context, kind: str) -> None:
            ran.append(kind)

        async def program() -> None:
            handles: list[Handle[None]] = []
            for kind in ("GeneratorExit", "SystemExit", "ValueError"):
                handles.append(await raises.enqueue(kind))
                await runs.enqueue(kind)
            await lab.worker(burst=True).run()
            states = [(await stored(each)).state for each in handles]
            assert states == [State.ARCHIVED] * len(handles)

        run(program())
        assert ran == ["GeneratorExit", "SystemExit", "ValueError"]

    def test_may_cancel_a_task_that_was_claimed_with_it(self, lab: Lab, run: RunProgram) -> None:
        """The other has begun, or is about to: it is cancelled where it waits."""
        told: list[bool] = []
        handles: list[Handle[None]] = []

        @lab.task("first")
        async def first(ctx: Context) -> None:
            await lab.inspector.cancel("default", [handles[0].id])

        @lab.task("second")
        async def second(ctx: Context) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                told.append(ctx.is_cancelled)

        async def program() -> None:
            await first.enqueue()
            handles.append(await second.enqueue())
            async with lab.working() as worker:
                await lab.signals.lease_lost.next()
                await turn()
                assert worker.running == 0
            task = await stored(handles[0])
            assert (task.state, task.error) == (State.DEAD, "cancelled")

        run(program())
        assert told == [True]

    def test_is_made_by_the_task_factory_of_the_loop(self, lab: Lab, run: RunProgram) -> None:
        """A program that has one, to trace its tasks, say, finds the runs among them."""
        made: list[asyncio.Task[Any]] = []
        seen: list[asyncio.Task[Any]] = []

        def factory(
            loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
        ) -> asyncio.Task[Any]:
            made.append(asyncio.Task(coroutine, loop=loop, **options))
            return made[-1]

        @lab.task("asks")
        async def asks(ctx: Context) -> None:
            seen.append(current_task())

        async def program() -> None:
            asyncio.get_running_loop().set_task_factory(factory)
            await asks.enqueue()
            await lab.worker(burst=True).run()

        run(program())
        assert len(seen) == 1
        assert seen[0] in made

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks before")
    def test_may_be_eager_by_the_factory_of_the_loop(self, lab: Lab, run: RunProgram) -> None:
        """Python has such a factory of its own."""
        ran: list[int] = []

        @lab.task("runs")
        async def runs(ctx: Context, n: int) -> None:
            if n % 2:
                await asyncio.sleep(0)
            ran.append(n)

        async def program() -> None:
            factory: Any = vars(asyncio)["eager_task_factory"]
            asyncio.get_running_loop().set_task_factory(factory)
            for n in range(BATCH):
                await runs.enqueue(n=n)
            await lab.worker(burst=True).run()

        run(program())
        assert sorted(ran) == list(range(BATCH))


class TestTheEndMeanwhile:
    """A worker that is to leave while a batch of claims begins."""

    @pytest.fixture(autouse=True)
    def _obey_ctrl_c(self) -> Iterator[None]:
        """As a program does, though the tests may run in a shell's background, which ignores it."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    def test_ctrl_c_gives_the_rest_of_the_batch_back(self, lab: Lab, run: RunProgram) -> None:
        """The second one raises where the program is: no budget of a task is burned for it."""
        handles: list[Handle[None]] = []
        ended: list[int] = []

        @lab.task("interrupted", max_retry=3)
        async def interrupted(ctx: Context, n: int) -> None:
            if n == 1:
                for _ in range(2):
                    os.kill(os.getpid(), signal.SIGINT)
                    threading.Event().wait(0.01)
            await asyncio.Event().wait()
            ended.append(n)

        async def program() -> None:
            handles.extend([await interrupted.enqueue(n=n) for n in range(BATCH)])
            await lab.worker().run()

        with pytest.raises(KeyboardInterrupt):
            run(program())
        found = [asyncio.run(verdict_on(each)) for each in handles]
        assert found == [(State.PENDING, 0, None)] * BATCH
        assert ended == []

    @pytest.mark.parametrize("at_once", [False, True], ids=["in peace", "at once"])
    def test_a_stop_with_the_claim_loses_nothing(self, run: RunProgram, *, at_once: bool) -> None:
        """Each task has run to its end, or waits as if it had not been claimed."""
        handles: list[Handle[None]] = []

        class Stopping(ForwardingBroker):
            async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
                claims = await self.inner.claim(demand, now=now, until=until)
                worker.stop(at_once=at_once)
                return claims

        lab = Lab(Stopping(MemoryBroker()))
        worker = lab.worker()

        @lab.task("claimed", retention=60, max_retry=3)
        async def claimed(ctx: Context, n: int) -> None:
            for _ in range(n % 3):
                await asyncio.sleep(0)

        async def program() -> None:
            handles.extend([await claimed.enqueue(n=n) for n in range(BATCH)])
            await worker.run()

        run(program())
        found = [asyncio.run(verdict_on(each)) for each in handles]
        assert set(found) <= {(State.PENDING, 0, None), (State.COMPLETED, 0, None)}
        if not at_once:
            assert found == [(State.COMPLETED, 0, None)] * BATCH

    def test_a_first_step_may_stop_its_worker(self, lab: Lab, run: RunProgram) -> None:
        """What was claimed with it still runs."""
        ran: list[int] = []
        worker = lab.worker()

        @lab.task("stops")
        async def stops(ctx: Context, n: int) -> None:
            worker.stop()
            ran.append(n)

        async def program() -> None:
            for n in range(BATCH):
                await stops.enqueue(n=n)
            await worker.run()

        run(program())
        assert ran == list(range(BATCH))
