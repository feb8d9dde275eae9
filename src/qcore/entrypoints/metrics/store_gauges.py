"""Ask the store how its queues stand, within a bound of time."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Final

from qcore.adapters.instruments import metric_catalogue as of
from qcore.adapters.instruments.metric_series import MAX_QUEUES, LabelBounds, Sample
from qcore.app.client.blocking_inspector import BlockingInspector
from qcore.app.client.queries import STATES
from qcore.app.client.queue_listing import QueueSummary
from qcore.domain.retry import described
from qcore.domain.states import State
from qcore.entrypoints.facade import Qcore
from qcore.log.logger import get_logger
from qcore.ports import Capability

PATIENCE: Final = 3.0
"""Seconds for which the store is waited for: Prometheus gives up a scrape after ten."""
PAGE: Final = 500

Samples = Sequence[Sample]
DOWN: Final[Samples] = ((of.UP, (), (0.0,)),)
"""What is told of a store that does not answer."""


class StoreGauges:
    """Ask the store; where it does not answer in time, say that it is down.

    Those who ask at a time share one question, and one that hangs is not asked again meanwhile.
    """

    def __init__(self, read: Callable[[], Samples], patience: float = PATIENCE) -> None:
        self._read = read
        self._patience = patience
        self._lock = threading.Lock()
        self._asked: Future[Samples] | None = None

    def __call__(self) -> Samples:
        """Return what the store says. To be called in a thread that may block."""
        try:
            return self._ask().result(self._patience)
        except Exception as error:  # noqa: BLE001  (a driver's, or it takes too long)
            reason = described(error) or "it has not answered in time"
            get_logger().warning("the store is not measured", error=reason)
            return DOWN

    def _ask(self) -> Future[Samples]:
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = Future()
                # one that hangs must not keep the process from leaving
                threading.Thread(
                    target=self._answer, args=[self._asked], name="qcore-metrics", daemon=True
                ).start()
            return self._asked

    def _answer(self, asked: "Future[Samples]") -> None:
        try:
            asked.set_result(self._read())
        except BaseException as error:  # noqa: BLE001  (whoever has asked is told)
            asked.set_exception(error)


class StoreReader:
    """Read how the queues of a store stand; blocks.

    A queue that was seen once, or that a task here goes to, is told though it is empty by now: its
    gauges fall to 0, rather than to stay as they were seen last.
    """

    def __init__(self, q: Qcore) -> None:
        self._q = q
        self._known = dict.fromkeys(q.queues())

    def __call__(self) -> Samples:
        """Return the samples of all queues, and that the store is up."""
        inspector = self._q.blocking_inspector
        has_workers = Capability.WORKERS in self._q.broker.capabilities
        served = _served(inspector) if has_workers else None
        bounds = LabelBounds()
        total: dict[tuple[str, tuple[str, ...]], float] = {(of.UP.name, ()): 1.0}
        for queue in self._queues(inspector):
            for metric, labels, number in _of_queue(queue, served):
                key = metric.name, bounds.bounded(metric, labels)
                before = total.get(key, 0.0)
                # of queues that share a label ages are not added up, nor whether they are paused
                add = max if metric in {of.OLDEST, of.PAUSED} else float.__add__
                total[key] = add(before, float(number))
        return [(of.METRICS[name], labels, [number]) for (name, labels), number in total.items()]

    def _queues(self, inspector: BlockingInspector) -> Sequence[QueueSummary]:
        listed = {queue.name: queue for queue in _listed(inspector)}
        gone = [name for name in self._known if name not in listed]
        self._known.update(dict.fromkeys(islice(listed, max(0, MAX_QUEUES - len(self._known)))))
        return [*listed.values(), *(self._empty(inspector, name) for name in gone)]

    def _empty(self, inspector: BlockingInspector, name: str) -> QueueSummary:
        # one without tasks may be paused all the same
        has_limits = Capability.LIMITS in self._q.broker.capabilities
        limits = inspector.limits(name) if has_limits else None
        return QueueSummary(name, dict.fromkeys(STATES, 0), limits=limits)


def _of_queue(
    queue: QueueSummary, served: Counter[str] | None
) -> Sequence[tuple[of.Metric, tuple[str, ...], float]]:
    name = queue.name
    found: list[tuple[of.Metric, tuple[str, ...], float]] = [
        *((of.TASKS, (name, state.value), size) for state, size in queue.sizes.items()),
        (of.IN_FLIGHT, (name,), queue.sizes.get(State.ACTIVE, 0)),
        (of.OLDEST, (name,), queue.waited or 0.0),
    ]
    if queue.limits is not None:
        found.append((of.PAUSED, (name,), queue.is_paused))
    if served is not None:
        found.append((of.WORKERS, (name,), served[name]))
    return found


def _listed(inspector: BlockingInspector) -> Sequence[QueueSummary]:
    page = inspector.queues(limit=PAGE)
    queues = list(page.queues)
    while page.cursor is not None:
        page = inspector.queues(limit=PAGE, cursor=page.cursor)
        queues += page.queues
    return queues


def _served(inspector: BlockingInspector) -> Counter[str]:
    """Return queue to the number of workers that serve it."""
    return Counter(queue for worker in inspector.workers() for queue in worker.queues)
