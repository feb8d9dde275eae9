"""What an instrument counts, and of how many series it lets there be."""

import re

import pytest

from qcore.adapters.instruments import metric_catalogue as of
from qcore.adapters.instruments.metric_series import (
    MAX_LABEL,
    MAX_QUEUES,
    Series,
    cleaned,
    observe,
)
from qcore.adapters.instruments.metrics import RUN_OUTCOMES, Metrics
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import TracedBroker
from qcore.domain.answers import LeaseLost, Settled, Swept, SweptTask, UnreadableTask
from qcore.domain.events import (
    AggregationFailed,
    BrokerCalled,
    LeaseWasLost,
    LoopBlocked,
    NoHandler,
    PeriodicFailed,
    PeriodicMissed,
    PeriodicTicked,
    TasksSettled,
    TasksSwept,
    WorkerStarted,
)
from qcore.domain.groups import Group
from qcore.domain.periodic.entry import EntryState, StoredEntry
from qcore.domain.periodic.tick import Tick, with_tick
from qcore.domain.states import State
from qcore.domain.statistics import MAX_NAMES, OTHER, Outcome
from qcore.domain.task import Claim, Verdict
from qcore.domain.transitions import (
    Crashed,
    Expired,
    Failed,
    Rejected,
    Released,
    Snoozed,
    Succeeded,
    Transition,
)
from qcore.events import Event
from qcore.ports import MAX_CALL_TIMES
from qcore.testing.builders import LEASE, NOW, a_claim, a_demand, a_task
from qcore.testing.entries import an_entry

CLAIM = a_claim(a_task(name="email:welcome"))
ENTRY = StoredEntry(an_entry(), EntryState(NOW))


def counted(metrics: Metrics, metric: of.Metric) -> dict[tuple[str, ...], float]:
    """Return the number of each labelling of a counter, or of a histogram how many it has."""
    return {
        labels: sum(cell[:-1]) if metric.kind == "histogram" else cell[0]
        for found, labels, cell in metrics.samples()
        if found is metric
    }


def happened(metrics: Metrics, metric: of.Metric) -> dict[tuple[str, ...], float]:
    """Return what of a metric is more than 0."""
    return {labels: number for labels, number in counted(metrics, metric).items() if number}


def settled(*runs: tuple[Claim, Transition, float | None]) -> TasksSettled:
    """Return verdicts that were written, of runs that took so long and had waited for 2 s."""
    return TasksSettled(
        [
            Verdict(claim.lease, outcome, None if ran is None else 2.0, ran)
            for claim, outcome, ran in runs
        ],
        [Settled(State.GONE)] * len(runs),
        [claim for claim, _, _ in runs],
    )


def finished(claim: Claim = CLAIM, *, seconds: float = 0.5) -> TasksSettled:
    """Return the end of a run that succeeded."""
    return settled((claim, Succeeded(), seconds))


@pytest.mark.parametrize("at_once", [True, False])
def test_a_run_counts_by_queue_name_and_outcome_with_its_times(*, at_once: bool) -> None:
    """In one batch or in several."""
    metrics = Metrics()
    runs = [(CLAIM, Succeeded(), 0.5), (CLAIM, Succeeded(), 4.0), (CLAIM, Failed("no", NOW), 0.5)]
    for batch in [runs] if at_once else [runs[:2], runs[2:]]:
        metrics(settled(*batch))
    name = ("default", "email:welcome")
    assert happened(metrics, of.RUNS) == {(*name, "succeeded"): 2, (*name, "retried"): 1}
    cells = {found.name: cell for found, _, cell in metrics.samples()}
    ran, waited = cells[of.RAN.name], cells[of.WAITED.name]
    assert (ran[of.BOUNDS.index(0.5)], ran[of.BOUNDS.index(5.0)], ran[-1]) == (2, 1, 5.0)
    assert (sum(waited[:-1]), waited[of.BOUNDS.index(2.5)], waited[-1]) == (3, 3, 6.0)


