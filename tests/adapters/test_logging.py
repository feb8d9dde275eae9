import logging
from collections.abc import MutableMapping
from typing import Any

import pytest
import structlog
from attrs import evolve
from structlog.testing import CapturingLogger, capture_logs

from qcore.adapters.instruments.logging import LoggingInstrument
from qcore.domain.answers import (
    Admission,
    Conflict,
    Duplicate,
    Enqueued,
    LeaseLost,
    Settled,
    Swept,
    SweptTask,
    UnreadableTask,
)
from qcore.domain.audit import ACTIONS
from qcore.domain.errors import InvalidTask
from qcore.domain.events import (
    BrokerFailed,
    BrokerRecovered,
    Event,
    LeaseWasLost,
    LoopBlocked,
    NoHandler,
    Operated,
    PeriodicMissed,
    TaskFinished,
    TasksAggregated,
    TasksClaimed,
    TasksEnqueued,
    TasksSettled,
    TasksSwept,
    TaskStarted,
    WorkerFailed,
    WorkerPaused,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
)
from qcore.domain.lifecycle import MOVES
from qcore.domain.periodic.entry import EntryState, StoredEntry
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import (
    Aggregated,
    Claimed,
    Crashed,
    Due,
    Exhausted,
    Expired,
    Failed,
    Rejected,
    Released,
    Revoked,
    Snoozed,
    Succeeded,
    Transition,
)
from qcore.testing.builders import NOW, a_claim, a_task
from qcore.testing.clock import ManualClock
from qcore.testing.entries import an_entry
from tests.log.kit import unconfigured_logs

CLAIM = a_claim(a_task(name="email:welcome", id="7", queue="critical"), attempts=2, token=5)
FACTS = {"task": "email:welcome", "task_id": "7", "queue": "critical", "attempt": 2}
STARTED = WorkerStarted(["default"], {"email:welcome": "default"})
ENTRY = StoredEntry(an_entry(), EntryState(NOW))
AGAIN = "2027-01-15T08:00:15.000+00:00"


CRASHED = Crashed("lost")


def moved(state: State, transition: Crashed | Expired | UnreadableTask) -> TasksSwept:
    """Return what a sweep that has moved the task tells, or a claim that has ended it."""
    spec = CLAIM.task.spec
    task = SweptTask(spec.queue, spec.id, state, transition, spec.name, attempts=2)
    number = {Crashed: "crashed", Expired: "expired", UnreadableTask: "unreadable"}[
        type(transition)
    ]
    return TasksSwept(Swept(**{number: 1}, tasks=(task,)))  # type: ignore[arg-type]


def logged(*events: Event) -> list[MutableMapping[str, Any]]:
    """Return the lines that events leave."""
    with capture_logs() as lines:
        tell = LoggingInstrument(now=ManualClock().now)
        for event in events:
            tell(event)
    return lines


def settled(outcome: Transition, answer: Settled | LeaseLost | None = None) -> TasksSettled:
    """Return the end of a run, as it was settled."""
    verdict = Verdict(CLAIM.lease, outcome, waited=0.1, ran=0.5)
    return TasksSettled([verdict], [answer or Settled(State.PENDING)], [CLAIM])


