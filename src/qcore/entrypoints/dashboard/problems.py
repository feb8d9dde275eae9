"""What is wrong now, in words, and what to do: concluded from what a store tells of itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from attrs import field

from qcore.app.client.queue_listing import QueueSummary
from qcore.app.client.reading_inspector import WAITING
from qcore.domain.diagnostics import Finding, Grade
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.workers import Condition, WorkerInfo
from qcore.entrypoints.problem_texts import NAMED, backlog, named, unserved, wait
from qcore.entrypoints.written_numbers import tasks

LONG_WAIT: Final = 60.0
"""Seconds for which the first task of a queue may have waited."""
SILENT_ADVICE: Final = (
    "It may be frozen, cut off from the store, or killed just now; its tasks are taken back when "
    "their leases run out."
)
BLOCKED_ADVICE: Final = (
    "Make that handler a plain function, which runs in a thread; the worker's log says where the "
    "loop stands."
)


@record
class Problem:
    """Something that is wrong."""

    text: str
    advice: str
    is_bad: bool = True
    """Whether tasks do not run because of it; else it is to be looked at."""
    to: str = ""
    """The name of the route that shows it, with its parameters."""
    parameters: Mapping[str, str] = field(factory=dict[str, str], hash=False)
    command: Sequence[str] = ()


def always(_: str) -> bool:
    """Return True."""
    return True


@record
class Facts:
    """What the problems are concluded from, as far as a visitor may see it."""

    now: Moment
    sizes: Mapping[str, Mapping[State, int]] = field(hash=False)
    """Queue to state to number of tasks."""
    queues: Sequence[QueueSummary]
    """Those that are shown, with how long their first task has waited."""
    workers: Sequence[WorkerInfo] | None
    """Of queues whose workers may be seen; None where the broker lists none, or none may be."""
    sees_workers_of: Callable[[str], bool] = always
    """Say whether the workers of a queue may be seen."""
    sees_all_workers: bool = True
    died: int = 0
    """Tasks that have ended for good without success since yesterday."""
    counts_all_dead: bool = True
    """Whether those are of all queues; else there may be more."""
    findings: Sequence[Finding] = ()
    """What the doctor has found when it was last asked."""


def problems(facts: Facts) -> Sequence[Problem]:
    """Return what is wrong, what keeps tasks from running first."""
    found = [
        *_unserved(facts),
        *_workers(facts),
        *_paused(facts),
        *_held(facts),
        *_backlog(facts),
        *_dead(facts),
        *_found(facts),
    ]
    return sorted(found, key=lambda each: not each.is_bad)


def _unserved(facts: Facts) -> Iterator[Problem]:
    if facts.workers is None:
        return
    waiting = {
        queue: waits
        for queue, held in facts.sizes.items()
        if (waits := _waiting(held)) and facts.sees_workers_of(queue)
    }
    if waiting and not facts.workers and facts.sees_all_workers:
        yield Problem(
            f"No worker is there, and {wait(sum(waiting.values()))}.",
            "Start one with the application's tasks.",
            command=("worker", "myapp.tasks:q"),
        )
        return
    served = {queue for worker in facts.workers for queue in worker.queues}
    alone = _most_first({each: n for each, n in waiting.items() if each not in served})
    if alone:
        them = "it" if len(alone) == 1 else "them"
        yield Problem(
            unserved(alone),
            f"Start a worker that serves {them}, or move the tasks elsewhere.",
            to="queue",
            parameters={"queue": next(iter(alone))},
            command=("worker", "myapp.tasks:q", "--queues", ",".join(list(alone)[:NAMED])),
        )


def _workers(facts: Facts) -> Iterator[Problem]:
    conditions = {
        Condition.SILENT: (
            "has missed its heartbeat",
            "have missed their heartbeats",
            SILENT_ADVICE,
        ),
        Condition.BLOCKED: (
            "has a handler that blocks its event loop",
            "have handlers that block their event loops",
            BLOCKED_ADVICE,
        ),
    }
    for condition, (one, several, advice) in conditions.items():
        names = {
            each.name: 1 for each in facts.workers or () if each.condition(facts.now) is condition
        }
        if names:
            said = one if len(names) == 1 else several
            text = f"{named('The worker', 'The workers', names)} {said}."
            yield Problem(text, advice, to="workers", command=("workers",))


def _paused(facts: Facts) -> Iterator[Problem]:
    paused = {
        each.name: waits
        for each in facts.queues
        if each.is_paused and (waits := _waiting(each.sizes))
    }
    if paused:
        paused = _most_first(paused)
        be = "is" if len(paused) == 1 else "are"
        yield Problem(
            f"{named('The queue', 'The queues', paused)} {be} paused, and "
            f"{wait(sum(paused.values()))}.",
            f"Resume {'it' if len(paused) == 1 else 'them'} when the reason for the pause is over.",
            is_bad=False,
            to="queue",
            parameters={"queue": next(iter(paused))},
            command=("queues", "resume", *list(paused)[:NAMED]),
        )


def _held(facts: Facts) -> Iterator[Problem]:
    held = {
        each.name: each.sizes.get(State.PENDING, 0)
        for each in facts.queues
        if each.limits is not None
        and each.limits.in_flight is not None
        and not each.is_paused
        and each.sizes.get(State.ACTIVE, 0) >= each.limits.in_flight
        and each.sizes.get(State.PENDING, 0)
    }
    if held:
        held = _most_first(held)
        be = "runs" if len(held) == 1 else "run"
        yield Problem(
            f"{named('The queue', 'The queues', held)} {be} as many tasks as the limit lets: "
            f"{tasks(sum(held.values()))} {'is' if sum(held.values()) == 1 else 'are'} held back.",
            "Raise the limit if what it protects bears more.",
            is_bad=False,
            to="queue",
            parameters={"queue": next(iter(held))},
        )


def _backlog(facts: Facts) -> Iterator[Problem]:
    served = {queue for worker in facts.workers or () for queue in worker.queues}
    late = [
        each
        for each in facts.queues
        if each.waited is not None
        and each.waited > LONG_WAIT
        and not each.is_paused
        # where nobody serves it, that is told in its place
        and (facts.workers is None or each.name in served or not facts.sees_workers_of(each.name))
    ]
    if late:
        worst = max(late, key=lambda each: each.waited or 0)
        yield Problem(
            backlog(worst.name, worst.waited or 0, len(late) - 1),
            "Add workers, or give this queue a greater weight; a task of it tells what holds it.",
            to="queue",
            parameters={"queue": worst.name, "state": State.PENDING},
        )


def _dead(facts: Facts) -> Iterator[Problem]:
    if facts.died:
        verb = "has" if facts.died == 1 else "have"
        # the store counts by days of UTC: what it has counted is what the link shows
        yesterday = datetime.fromtimestamp(facts.now, UTC) - timedelta(days=1)
        query = f"state:dead,archived finished:>{yesterday:%Y-%m-%d}"
        number = tasks(facts.died) if facts.counts_all_dead else f"{facts.died:,} tasks or more"
        yield Problem(
            f"{number} {verb} ended for good without success since yesterday.",
            "Look at their errors; what can be mended may be run again.",
            is_bad=False,
            to="errors",
            parameters={"q": query},
            command=("errors", query),
        )


def _found(facts: Facts) -> Iterator[Problem]:
    for each in facts.findings:
        if each.grade in {Grade.WARNING, Grade.ERROR}:
            yield Problem(
                f"{each.about[:1].upper()}{each.about[1:]}: {each.found}.",
                each.to_do,
                is_bad=each.grade is Grade.ERROR,
                to="doctor",
            )


def _most_first(waiting: Mapping[str, int]) -> dict[str, int]:
    """Return queues with their numbers of tasks, those with most first: few are named."""
    return dict(sorted(waiting.items(), key=lambda each: -each[1]))


def _waiting(held: Mapping[State, int]) -> int:
    return sum(number for state, number in held.items() if state in WAITING)
