"""From a claim to its verdict: each claim runs in an asyncio task of its own."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from qcore.app.client.wakeup import Wakeup
from qcore.app.tasks.context import Context, RunServices
from qcore.app.worker.deadlines import Deadlines
from qcore.app.worker.ends import EndTasks
from qcore.app.worker.executor import Executor
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.outbox import Outbox
from qcore.app.worker.run import Run
from qcore.domain.events import NoHandler, TaskFinished, TasksClaimed
from qcore.domain.task import Claim
from qcore.domain.transitions import Released, Snoozed, Transition

HAS_EAGER_TASKS: Final = sys.version_info >= (3, 12)
"""Whether asyncio can run a coroutine up to its first wait while it makes the task for it."""


class TaskRunner:
    """Start claims; execute each, and hand its verdict to the outbox.

    On Python 3.12 and newer a claim's asyncio task is an eager one: its coroutine runs up to its
    first wait while the task is made, and where it never waits the event loop does not hear of it.
    A loop that has a task factory makes the tasks by that.

    `running` holds the runs in hand. The shutdown takes a run out of it to release its task, and
    the verdict that the run may still reach is then dropped. `on_end` is called after each run.
    `ends` adds to verdicts what tells end hooks of them; None where there are none.
    """

    def __init__(
        self,
        running: set[Run],
        executor: Executor,
        host: RunServices,
        *,
        outbox: Outbox,
        deadlines: Deadlines,
        wakeup: Wakeup,
        emit: Instruments,
        ends: EndTasks | None,
        on_end: Callable[[], None],
    ) -> None:
        self.running = running
        self.wakes_at_end = False
        """Whether the end of a run wakes the claim loop: not while it has room anyway."""
        self.on_idle: Callable[[], None] | None = None
        """Called when a run ends and none is left."""
        self._executor = executor
        self._host = host
        self._outbox = outbox
        self._deadlines = deadlines
        self._wakeup = wakeup
        self._emit = emit
        self._ends = ends
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._is_eager = HAS_EAGER_TASKS and self._loop.get_task_factory() is None
        self._send_claimed = emit.sender(TasksClaimed)
        self._send_finished = emit.sender(TaskFinished)

    def start(self, claims: Sequence[Claim]) -> None:
        """Start an asyncio task for each claim, in order, in the next turn of the loop."""
        if claims and self._send_claimed is not None:
            self._send_claimed(TasksClaimed(claims))
        host = self._host
        runs = [Run(claim, Context(claim, host)) for claim in claims]
        if self._is_eager:
            # not here and now: the claim loop sends its next claim before these run; and before
            # they are known, so that whoever wants to cancel one finds it begun
            self._loop.call_soon(self._start_eagerly, runs)
        self.running.update(runs)
        if not self._is_eager:
            self._start(runs)

    def _start(self, runs: Iterable[Run]) -> None:
        self._loop.call_soon(self._deadlines.compare_clocks)
        create_task = self._loop.create_task
        for run in runs:
            run.coroutine = create_task(self._execute_and_settle(run))

    def _start_eagerly(self, runs: Iterable[Run]) -> None:
        """Run each coroutine up to its first wait: most handlers never wait.

        Those are over before the loop knows their tasks, which it neither queues nor calls back.
        """
        # type stubs for Python 3.11 do not know the option
        make_task: Any = asyncio.Task
        self._deadlines.compare_clocks()
        loop, left = self._loop, iter(runs)
        for run in left:
            coroutine = self._execute_and_settle(run)
            try:
                task = make_task(coroutine, loop=loop, eager_start=True)
                if not task.done():
                    run.coroutine = task
            except BaseException:
                # Ctrl-C in a handler ends the loop; the others are cancelled with it
                self._start(left)
                raise

    def give_back(self, claims: Sequence[Claim]) -> None:
        """Release claims that are not to be started here and now; that burns nothing."""
        if claims and self._send_claimed is not None:
            self._send_claimed(TasksClaimed(claims))
        for claim in claims:
            self._outbox.put(Run(claim, Context(claim, self._host)), Released())

    async def _execute_and_settle(self, run: Run) -> None:
        try:
            verdict = await self._executor.execute(run)
        except BaseException as error:
            # only when the event loop ends; where it still turns for a while the task is given back
            self.running.discard(run)
            if not isinstance(error, GeneratorExit) and not run.has_lost_lease:
                self._outbox.put(run, Released())
            if run.is_current() and (coroutine := asyncio.current_task()) is not None:
                # the program gets it: asyncio need not log that nobody has retrieved it
                coroutine.add_done_callback(_retrieve)
            raise
        self._on_end()
        try:
            self.running.remove(run)
        except KeyError:
            # the shutdown has released it
            return
        if verdict is None:
            self._wake_claims()
            return
        if self._ends is not None:
            verdict = self._ends.with_ends(run.claim, verdict)
        seconds = self._outbox.put(run, verdict)
        if self.on_idle is not None or (self.wakes_at_end and not self._wakeup.is_set):
            self._wake_claims()
        if self._send_finished is not None or run.began is None:
            self._report(run, verdict, seconds)

    def _wake_claims(self) -> None:
        if self.wakes_at_end:
            self._wakeup()
        if self.on_idle is not None and not self.running:
            self.on_idle()

    def _report(self, run: Run, verdict: Transition, seconds: float) -> None:
        if isinstance(verdict, Snoozed) and verdict.unhandled:
            self._emit(NoHandler(run.claim, run.unknown_format))
        if self._send_finished is not None:
            self._send_finished(TaskFinished(run.claim, verdict, seconds))


def _retrieve(coroutine: asyncio.Task[Any]) -> None:
    _ = coroutine.cancelled() or coroutine.exception()
