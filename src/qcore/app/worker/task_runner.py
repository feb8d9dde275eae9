"""From a claim to its verdict: each claim runs in a coroutine of its own."""

import asyncio
from collections.abc import Callable, Sequence

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


class TaskRunner:
    """Start claims; execute each, and hand its verdict to the outbox.

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
        self._executor = executor
        self._host = host
        self._outbox = outbox
        self._deadlines = deadlines
        self._wakeup = wakeup
        self._emit = emit
        self._ends = ends
        self._on_end = on_end
        self._create_task = asyncio.get_running_loop().create_task
        self._send_finished = emit.sender(TaskFinished)

    def start(self, claims: Sequence[Claim]) -> None:
        """Start a coroutine for each claim."""
        if claims and self._emit.wants(TasksClaimed):
            self._emit(TasksClaimed(claims))
        create_task, host, running = self._create_task, self._host, self.running
        for claim in claims:
            run = Run(claim, Context(claim, host))
            running.add(run)
            run.coroutine = create_task(self._execute_and_settle(run))

    def give_back(self, claims: Sequence[Claim]) -> None:
        """Release claims that are not to be started here and now; that burns nothing."""
        if claims and self._emit.wants(TasksClaimed):
            self._emit(TasksClaimed(claims))
        for claim in claims:
            self._outbox.put(Run(claim, Context(claim, self._host)), Released())

    async def _execute_and_settle(self, run: Run) -> None:
        try:
            verdict = await self._executor.execute(run)
        except BaseException as error:
            # only when the event loop ends; where it still turns for a while the task is given back
            self.running.discard(run)
            if not isinstance(error, GeneratorExit):
                self._outbox.put(run, Released())
            if run.coroutine is not None:
                # the program gets it: asyncio need not log that nobody has retrieved it
                run.coroutine.add_done_callback(_retrieve)
            raise
        finally:
            if run.ctx.deadline is not None:
                self._deadlines.forget(run)
        self._on_end()
        if run not in self.running:
            return  # the shutdown has released it
        self.running.discard(run)
        if verdict is not None:
            if self._ends is not None:
                verdict = self._ends.with_ends(run.claim, verdict)
            self._outbox.put(run, verdict)
        if self.wakes_at_end:
            self._wakeup()
        if verdict is not None:
            self._report(run, verdict)

    def _report(self, run: Run, verdict: Transition) -> None:
        if isinstance(verdict, Snoozed) and verdict.unhandled:
            self._emit(NoHandler(run.claim, run.unknown_format))
        if self._send_finished is not None:
            self._send_finished(TaskFinished(run.claim, verdict, run.seconds))


def _retrieve(coroutine: asyncio.Task[None]) -> None:
    _ = coroutine.cancelled() or coroutine.exception()
