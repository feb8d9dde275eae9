"""What the workers of a supervisor have counted, all together, and what one says of the store."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final

from qcore.adapters.instruments import metric_catalogue as of
from qcore.adapters.instruments.metric_series import Sample, Series
from qcore.domain.errors import BrokerUnavailable
from qcore.entrypoints.metrics.collector import Source
from qcore.entrypoints.metrics.link_lines import decoded_changes, decoded_samples
from qcore.entrypoints.metrics.store_gauges import PATIENCE, StoreGauges
from qcore.entrypoints.supervisor.fleet import Member

Samples = Sequence[Sample]
_GREATEST: Final = {of.LOOP_LAG}
"""Gauges of which the greatest counts; of others the sum."""


class FleetMetrics:
    """Add up what workers report.

    What was counted stays when its worker has ended; how busy that was is forgotten. The store is
    asked once for a scrape, by one of the workers, as a supervisor knows no store. `ask` has one do
    so, and returns whether there is any; it is called on the supervisor's event loop.
    """

    def __init__(self, ask: Callable[[], bool]) -> None:
        self._ask = ask
        self._series = Series()
        self._loads: dict[Member, Samples] = {}
        self._parts: dict[Member, list[Sample]] = {}
        self._answer: Future[Samples] | None = None

    # --- what workers say, on the supervisor's event loop --------------------------------------

    def counted(self, line: str) -> None:
        """Add what a worker has counted."""
        with self._series.lock:
            self._series.add(decoded_changes(line))

    def loaded(self, member: Member, line: str) -> None:
        """Take how busy a worker is."""
        # a new one, as another thread goes through it
        self._loads = {**self._loads, member: decoded_samples(line)[0]}

    def measured(self, member: Member, line: str) -> None:
        """Take a part of what a worker says of the store."""
        samples, is_last = decoded_samples(line)
        parts = self._parts.setdefault(member, [])
        parts += samples
        if is_last:
            del self._parts[member]
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(parts)

    def forget(self, member: Member) -> None:
        """Let go of how busy a worker was, which has ended."""
        self._loads = {each: load for each, load in self._loads.items() if each is not member}
        self._parts.pop(member, None)

    # --- what is told, in other threads --------------------------------------------------------

    def sources(self) -> Sequence[Source]:
        """Return what is asked at each scrape. To be called on the supervisor's event loop."""
        loop = asyncio.get_running_loop()
        return [self._samples, self._load, StoreGauges(lambda: self._measure(loop))]

    def _samples(self) -> Samples:
        with self._series.lock:
            return self._series.samples()

    def _load(self) -> Samples:
        numbers: dict[of.Metric, list[float]] = {metric: [0.0] for metric in of.LOADS}
        for load in self._loads.values():
            for metric, _, [number] in load:
                numbers.setdefault(metric, [0.0]).append(number)
        return [
            (metric, (), [max(each) if metric in _GREATEST else sum(each)])
            for metric, each in numbers.items()
        ]

    def _measure(self, loop: asyncio.AbstractEventLoop) -> Samples:
        answer = self._answer = Future[Samples]()
        loop.call_soon_threadsafe(self._ask_for, answer)
        return answer.result(PATIENCE)

    def _ask_for(self, answer: "Future[Samples]") -> None:
        if not self._ask():
            answer.set_exception(BrokerUnavailable("no worker serves that could ask it"))
