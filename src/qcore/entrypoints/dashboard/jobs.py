"""Moves of many tasks, in the background: they go on when the browser has gone, and end with us.

A job is a sequence of steps, each of which reports how far it has come. It stops between two steps:
what a step has moved is counted. Jobs are in this process alone. One that the end of the process
has cut off says so in the log, with how far it came; to order the same again goes on from there, as
the store checks the state of each task.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from enum import StrEnum
from typing import Final
from uuid import uuid4

from qcore.app.client.bulk_moves import MoveProgress
from qcore.domain.errors import BrokerUnavailable
from qcore.domain.events import Operated
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.text import traceback_of
from qcore.entrypoints.dashboard.masking import without_passwords
from qcore.entrypoints.dashboard.refusals import TooMany
from qcore.entrypoints.dashboard.rights import Right, Visitor
from qcore.log.logger import get_logger

Steps = AsyncGenerator[MoveProgress, None]
MOST_AT_A_TIME: Final = 4
"""Jobs of a dashboard."""
MOST_KEPT: Final = 50
"""Jobs that are over, and still shown."""
MOST_UNDONE: Final = 100_000
"""Tasks of a job whose ids are kept, so that they can be brought back."""
GRACE: Final = 1.0
"""Seconds for the steps that are being made when the dashboard ends."""


class Phase(StrEnum):
    """How a job stands."""

    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


OVER: Final = frozenset({Phase.DONE, Phase.STOPPED, Phase.FAILED})


class Job:
    """A move of many tasks, and how far it has come."""

    def __init__(
        self,
        visitor: Visitor,
        verb: str,
        label: str,
        right: Right,
        *,
        about: str,
        total: int | None,
    ) -> None:
        self.id = uuid4().hex
        self.visitor = visitor
        self.verb = verb
        self.label = label
        self.right = right
        self.about = about
        """The query, or how many tasks were ticked."""
        self.total = total
        """How many tasks there were when it was asked for; None if there may be more."""
        self.reason: str | None = None
        self.began: Moment = 0.0
        self.ended: Moment | None = None
        self.progress = MoveProgress()
        self.phase = Phase.RUNNING
        self.text = ""
        """Why it has failed."""
        self.moved: dict[str, list[TaskId]] = {}
        """Queue to the tasks that it has moved."""
        self.is_undone = False
        self._number = 0

    @property
    def is_over(self) -> bool:
        """Return whether it does nothing more."""
        return self.phase in OVER

    @property
    def can_be_undone(self) -> bool:
        """Return whether all tasks that it has moved are known, and can be brought back."""
        return (
            self.is_over
            and self.verb == "discard"
            and not self.is_undone
            and 0 < self._number <= MOST_UNDONE
        )

    def pace_at(self, now: Moment) -> float:
        """Return how many tasks a second it moves."""
        return self.progress.done / max(1e-3, (self.ended or now) - self.began)

    def note(self, event: Operated) -> None:
        """Keep which tasks a step has moved."""
        self.keep(event.queue, event.tasks)

    def keep(self, queue: str, tasks: Sequence[TaskId]) -> None:
        """Keep which tasks were moved, as long as they are not too many."""
        self._number += len(tasks)
        if self._number <= MOST_UNDONE:
            self.moved.setdefault(queue, []).extend(tasks)
        else:
            self.moved.clear()

    def stop(self) -> None:
        """Let it end after the step that it makes."""
        if self.phase is Phase.RUNNING:
            self.phase = Phase.STOPPING

    async def run(self, steps: Steps) -> None:
        """Make all steps, until it is to stop."""
        async with aclosing(steps):
            async for progress in steps:
                self.progress = progress
                if self.phase is Phase.STOPPING:
                    break
        is_stopped = self.phase is Phase.STOPPING and not self.progress.is_finished
        self.phase = Phase.STOPPED if is_stopped else Phase.DONE

    def fail(self, text: str, phase: Phase = Phase.FAILED) -> None:
        """Say why it does not go on."""
        self.phase, self.text = phase, text


class Jobs:
    """All jobs of a dashboard, the newest last."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def all(self) -> Sequence[Job]:
        """Return the jobs that are kept, the newest first."""
        return [*reversed(self._jobs.values())]

    def get(self, name: str) -> Job | None:
        """Return a job; None if it is not kept any more, or was another process's."""
        return self._jobs.get(name)

    def start(self, job: Job, steps: Steps, now: Callable[[], Moment]) -> None:
        """Let a job run; raise `TooMany` where as many do as may."""
        running = [each for each in self._jobs.values() if not each.is_over]
        if len(running) >= MOST_AT_A_TIME:
            raise TooMany(
                f"{MOST_AT_A_TIME} moves of many run already: wait for one of them, or stop it"
            )
        over = [each.id for each in self._jobs.values() if each.is_over]
        for name in over[: max(0, len(over) - MOST_KEPT + 1)]:
            del self._jobs[name]
        job.began = now()
        self._jobs[job.id] = job
        task = asyncio.create_task(_run(job, steps, now))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """Let all jobs end after their steps."""
        for each in self._jobs.values():
            each.stop()

    async def close(self) -> None:
        """End all jobs, and wait for them."""
        self.stop()
        if not self._tasks:
            return
        _, left = await asyncio.wait(self._tasks, timeout=GRACE)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _run(job: Job, steps: Steps, now: Callable[[], Moment]) -> None:
    try:
        await job.run(steps)
    except BrokerUnavailable as error:
        text = without_passwords(str(error))
        job.fail(f"the store did not answer: {text}; the same move again goes on from here")
    except asyncio.CancelledError:
        job.fail("the dashboard has ended", Phase.STOPPED)
        raise
    except Exception as error:  # noqa: BLE001  (a job that fails unseen would look like one at work)
        get_logger().error(
            "a move of many has failed", traceback=without_passwords(traceback_of(error))
        )
        job.fail("it could not go on; the log tells why")
    finally:
        job.ended = now()
        get_logger().info("a move of many has ended", **_facts(job))


def _facts(job: Job) -> Mapping[str, object]:
    so_far = job.progress
    return {
        "move": job.verb,
        "about": job.about,
        "by": job.visitor.name,
        "reason": job.reason,
        "how": str(job.phase),
        "done": so_far.done,
        "skipped": so_far.skipped,
        "failed": so_far.failed,
    }