@pytest.mark.parametrize(
    ("told", "level", "event", "facts"),
    [
        (
            WorkerStarted(("a", "b"), {"greet": "a", "mail:": "b"}, "redis://ann:…@db/0"),
            "info",
            "worker started",
            {
                "queues": ["a", "b"],
                "tasks": ["greet", "mail:"],
                "broker": "redis://ann:…@db/0",
            },
        ),
        (WorkerPaused(), "info", "worker paused", {}),
        (WorkerStopping(25.0, 3), "info", "worker stopping", {"grace": 25.0, "running": 3}),
        (WorkerStopped(2), "info", "worker stopped", {"released": 2}),
        (WorkerFailed(OSError("gone")), "error", "worker failed", {"error": "OSError: gone"}),
        (LeaseWasLost(CLAIM), "warning", "lease lost", {**FACTS, "token": 5}),
        (TasksSwept(Swept(crashed=3)), "warning", "workers were lost", {"crashed": 3}),
        (TasksSwept(Swept(expired=2)), "warning", "tasks expired", {"expired": 2}),
        (moved(State.PENDING, CRASHED), "warning", "task crashed", FACTS | {"error": "lost"}),
        (
            moved(State.DEAD, CRASHED),
            "error",
            "task is dead after too many crashes",
            FACTS | {"error": "lost"},
        ),
        (moved(State.DEAD, Expired()), "warning", "task expired", FACTS),
        (
            moved(State.DEAD, UnreadableTask("headers is 7")),
            "error",
            "task cannot be read",
            FACTS | {"error": "headers is 7"},
        ),
        (TasksSwept(Swept(unreadable=2)), "error", "tasks cannot be read", {"unreadable": 2}),
        (NoHandler(CLAIM), "warning", "no handler for this name", FACTS),
        (
            NoHandler(CLAIM, "no argument 'cc' here"),
            "warning",
            "task is of an unknown format",
            {**FACTS, "reason": "no argument 'cc' here"},
        ),
        (
            LoopBlocked(1.5, "in sleep"),
            "warning",
            "event loop is blocked",
            {"seconds": 1.5, "stack": "in sleep"},
        ),
        (
            BrokerFailed("claim", OSError("gone"), 2.0),
            "warning",
            "broker failed",
            {"call": "claim", "error": "OSError: gone", "again_in": 2.0},
        ),
        (
            BrokerRecovered("claim", 3),
            "info",
            "broker answers again",
            {"call": "claim", "failures": 3},
        ),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, Event) else None,
)
def test_an_event_is_one_line(
    told: Event, level: str, event: str, facts: dict[str, object]
) -> None:
    """What a person wants to read is one event, at its level, with its facts."""
    assert logged(told) == [{"event": event, "log_level": level, **facts}]


@pytest.mark.parametrize(
    ("outcome", "level", "event", "facts"),
    [
        (Succeeded(b"1"), "debug", "task succeeded", {}),
        (Failed("no", NOW + 15), "warning", "task failed", {"error": "no", "again_at": AGAIN}),
        (Exhausted("no"), "error", "task is out of retries", {"error": "no"}),
        (Rejected("no"), "error", "task rejected", {"error": "no"}),
        (Crashed("killed"), "warning", "task crashed", {"error": "killed"}),
        (Snoozed(NOW + 15), "debug", "task snoozed", {"again_at": AGAIN}),
        (Revoked(), "debug", "task revoked", {}),
        (Released(), "debug", "task released", {}),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, Transition) else None,
)
def test_the_end_of_a_run_is_one_line(
    outcome: Transition, level: str, event: str, facts: dict[str, object]
) -> None:
    """Each outcome is logged at a level of its own, with what tells the run from others."""
    line = {"event": event, "log_level": level, "seconds": 0.5, **FACTS, **facts}
    assert logged(settled(outcome)) == [line]


def test_a_task_without_a_handler_is_no_snooze() -> None:
    """What was put back for want of a handler is `NoHandler`'s to tell, not a line for each."""
    assert logged(settled(Snoozed(NOW + 15, unhandled=True))) == []


def test_a_retry_in_the_far_future_can_be_logged() -> None:
    """A moment that no datetime can name is shown as the last that one can."""
    (line,) = logged(settled(Failed("no", 1e300)))
    assert line["again_at"] == "9999-12-31T23:59:59.000+00:00"


def test_that_a_handler_starts_or_ends_is_no_line() -> None:
    """That a task was claimed, and how that was settled, say it."""
    assert logged(TaskStarted(CLAIM), TaskFinished(CLAIM, Succeeded(), seconds=0.5)) == []


def test_a_claim_is_a_line_at_debug() -> None:
    """With what tells its run from others."""
    line = {"event": "task claimed", "log_level": "debug", **FACTS}
    assert logged(TasksClaimed([CLAIM, CLAIM])) == [line, line]


