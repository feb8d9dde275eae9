"""A program that ends, or is interrupted, while a worker runs in it."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest

from qcore import Context, Handle, State
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.moments import Moment
from qcore.domain.task import Claim, Demand, Verdict
from qcore.domain.transitions import Released
from tests.app.kit import Lab, stored, turn, verdict_on


class Program:
    """A program that has a worker in it, and ends before the worker does."""

    def __init__(self) -> None:
        self.lab = Lab(MemoryBroker())
        self.told: list[str] = []
        self.handles: list[Handle[Any]] = []

        @self.lab.on_error
        def hook(ctx: Context, error: BaseException) -> None:
            self.told.append(ctx.name)

        self.lab.task("coroutine", max_retry=3)(self._coroutine)
        self.lab.task("swallows", max_retry=3)(self._swallows)
        self.lab.task("converts", max_retry=3)(self._converts)
        self.lab.task("thread", max_retry=3)(self._thread)

    async def _coroutine(self, ctx: Context) -> None:
        await asyncio.Event().wait()

    async def _swallows(self, ctx: Context) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async def _converts(self, ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("cleaning up failed") from None

    def _thread(self, ctx: Context) -> None:
        while not ctx.is_cancelled:
            threading.Event().wait(0.001)

    async def begin(self) -> asyncio.Task[None]:
        """Run a worker beside, until it has all tasks in hand."""
        for name in ("coroutine", "swallows", "converts", "thread"):
            handler = self.lab.resolve(name)
            assert handler is not None
            self.handles.append(await handler.enqueue())
        working = asyncio.create_task(self.lab.worker().run())
        await self.lab.signals.started.wait(4)
        await turn()
        return working

    def check(self) -> None:
        """Check that every task waits as if it had not been claimed."""

        async def check() -> None:
            for handle in self.handles:
                task = await stored(handle)
                seen = (task.state, task.failures, task.crashes, task.error)
                assert seen == (State.PENDING, 0, 0, None), handle
            assert self.told == []
            assert {type(each.outcome) for each in self.lab.signals.finished.seen} <= {Released}

        asyncio.run(check())


class TestTheEndOfAProgram:
    """`asyncio.run` cancels all tasks at once when its main task ends: nothing has failed then."""

    @pytest.fixture(autouse=True)
    def _obey_ctrl_c(self) -> Iterator[None]:
        """As a program does, though the tests may run in a shell's background, which ignores it."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    def test_a_program_that_returns_gives_its_tasks_back(self) -> None:
        """No retry is burned, no hook is called, and no failure is reported."""
        program = Program()

        async def main() -> None:
            await program.begin()

        asyncio.run(main())
        program.check()

    def test_a_program_that_fails_gives_its_tasks_back(self) -> None:
        """The web server beside the worker could not start, for example."""
        program = Program()

        async def main() -> None:
            await program.begin()
            raise OSError("the port is in use")

        with pytest.raises(OSError, match="in use"):
            asyncio.run(main())
        program.check()

    def test_a_program_that_is_interrupted_gives_its_tasks_back(self) -> None:
        """Ctrl-C cancels its main task."""
        program = Program()

        async def main() -> None:
            await program.begin()
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()

        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())
        program.check()

    def test_ctrl_c_in_a_handler_that_blocks_the_loop_is_no_error_of_its(self) -> None:
        """The second one raises where the program is: its task is given back, and the loop ends."""
        program = Program()

        @program.lab.task("blocks")
        async def blocks(ctx: Context) -> None:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                threading.Event().wait(0.01)

        async def main() -> None:
            program.handles.append(await blocks.enqueue())
            await program.lab.worker().run()

        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())
        program.check()

    def test_the_verdict_on_a_handler_that_has_ended_stands(self) -> None:
        """It waits for a hook when the program ends."""
        lab = Lab(MemoryBroker())
        begun = asyncio.Event()
        handles: list[Handle[Any]] = []

        @lab.on_error
        async def hangs(ctx: Context, error: BaseException) -> None:
            begun.set()
            await asyncio.Event().wait()

        @lab.task("fails", max_retry=0)
        async def fails(ctx: Context) -> None:
            raise ValueError("x")

        async def main() -> None:
            handles.append(await fails.enqueue())
            working = asyncio.create_task(lab.worker().run())
            await begun.wait()
            assert not working.done()

        asyncio.run(main())
        assert asyncio.run(verdict_on(handles[0])) == (State.ARCHIVED, 0, "ValueError: x")

    @pytest.mark.parametrize("call", ["claim", "settle"])
    def test_a_call_to_the_broker_that_is_on_its_way_has_its_answer(self, call: str) -> None:
        """What a claim hands out then is given back, and a verdict is written."""
        begun = asyncio.Event()
        handles: list[Handle[Any]] = []

        class Slow(ForwardingBroker):
            async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
                claims = await self.inner.claim(demand, now=now, until=until)
                await self._take("claim")
                return claims

            async def settle(
                self, verdicts: Sequence[Verdict], *, now: Moment
            ) -> Sequence[Settled | LeaseLost]:
                await self._take("settle")
                return await self.inner.settle(verdicts, now=now)

            async def _take(self, what: str) -> None:
                if what == call:
                    begun.set()
                    await asyncio.sleep(0.01)

        lab = Lab(Slow(MemoryBroker()))

        @lab.task("quick", retention=60)
        async def quick(ctx: Context) -> None:
            if call == "claim":
                await asyncio.Event().wait()

        async def main() -> None:
            handles.append(await quick.enqueue())
            working = asyncio.create_task(lab.worker().run())
            await begun.wait()
            assert not working.done()

        asyncio.run(main())
        state = State.PENDING if call == "claim" else State.COMPLETED
        assert asyncio.run(verdict_on(handles[0])) == (state, 0, None)

    def test_an_exit_in_a_task_of_a_handler_is_a_failure(self) -> None:
        """It ends the event loop, and with it the program; not without burning a retry."""
        lab = Lab(MemoryBroker())
        handles: list[Handle[Any]] = []

        async def part() -> None:
            raise SystemExit(3)

        @lab.task("exits", max_retry=0)
        async def exits(ctx: Context) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(part())

        async def main() -> None:
            handles.append(await exits.enqueue())
            await lab.worker().run()

        with pytest.raises(SystemExit):
            asyncio.run(main())
        assert asyncio.run(verdict_on(handles[0])) == (State.ARCHIVED, 0, "SystemExit: 3")
