"""`Metrics`: an instrument that counts and measures what workers, clients and brokers do."""

from collections import defaultdict
from collections.abc import Callable, KeysView, Mapping, Sequence
from typing import Any, Final, Protocol, get_args
from weakref import WeakSet

from qcore.adapters.instruments import metric_catalogue as of
from qcore.adapters.instruments.metric_series import Cell, Sample, Series, observe, observe_one
from qcore.domain.answers import LeaseLost, UnreadableTask
from qcore.domain.events import (
    AggregationFailed,
    BrokerCalled,
    Event,
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
from qcore.domain.periodic.tick import tick_in
from qcore.domain.statistics import OTHER, Outcome, outcome_of
from qcore.domain.task import Verdict
from qcore.domain.transitions import Crashed, Expired, Succeeded
from qcore.ports import Verb

MAX_REMEMBERED: Final = 10_000
"""Pairs of queue and name whose cells are found at once: names may be without end."""


RUN_OUTCOMES: Final = tuple(
    each for each in Outcome if each not in {Outcome.CANCELLED, Outcome.EXPIRED}
)
"""Those that a run may have."""
SWEPT: Final[Mapping[type, of.Metric]] = {
    Crashed: of.CRASHED,
    Expired: of.EXPIRED,
    UnreadableTask: of.UNREADABLE,
}
"""What counts the tasks that a sweep or a claim has moved, by what has happened to them."""


class Load(Protocol):
    """A worker, as far as it is measured."""

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        ...

    @property
    def concurrency(self) -> int:
        """How many tasks it may have in hand."""
        ...

    @property
    def running(self) -> int:
        """How many it has."""
        ...

    @property
    def loop_lag(self) -> float:
        """By how many seconds its event loop is late."""
        ...


class _Runs:
    """The cells of one queue and name."""

    __slots__ = ("outcomes", "ran", "waited")

    def __init__(self, waited: Cell, ran: Cell) -> None:
        self.waited = waited
        self.ran = ran
        self.outcomes: dict[Outcome, Cell] = {}


class Metrics:
    """Count and measure for Prometheus, in memory; see `metrics_app` for how it is asked.

    One for a process: `Qcore(instruments=[LoggingInstrument(), Metrics()])`, or none, as `qcore
    worker --metrics-port` brings its own. Of each queue up to 100 task names have series of their
    own, and up to 200 queues; what is beyond is counted under `(other)`. Thread-safe.
    """

    def __init__(self) -> None:
        self.series: Final = Series()
        """What was counted."""
        self._workers: WeakSet[Load] = WeakSet()
        self._runs: dict[tuple[str, str], _Runs] = {}
        self._takers: dict[type, Callable[[Any], None]] = {
            WorkerStarted: self._started,
            TasksSettled: self._settled,
            TasksSwept: self._swept,
            LeaseWasLost: self._lease_lost,
            NoHandler: self._no_handler,
            AggregationFailed: self._aggregation_failed,
            PeriodicTicked: self._ticked,
            PeriodicMissed: self._missed,
            PeriodicFailed: self._periodic_failed,
            LoopBlocked: self._blocked,
            BrokerCalled: self._called,
        }

    @property
    def wants(self) -> KeysView[type]:
        """Return the classes of the events that count."""
        return self._takers.keys()

    def __call__(self, event: Event) -> None:
        """Count an event, if it is of one of those classes."""
        take = self._takers.get(type(event))
        if take is not None:
            with self.series.lock:
                take(event)

    def call_times(self, verb: str) -> list[float]:
        """Return the list of how long calls of a verb took that are yet to be counted."""
        with self.series.lock:
            return self.series.buffer(of.CALLS, verb)

    def follow(self, worker: Load) -> None:
        """Measure the load of a worker from now on, while it is there."""
        self._workers.add(worker)

    def samples(self) -> Sequence[Sample]:
        """Return what was counted."""
        with self.series.lock:
            return self.series.samples()

    def loads(self) -> Sequence[Sample]:
        """Return how the workers of this process are now."""
        workers = [each for each in list(self._workers) if each.is_running]
        return [
            (of.SLOTS, (), [sum(each.concurrency for each in workers)]),
            (of.SLOTS_BUSY, (), [sum(each.running for each in workers)]),
            (of.LOOP_LAG, (), [max((each.loop_lag for each in workers), default=0.0)]),
        ]

    # --- what is counted, under the lock -------------------------------------------------------

    def _started(self, event: WorkerStarted) -> None:
        """Begin at 0 with what may come.

        A series that begins with its first failure has not grown, so that no alert sees it.
        """
        cell = self.series.cell
        for name, queue in event.tasks.items():
            # not of a prefix, whose names are yet to come
            if name and not name.endswith(":"):
                self._begin(queue, name)
        for metric in of.COUNTED:
            if metric.kind == "counter" and metric.labels == of.OF_QUEUE:
                for queue in event.queues:
                    cell(metric, queue)
        for verb in get_args(Verb):
            cell(of.CALL_ERRORS, verb)

    def _settled(self, event: TasksSettled) -> None:
        """Count runs as the store does: those whose verdicts were written.

        A worker's batch is most often of one name, and all have succeeded: then it is counted as a
        whole, as every task pays for what is done for each.
        """
        claims, verdicts, answers = event.claims, event.verdicts, event.answers
        if event.all_succeeded:
            names = {claim.task.spec.name for claim in claims}
            queues = {claim.lease.queue for claim in claims}
            if len(names) == len(queues) == 1:
                self._ended(queues.pop(), names.pop(), Outcome.SUCCEEDED, verdicts)
                return
        succeeded: defaultdict[tuple[str, str], list[Verdict]] = defaultdict(list)
        for claim, verdict, answer in zip(claims, verdicts, answers, strict=True):
            spec = claim.task.spec
            if isinstance(answer, LeaseLost):
                self._count(of.LATE_VERDICTS, spec.queue)
            elif type(verdict.outcome) is Succeeded:
                succeeded[spec.queue, spec.name].append(verdict)
            elif (outcome := outcome_of(verdict.outcome, answer.state)) is not None:
                self._ended(spec.queue, spec.name, outcome, [verdict])
        for (queue, name), some in succeeded.items():
            self._ended(queue, name, Outcome.SUCCEEDED, some)

    def _ended(self, queue: str, name: str, outcome: Outcome, runs: Sequence[Verdict]) -> None:
        """Count runs of one queue, name and outcome."""
        cells = self._runs.get((queue, name)) or self._new_runs(queue, name)
        cell = cells.outcomes.get(outcome)
        if cell is None:
            cell = cells.outcomes[outcome] = self.series.cell(of.RUNS, queue, name, outcome.value)
        cell[0] += len(runs)
        # where no handler was called, there are none
        observe(cells.waited, [each for run in runs if (each := run.waited) is not None])
        observe(cells.ran, [each for run in runs if (each := run.ran) is not None])

    def _new_runs(self, queue: str, name: str) -> _Runs:
        if len(self._runs) >= MAX_REMEMBERED:
            self._runs.clear()
        cell = self.series.cell
        runs = _Runs(cell(of.WAITED, queue, name), cell(of.RAN, queue, name))
        self._runs[queue, name] = runs
        # of a name that only a prefix stands for, nothing is there yet
        self._begin(queue, name)
        return runs

    def _begin(self, queue: str, name: str) -> None:
        for outcome in RUN_OUTCOMES:
            self.series.cell(of.RUNS, queue, name, outcome.value)
        for metric in SWEPT.values():
            self.series.cell(metric, queue, name)

    def _swept(self, event: TasksSwept) -> None:
        """Count what was moved by no run: of very many only the first are told by name."""
        swept = event.swept
        unnamed = {
            of.CRASHED: swept.crashed,
            of.EXPIRED: swept.expired,
            of.UNREADABLE: swept.unreadable,
        }
        for task in swept.tasks:
            metric = SWEPT.get(type(task.transition))
            if metric is not None:
                self._count(metric, task.queue, task.name or OTHER)
                unnamed[metric] -= 1
        for metric, number in unnamed.items():
            if number > 0:
                self._count(metric, OTHER, OTHER, number=number)

    def _lease_lost(self, event: LeaseWasLost) -> None:
        self._count(of.LEASES_LOST, event.claim.lease.queue)

    def _no_handler(self, event: NoHandler) -> None:
        self._count(of.NO_HANDLER, event.claim.lease.queue)

    def _aggregation_failed(self, event: AggregationFailed) -> None:
        self._count(of.AGGREGATION_FAILURES, event.group.queue)

    def _ticked(self, event: PeriodicTicked) -> None:
        queue = event.entry.queue
        lateness = self.series.cell(of.TICK_LATENESS, queue)
        for task in event.tasks:
            tick = tick_in(task.headers)
            if tick is not None:
                observe_one(lateness, tick.late_by)
        self._count(of.TICKS, queue, number=len(event.tasks))

    def _missed(self, event: PeriodicMissed) -> None:
        self._count(of.MISSED_TICKS, event.entry.queue, number=event.ticks)

    def _periodic_failed(self, event: PeriodicFailed) -> None:
        self._count(of.PERIODIC_FAILURES, event.queue)

    def _blocked(self, _: LoopBlocked) -> None:
        self._count(of.LOOP_BLOCKED)

    def _called(self, event: BrokerCalled) -> None:
        # comes where a list of times is full
        self.series.count_buffered()
        observe_one(self.series.cell(of.CALLS, event.verb), event.seconds)
        if isinstance(event.error, Exception):
            # a call that was cancelled has not failed
            self._count(of.CALL_ERRORS, event.verb)

    def _count(self, metric: of.Metric, *labels: str, number: int = 1) -> None:
        self.series.cell(metric, *labels)[0] += number