@pytest.mark.parametrize(
    ("answer", "facts"),
    [
        (Enqueued("7", State.SCHEDULED), {"event": "task enqueued", "state": "scheduled"}),
        (
            Duplicate("3", State.ACTIVE),
            {
                "event": "task not enqueued",
                "reason": "its unique key is held by '3', which is active",
            },
        ),
        (
            Conflict("7", State.RETRY),
            {"event": "task not enqueued", "reason": "its id is taken by a task that is retry"},
        ),
        (InvalidTask("secret"), {"event": "task not enqueued", "reason": "it is refused"}),
    ],
)
def test_an_enqueue_is_a_line_at_debug(
    answer: Admission | InvalidTask, facts: dict[str, object]
) -> None:
    """It says what became of the task in plain text, and nothing of what is in it."""
    task = {"task": "email:welcome", "task_id": "7", "queue": "critical"}
    [line] = logged(TasksEnqueued([CLAIM.task.spec], [answer]))
    assert line == {"log_level": "debug", **task, **facts}
    # a handler of `logging` shows the repr of an enum
    assert {type(each) for each in line.values()} == {str}


def test_a_verdict_that_came_too_late_is_a_warning() -> None:
    """The task will run twice, and that is worth a line, with what it said."""
    lines = logged(settled(Succeeded(), LeaseLost()), settled(Exhausted("no"), LeaseLost()))
    line = {"event": "verdict came too late", "log_level": "warning", "seconds": 0.5, **FACTS}
    assert lines == [
        {**line, "outcome": "succeeded"},
        {**line, "outcome": "exhausted", "error": "no"},
    ]


def test_poison_is_an_error() -> None:
    """The crash that was one too many is an error, the others are warnings; each is one line."""
    dead = settled(Crashed("killed"), Settled(State.DEAD))
    assert [(line["event"], line["log_level"]) for line in logged(settled(Crashed()), dead)] == [
        ("task crashed", "warning"),
        ("task is dead after too many crashes", "error"),
    ]
    assert FACTS.items() <= logged(dead)[0].items()


def test_a_run_that_never_began_has_no_seconds() -> None:
    """Such as that of a task that was given back before its turn."""
    verdict = Verdict(CLAIM.lease, Released())
    [line] = logged(TasksSettled([verdict], [Settled(State.PENDING)], [CLAIM]))
    assert line == {"event": "task released", "log_level": "debug", **FACTS}


def test_what_follows_a_task_is_a_line_each() -> None:
    """With the task that it follows, as it was stored in the same step."""
    follow_up = a_task(name="audit", id="8")
    _, line = logged(settled(Succeeded(then=(follow_up,))))
    facts = {"task": "audit", "task_id": "8", "queue": "default", "follows": "7"}
    assert line == {"event": "follow-up enqueued", "log_level": "debug", **facts}


def test_what_is_trimmed_is_a_line_each() -> None:
    """Of the oldest moves of all; without a name where the store does not read it for that."""
    named = SweptTask("critical", "7", State.GONE, name="email:welcome")
    [first, last] = logged(
        TasksSwept(Swept(trimmed=2, tasks=(named, SweptTask("critical", "8", State.GONE))))
    )
    line = {"event": "task trimmed", "log_level": "debug", "queue": "critical"}
    assert first == line | {"task": "email:welcome", "task_id": "7"}
    assert last == line | {"task_id": "8"}


def test_of_what_is_swept_and_not_named_the_number_is_told() -> None:
    """Of all that was moved, where only a part of it is named."""
    swept = moved(State.DEAD, Expired()).swept
    _, line = logged(TasksSwept(evolve(swept, expired=5_000)))
    assert (line["event"], line["expired"]) == ("tasks expired", 5_000)


def test_ticks_that_were_missed_are_a_warning() -> None:
    """A task that was to be is not."""
    [line] = logged(PeriodicMissed(ENTRY, 3))
    facts = {"entry": ENTRY.id, "queue": ENTRY.queue, "ticks": 3}
    assert line == {"event": "ticks were missed", "log_level": "warning", **facts}


