"""`MetricsReporter`: hand what a worker counts to its supervisor, and the store's answers."""

import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Final

from qcore.adapters.instruments.metrics import Metrics
from qcore.domain.retry import described
from qcore.entrypoints.facade import Qcore
from qcore.entrypoints.metrics.link_lines import encoded_changes, encoded_samples
from qcore.entrypoints.metrics.store_gauges import PATIENCE, StoreReader
from qcore.entrypoints.supervisor.link import SupervisorLink, Word
from qcore.log.logger import get_logger

REPORT_EVERY: Final = 1.0
"""Seconds between two reports: what a worker that is killed has counted since then is lost."""
FULL: Final = 0.02
"""Seconds to wait where the link has no room."""


class MetricsReporter:
    """Report every second what was counted since, and at once how the store is when asked.

    From threads of their own: a handler that blocks the event loop holds up neither.
    """

    def __init__(self, q: Qcore, metrics: Metrics, link: SupervisorLink) -> None:
        self._read = StoreReader(q)
        self._metrics = metrics
        self._link = link
        self._untold: deque[str] = deque()
        self._ended = threading.Event()

    @contextmanager
    def reporting(self) -> Generator[None, None, None]:
        """Report while the block lasts, and when it ends."""
        thread = threading.Thread(target=self._run, name="qcore-report", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(PATIENCE)

    def measure(self) -> None:
        """Ask the store, and tell the supervisor; returns at once."""
        threading.Thread(target=self._measure, name="qcore-measure", daemon=True).start()

    def _run(self) -> None:
        while not self._ended.wait(REPORT_EVERY):
            self._report()
        self._report()

    def _report(self) -> None:
        if not self._untold:
            # else they are told later, together
            with self._metrics.series.lock:
                changes = self._metrics.series.changes()
            if changes:
                self._untold.extend(encoded_changes(changes))
        while self._untold and self._link.tell(Word.COUNTED, self._untold[0]):
            self._untold.popleft()
        for line in encoded_samples(self._metrics.loads()):
            self._link.tell(Word.LOADED, line)

    def _measure(self) -> None:
        try:
            samples = self._read()
        except Exception as error:  # noqa: BLE001  (a driver's: the supervisor hears nothing)
            get_logger().warning("the store is not measured", error=described(error))
            return
        for line in encoded_samples(samples):
            _insist(partial(self._link.tell, Word.MEASURED, line))


def _insist(tell: Callable[[], bool]) -> None:
    """Tell again and again while the link is full, for as long as somebody waits for it."""
    waited = 0.0
    while not tell() and waited < PATIENCE:
        threading.Event().wait(FULL)
        waited += FULL
