"""An application with one periodic task, for schedulers that are processes, and may be mortal."""

import os
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from qcore import Context, Qcore
from qcore.brokers import ForwardingBroker
from qcore.domain.periodic.changes import EntryWritten
from qcore.entrypoints.connect import connect, url_of_environment
from qcore.ports import Verb

T = TypeVar("T")

INTERVAL = 0.5
"""Seconds: a hundred ticks are made up for, if all schedulers are slow to start."""
DEATH = "QCORE_TEST_DEATH"
"""The variable that says at which step this process is killed, such as "after tick"."""
DEATHS = ("before look", "after look", "before tick", "after tick")
"""Steps of a scheduler when an entry is there: "look" is one that finds it due, "tick" one that is
written. Before that there are "before declare" and "after declare"."""


class MortalBroker(ForwardingBroker):
    """A broker at one of whose calls the process is killed, as `kill -9` does."""

    async def around(
        self, verb: Verb, call: Callable[[], Awaitable[T]], /, **arguments: object
    ) -> T:
        """Die before the call, or once it was carried out and before anybody hears of it."""
        step = _step(verb, arguments)
        if step is not None:
            _die_at(f"before {step}")
        answer = await call()
        if step is not None and _is_done(answer):
            _die_at(f"after {step}")
        return answer


def _step(verb: str, arguments: dict[str, Any]) -> str | None:
    if verb == "due_entries":
        return "look"
    if verb == "write_entries":
        return "tick" if any(change.tasks for change in arguments["changes"]) else "declare"
    return None


def _is_done(answer: Any) -> bool:
    """Return whether a look has found what is due, or something was written."""
    if isinstance(answer, list | tuple):
        return any(isinstance(each, EntryWritten) for each in answer)
    return bool(answer.entries)


def _die_at(step: str) -> None:
    if os.environ.get(DEATH) == step:
        os.kill(os.getpid(), signal.SIGKILL)


q = Qcore(broker=MortalBroker(connect(url_of_environment())))


@q.every(timedelta(seconds=INTERVAL), missed="all")
@q.task("report")
async def report(ctx: Context) -> None:
    """Never run: no worker serves it."""