ENDS: dict[type, Transition] = {
    Succeeded: Succeeded(b"1"),
    Failed: Failed("no", NOW + 15),
    Exhausted: Exhausted("no"),
    Rejected: Rejected("no"),
    Revoked: Revoked(),
    Snoozed: Snoozed(NOW + 15),
    Released: Released(),
    Crashed: Crashed(),
}
"""What a verdict may say."""
BY_WORKERS: dict[type, Event] = {
    **{kind: settled(outcome) for kind, outcome in ENDS.items()},
    Claimed: TasksClaimed([CLAIM]),
    Aggregated: TasksAggregated("g", ["7"], CLAIM.task.spec),
    Expired: moved(State.DEAD, Expired()),
}
"""What is told of a move that nobody has commanded."""
WITHOUT_A_LINE = {Due: "its claim is one, and a store moves it without a word"}


def told_of(kind: type) -> Event | None:
    """Return what instruments are told of a move."""
    if kind in ACTIONS:
        return Operated(NOW, ACTIONS[kind], "critical", "ann", tasks=("7",))
    return BY_WORKERS.get(kind)


@pytest.mark.parametrize(
    "kind", sorted({kind for row in MOVES.values() for kind in row}, key=lambda kind: kind.__name__)
)
def test_each_move_of_the_table_is_one_line_that_names_its_task(kind: type) -> None:
    """So a transition that is added and not logged is found here."""
    told = told_of(kind)
    if kind in WITHOUT_A_LINE:
        assert told is None
        return
    assert told is not None
    [line] = logged(told)
    assert "7" in {line.get("task_id"), *line.get("task_ids", ())}
    assert line["queue"] == "critical"
    if kind in ENDS:
        assert {**FACTS, "seconds": 0.5}.items() <= line.items()


def test_events_of_every_task_are_not_wanted_where_debug_is_not_logged() -> None:
    """So that nobody makes them: an enqueue costs what it did without a log."""
    for level, are_wanted in ((logging.DEBUG, True), (logging.INFO, False)):
        wants = LoggingInstrument(
            structlog.wrap_logger(
                CapturingLogger(), wrapper_class=structlog.make_filtering_bound_logger(level)
            )
        ).wants
        assert ({TasksEnqueued, TasksClaimed} <= set(wants)) is are_wanted
        assert TasksSettled in wants


def test_a_name_without_a_handler_is_warned_of_once_a_minute() -> None:
    """However many tasks of the name are put back, there is one line a minute."""
    clock = ManualClock()
    with capture_logs() as lines:
        tell = LoggingInstrument(now=clock.now)
        for _ in range(121):
            tell(NoHandler(CLAIM))
            clock.advance(1)
    assert len(lines) == 3


def test_each_name_without_a_handler_has_its_own_warning() -> None:
    """One unknown name does not hide another."""
    other = a_claim(a_task(name="image:thumb"))
    lines = logged(NoHandler(CLAIM), NoHandler(other), NoHandler(CLAIM))
    assert [line["task"] for line in lines] == ["email:welcome", "image:thumb"]