def test_runs_of_several_names_are_told_apart() -> None:
    """Also in one batch, and of one name in two queues."""
    metrics = Metrics()
    mail, sms = a_claim(a_task(name="sms")), a_claim(a_task(name="sms", queue="low"))
    metrics(settled(*[(each, Succeeded(), 0.1) for each in (CLAIM, mail, sms, mail)]))
    assert happened(metrics, of.RUNS) == {
        ("default", "email:welcome", "succeeded"): 1,
        ("default", "sms", "succeeded"): 2,
        ("low", "sms", "succeeded"): 1,
    }


def test_what_was_given_back_is_no_run() -> None:
    """As a worker leaves, or has no handler; and a rejection without a run has no times."""
    metrics = Metrics()
    metrics(settled((CLAIM, Released(), None), (CLAIM, Snoozed(NOW, unhandled=True), None)))
    assert happened(metrics, of.RUNS) == {}
    metrics(settled((CLAIM, Rejected("too late"), None)))
    assert happened(metrics, of.RUNS) == {("default", "email:welcome", "rejected"): 1}
    assert counted(metrics, of.WAITED) == {("default", "email:welcome"): 0}


def test_the_last_crash_of_a_task_is_told_apart() -> None:
    """As in the statistics of the store."""
    metrics = Metrics()
    verdict = Verdict(CLAIM.lease, Crashed("gone"))
    answers = [Settled(State.PENDING), Settled(State.DEAD)]
    metrics(TasksSettled([verdict] * 2, answers, [CLAIM] * 2))
    outcomes = {labels[2]: number for labels, number in happened(metrics, of.RUNS).items()}
    assert outcomes == {"crashed": 1, "poisoned": 1}


