"""Which metrics there are: their names, kinds, units and labels, as Prometheus wants them.

Names end in their base unit, and those of counters in `_total`. Labels are of a bounded number of
values: queues and names, which come from users, as far as `Series` lets them.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from qcore.domain.record import record

MetricKind: TypeAlias = Literal["counter", "gauge", "histogram"]

BOUNDS: Final[tuple[float, ...]] = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
    *(1_800.0, 3_600.0, 10_800.0, 43_200.0, 86_400.0),
)
"""The seconds at which buckets end, for what takes a millisecond as for what waits a day."""


@record
class Metric:
    """One metric: a family of time series that differ in their labels."""

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """Return the base unit with which its name ends; nothing where it counts things."""
        return "seconds" if self.name.removesuffix("_total").endswith("_seconds") else ""


OF_QUEUE: Final = ("queue",)
OF_NAME: Final = ("queue", "name")
OF_VERB: Final = ("verb",)

RUNS: Final = Metric(
    "qcore_task_runs_total", "counter", "Runs of tasks that ended.", (*OF_NAME, "outcome")
)
WAITED: Final = Metric(
    "qcore_task_wait_seconds", "histogram", "From a task being due to its handler's call.", OF_NAME
)
RAN: Final = Metric("qcore_task_run_seconds", "histogram", "How long handlers took.", OF_NAME)
CRASHED: Final = Metric(
    "qcore_tasks_crashed_total", "counter", "Tasks taken back from workers that were lost.", OF_NAME
)
EXPIRED: Final = Metric(
    "qcore_tasks_expired_total", "counter", "Tasks that had not started in time.", OF_NAME
)
UNREADABLE: Final = Metric(
    "qcore_tasks_unreadable_total",
    "counter",
    "Tasks that claims could not read, and ended.",
    OF_NAME,
)
LEASES_LOST: Final = Metric(
    "qcore_leases_lost_total", "counter", "Runs whose lease ran out meanwhile.", OF_QUEUE
)
LATE_VERDICTS: Final = Metric(
    "qcore_late_verdicts_total", "counter", "Verdicts that came too late to count.", OF_QUEUE
)
NO_HANDLER: Final = Metric(
    "qcore_tasks_without_handler_total",
    "counter",
    "Claims put back as the worker has no handler for them.",
    OF_QUEUE,
)
AGGREGATION_FAILURES: Final = Metric(
    "qcore_aggregation_failures_total", "counter", "Groups that could not be aggregated.", OF_QUEUE
)
TICKS: Final = Metric(
    "qcore_periodic_ticks_total", "counter", "Tasks that periodic entries made.", OF_QUEUE
)
TICK_LATENESS: Final = Metric(
    "qcore_periodic_lateness_seconds",
    "histogram",
    "By how much the tasks of periodic entries were made late.",
    OF_QUEUE,
)
MISSED_TICKS: Final = Metric(
    "qcore_periodic_missed_ticks_total",
    "counter",
    "Ticks of periodic entries that were left out as missed.",
    OF_QUEUE,
)
PERIODIC_FAILURES: Final = Metric(
    "qcore_periodic_failures_total", "counter", "Entries that cannot be scheduled.", OF_QUEUE
)
CALLS: Final = Metric(
    "qcore_broker_call_seconds", "histogram", "How long calls of the broker took.", OF_VERB
)
CALL_ERRORS: Final = Metric(
    "qcore_broker_call_errors_total", "counter", "Calls of the broker that failed.", OF_VERB
)
LOOP_BLOCKED: Final = Metric(
    "qcore_loop_blocked_total", "counter", "Reports of an event loop that did not turn."
)

SLOTS: Final = Metric("qcore_worker_slots", "gauge", "Tasks that the workers may have in hand.")
SLOTS_BUSY: Final = Metric(
    "qcore_worker_slots_busy", "gauge", "Tasks that the workers have in hand."
)
LOOP_LAG: Final = Metric(
    "qcore_worker_loop_lag_seconds", "gauge", "By how much the latest event loop is late."
)

UP: Final = Metric("qcore_store_up", "gauge", "Whether the store has answered this scrape.")
TASKS: Final = Metric("qcore_tasks", "gauge", "Tasks in the store.", ("queue", "state"))
OLDEST: Final = Metric(
    "qcore_queue_oldest_waiting_seconds",
    "gauge",
    "For how long the task that has waited longest has been ready.",
    OF_QUEUE,
)
IN_FLIGHT: Final = Metric(
    "qcore_queue_in_flight", "gauge", "Tasks that workers have in hand.", OF_QUEUE
)
PAUSED: Final = Metric("qcore_queue_paused", "gauge", "Whether a queue is paused.", OF_QUEUE)
WORKERS: Final = Metric(
    "qcore_queue_workers", "gauge", "Workers that serve a queue, as they announce it.", OF_QUEUE
)

COUNTED: Final = (
    *(RUNS, WAITED, RAN, CRASHED, EXPIRED, UNREADABLE, LEASES_LOST, LATE_VERDICTS, NO_HANDLER),
    *(AGGREGATION_FAILURES, TICKS, TICK_LATENESS, MISSED_TICKS, PERIODIC_FAILURES),
    *(CALLS, CALL_ERRORS, LOOP_BLOCKED),
)
"""What is counted as it happens."""
LOADS: Final = (SLOTS, SLOTS_BUSY, LOOP_LAG)
"""How the workers of a process are now."""
STORED: Final = (UP, TASKS, OLDEST, IN_FLIGHT, PAUSED, WORKERS)
"""What the store says when it is asked."""
METRICS: Final[Mapping[str, Metric]] = {each.name: each for each in (*COUNTED, *LOADS, *STORED)}
"""All of them by their names."""