def test_names_without_end_are_not_remembered_without_end() -> None:
    """A flood of made-up names is logged, and takes bounded memory."""
    tell = LoggingInstrument(now=ManualClock().now)
    with capture_logs() as lines:
        for n in range(2_500):
            tell(NoHandler(a_claim(a_task(name=f"made-up:{n}"))))
    assert len(lines) == 2_500
    assert len(tell._warned) <= 1_000  # noqa: SLF001


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_successes_are_logged_only_where_debug_is(level: int) -> None:
    """A logger that is set to info hears of the worker, and of no success."""
    written = CapturingLogger()
    logger = structlog.wrap_logger(
        written,
        processors=[structlog.processors.KeyValueRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    tell = LoggingInstrument(logger)
    tell(STARTED)
    tell(settled(Succeeded()))
    assert [call.method_name for call in written.calls] == (
        ["info", "debug"] if level == logging.DEBUG else ["info"]
    )


@pytest.mark.parametrize("is_configured", [True, False])
def test_a_structlog_that_nobody_configured_hears_of_no_success(
    monkeypatch: pytest.MonkeyPatch, *, is_configured: bool
) -> None:
    """What structlog prints by default is everything, and a line for each task is too much."""
    with unconfigured_logs(), capture_logs() as lines:
        monkeypatch.setattr(structlog, "is_configured", lambda: is_configured)
        tell = LoggingInstrument()
        tell(STARTED)
        tell(settled(Succeeded()))
        tell(settled(Exhausted("no")))
    levels = [line["log_level"] for line in lines]
    assert levels == (["info", "debug", "error"] if is_configured else ["info", "error"])


def test_a_logger_that_cannot_be_asked_for_its_level_logs() -> None:
    """A generic logger of structlog answers to any name by logging it; it is not asked."""
    written = CapturingLogger()
    logger: Any = structlog.wrap_logger(
        written,
        processors=[structlog.processors.KeyValueRenderer()],
        wrapper_class=structlog.BoundLogger,
    )
    tell = LoggingInstrument(logger)
    tell(STARTED)
    tell(settled(Succeeded()))
    assert [call.method_name for call in written.calls] == ["info", "debug"]


TRACE = 'Traceback (most recent call last):\n  File "tasks.py", line 7, in send\n'


@pytest.mark.parametrize(
    ("outcome", "level", "has_traceback"),
    [
        (Exhausted("no", traceback=TRACE), logging.INFO, True),
        (Rejected("no", traceback=TRACE), logging.INFO, True),
        (Failed("no", NOW + 15, traceback=TRACE), logging.INFO, False),
        (Failed("no", NOW + 15, traceback=TRACE), logging.DEBUG, True),
        (Rejected("expired"), logging.DEBUG, False),
    ],
)
def test_a_failure_that_is_final_has_its_traceback(
    outcome: Transition, level: int, *, has_traceback: bool
) -> None:
    """Nobody will see it run again; where debug is logged, each failure has its own."""
    written = CapturingLogger()
    logger = structlog.wrap_logger(
        written,
        processors=[lambda _logger, _method, event: ((), event)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    tell = LoggingInstrument(logger)
    tell(STARTED)
    tell(settled(outcome))
    assert (written.calls[-1].kwargs.get("stack") == TRACE) is has_traceback
    assert written.calls[-1].kwargs["error"]


def test_a_worker_that_knows_no_task_says_so() -> None:
    """Its module may have to import another, in which they are declared."""
    _, line = logged(WorkerStarted(["default"]))
    assert line["log_level"] == "warning"
    assert "worker knows no task" in line["event"]


def test_a_worker_that_does_not_serve_the_queue_of_a_handler_says_so() -> None:
    """Of each queue with one line, as it may be served by another worker, or by none."""
    tasks = {"a": "low", "b": "default", "c": "low", "d": "high"}
    _, *lines = logged(WorkerStarted(["default"], tasks))
    assert [(line["log_level"], line["queue"], line["tasks"]) for line in lines] == [
        ("warning", "low", ["a", "c"]),
        ("warning", "high", ["d"]),
    ]


def test_hundreds_of_tasks_are_one_line() -> None:
    """It names some, and says how many more there are."""
    [line] = logged(WorkerStarted(["default"], {f"task-{n}": "default" for n in range(300)}))
    assert line["tasks"] == [*(f"task-{n}" for n in range(20)), "… and 280 more"]


def test_successes_may_be_shown_as_info() -> None:
    """Where somebody reads along."""
    with capture_logs() as lines:
        tell = LoggingInstrument(successes="info", now=ManualClock().now)
        tell(STARTED)
        tell(settled(Succeeded()))
        tell(settled(Snoozed(NOW + 15)))
    levels = {line["event"]: line["log_level"] for line in lines}
    assert levels["task succeeded"] == "info"
    assert levels["task snoozed"] == "debug"


def test_what_an_operator_has_done_is_a_line() -> None:
    """With who and why, and what of an event says something."""
    many = tuple(f"t{n}" for n in range(30))
    lines = logged(
        Operated(NOW, "archive", "mail", "ann", "closed", tasks=many),
        Operated(NOW, "pause entry", "mail", "ann", entry="daily"),
    )
    assert lines[0] | {"task_ids": []} == {
        "event": "operator's command",
        "log_level": "info",
        "action": "archive",
        "queue": "mail",
        "by": "ann",
        "reason": "closed",
        "tasks": 30,
        "task_ids": [],
    }
    assert lines[0]["task_ids"] == [*many[:20], "… and 10 more"]
    assert lines[1]["entry"] == "daily"
    assert "reason" not in lines[1]