TICK = a_task(headers=with_tick({}, Tick("report", NOW, 4.0, is_late=False)))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            TasksSwept(
                Swept(
                    crashed=2,
                    expired=4,
                    trimmed=1,
                    tasks=(
                        SweptTask("mail", "1", State.PENDING, Crashed("gone"), "a", 1),
                        SweptTask("mail", "2", State.DEAD, Crashed("gone"), "b", 3),
                        SweptTask("mail", "3", State.DEAD, Expired(), "a", 0),
                        SweptTask("mail", "4", State.GONE),
                    ),
                )
            ),
            {
                (of.CRASHED, ("mail", "a")): 1,
                (of.CRASHED, ("mail", "b")): 1,
                (of.EXPIRED, ("mail", "a")): 1,
                (of.EXPIRED, (OTHER, OTHER)): 3,
            },
        ),
        (
            TasksSwept(
                Swept(
                    unreadable=2,
                    tasks=(
                        SweptTask("mail", "1", State.DEAD, UnreadableTask("cut"), "a", 0),
                        SweptTask("mail", "2", State.DEAD, UnreadableTask("cut"), None, 0),
                    ),
                )
            ),
            {(of.UNREADABLE, ("mail", "a")): 1, (of.UNREADABLE, ("mail", OTHER)): 1},
        ),
        (LeaseWasLost(CLAIM), {(of.LEASES_LOST, ("default",)): 1}),
        (NoHandler(CLAIM), {(of.NO_HANDLER, ("default",)): 1}),
        (LoopBlocked(1.0, ""), {(of.LOOP_BLOCKED, ()): 1}),
        (PeriodicMissed(ENTRY, 3), {(of.MISSED_TICKS, (ENTRY.queue,)): 3}),
        (PeriodicFailed("mail", "x", ValueError()), {(of.PERIODIC_FAILURES, ("mail",)): 1}),
        (
            PeriodicTicked(ENTRY, [TICK], []),
            {(of.TICKS, (ENTRY.queue,)): 1, (of.TICK_LATENESS, (ENTRY.queue,)): 1},
        ),
        (
            AggregationFailed(Group("mail", "g", 1, 0.0, 0.0), ValueError(), 1.0),
            {(of.AGGREGATION_FAILURES, ("mail",)): 1},
        ),
        (BrokerCalled("claim", 0.1), {(of.CALLS, ("claim",)): 1}),
        (
            BrokerCalled("claim", 0.1, 0, OSError()),
            {(of.CALLS, ("claim",)): 1, (of.CALL_ERRORS, ("claim",)): 1},
        ),
        (
            TasksSettled([Verdict(CLAIM.lease, Succeeded(), 2.0, 1.0)], [LeaseLost()], [CLAIM]),
            {(of.LATE_VERDICTS, ("default",)): 1},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_event_counts(
    event: Event, expected: dict[tuple[of.Metric, tuple[str, ...]], float]
) -> None:
    """In the metrics that the page names, and in no others."""
    metrics = Metrics()
    metrics(event)
    found = {
        (metric, labels): number
        for metric in of.COUNTED
        for labels, number in happened(metrics, metric).items()
    }
    assert found == expected


async def test_calls_of_a_broker_are_counted_with_and_without_events() -> None:
    """At latest when somebody asks; their times do not wait in memory without bound."""
    metrics = Metrics()
    broker = TracedBroker(MemoryBroker(), metrics)
    number = 3 * MAX_CALL_TIMES + 7
    for _ in range(number):
        await broker.claim(a_demand(1), now=NOW, until=NOW + LEASE)
    await broker.count()
    assert len(metrics.call_times("claim")) <= MAX_CALL_TIMES
    assert counted(metrics, of.CALLS) == {("claim",): number, ("count",): 1}
    assert metrics.call_times("claim") == []


def test_what_comes_while_calls_are_counted_is_counted_with_the_next() -> None:
    """Threads go on to note calls meanwhile, without the lock: none is lost, none counts twice."""
    series = Series()
    buffer, coming = series.buffer(of.CALLS, "enqueue"), [0.25]

    class Slow(float):
        """Seconds that another call is noted beside, as soon as somebody sorts them."""

        def __lt__(self, other: float) -> bool:
            while coming:
                buffer.append(coming.pop())
            return float(self) < other

    buffer += [Slow(0.25), Slow(0.25)]
    cells = [[cell for found, _, cell in series.samples() if found is of.CALLS] for _ in range(3)]
    assert [(sum(cell[:-1]), cell[-1]) for [cell] in cells] == [(2, 0.5), (3, 0.75), (3, 0.75)]


def test_a_batch_of_runs_is_counted_as_they_are_one_by_one() -> None:
    """Whatever is in it: several names and queues, runs that failed, those without a handler."""
    other = a_claim(a_task(name="sms", queue="low"))
    runs: list[tuple[Claim, Transition, float | None]] = [
        (CLAIM, Succeeded(), 0.5),
        (other, Succeeded(), 0.02),
        (CLAIM, Failed("x", again_at=NOW), 9.0),
        (other, Rejected("x"), None),
        (CLAIM, Succeeded(), None),
    ]
    for some in (runs, runs[:2], runs[:1] * 3, runs[4:], runs[:0]):
        together, alone = Metrics(), Metrics()
        together(settled(*some))
        for run in some:
            alone(settled(run))
        assert sorted(together.samples(), key=repr) == sorted(alone.samples(), key=repr)


def test_names_without_end_are_counted_together() -> None:
    """Of each queue the first hundred have series of their own; so have the first queues."""
    metrics = Metrics()
    for number in range(MAX_NAMES + 5):
        metrics(finished(a_claim(a_task(name=f"user-{number}"))))
    for number in range(MAX_QUEUES + 5):
        metrics(finished(a_claim(a_task(queue=f"queue-{number}"))))
    runs = happened(metrics, of.RUNS)
    assert runs["default", OTHER, "succeeded"] == 5
    assert sum(runs.values()) == MAX_NAMES + MAX_QUEUES + 10
    assert len({queue for queue, _, _ in runs}) == MAX_QUEUES + 1
    assert len([name for queue, name, _ in runs if queue == "default"]) == MAX_NAMES + 1


@pytest.mark.parametrize("value", ["a\nb", "\ud800", "\x00", "x" * 1_000, "\u202etxt"])
def test_a_hostile_label_is_shown_in_one_line(value: str) -> None:
    """Printable, in UTF-8, and not too long for a screen."""
    shown = cleaned(value)
    assert shown.isprintable()
    assert shown.encode()
    assert 0 < len(shown) <= MAX_LABEL


def test_a_duration_below_zero_is_none() -> None:
    """Clocks differ, and a sum that falls is no sum of a histogram."""
    cell = [0.0] * (len(of.BOUNDS) + 2)
    observe(cell, [1e9, -3.0])
    assert (cell[0], cell[-2], cell[-1]) == (1, 1, 1e9)


def test_changes_make_of_one_process_what_another_has_counted() -> None:
    """Each is told once, and added to what others have counted."""
    child, other, whole = Metrics(), Metrics(), Series()
    for metrics in (child, other):
        metrics(finished())
        whole.add(metrics.series.changes())
    child(finished(seconds=8.0))
    whole.add(child.series.changes())
    assert child.series.changes() == []
    numbers = {(found.name, labels): cell for found, labels, cell in whole.samples()}
    assert numbers[of.RUNS.name, ("default", "email:welcome", "succeeded")] == (3.0,)
    assert numbers[of.RAN.name, ("default", "email:welcome")][-1] == 9.0


def test_what_may_fail_is_there_before_it_does() -> None:
    """At 0, of each task that a worker knows: the first failure is seen to grow, also afar."""
    metrics, whole = Metrics(), Series()
    metrics(WorkerStarted(["default", "low"], {"email:welcome": "default", "old:": "low"}))
    whole.add(metrics.series.changes())
    for samples in (metrics.samples(), whole.samples()):
        cells = {(found.name, labels): cell for found, labels, cell in samples}
        assert cells[of.RUNS.name, ("default", "email:welcome", "rejected")] == (0.0,)
        assert cells[of.CRASHED.name, ("default", "email:welcome")] == (0.0,)
        assert cells[of.MISSED_TICKS.name, ("low",)] == (0.0,)
        assert cells[of.CALL_ERRORS.name, ("claim",)] == (0.0,)
        assert {labels[1] for name, labels in cells if name == of.RUNS.name} == {"email:welcome"}
    assert metrics.series.changes() == []


def test_what_has_run_may_fail_and_crash_and_is_there_before_it_does() -> None:
    """Also of a name that a prefix stands for, unknown until then."""
    metrics = Metrics()
    metrics(finished())
    for metric in (of.CRASHED, of.EXPIRED, of.UNREADABLE):
        assert counted(metrics, metric) == {("default", "email:welcome"): 0}
    runs = counted(metrics, of.RUNS)
    assert {outcome for (_, _, outcome), number in runs.items() if not number} == {
        each.value for each in RUN_OUTCOMES if each is not Outcome.SUCCEEDED
    }


def test_what_another_version_counts_is_left_out() -> None:
    """A supervisor may be older than the workers that it starts after an upgrade."""
    whole = Series()
    before = whole.samples()
    whole.add([("qcore_new_total", ["x"], {0: 1.0}), (of.RUNS.name, ["x"], {0: 1.0})])
    assert whole.samples() == before


@pytest.mark.parametrize("metric", of.METRICS.values(), ids=lambda metric: metric.name)
def test_a_metric_is_named_as_prometheus_asks(metric: of.Metric) -> None:
    """Counters end in _total, durations in seconds, and no other character needs escaping."""
    for name in (metric.name, *metric.labels):
        assert re.fullmatch("[a-z_]+", name)
    assert metric.name.startswith("qcore_")
    assert metric.name.endswith("_total") is (metric.kind == "counter")
    assert metric.kind != "histogram" or metric.unit == "seconds"
    assert metric.help.endswith(".")
