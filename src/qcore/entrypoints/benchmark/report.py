"""The figures of a benchmark run, as JSON and as a table."""

import math
from collections.abc import Sequence
from typing import Any

from qcore.domain.record import record


@record
class Report:
    """The figures of one run. Rates are tasks a second."""

    enqueue_serial_per_s: float
    """One by one, each when the one before it is stored."""
    enqueue_bulk_per_s: float
    """In batches of 1,000."""
    enqueue_concurrent_per_s: float
    """One by one, from 32 producers at once."""
    drain_per_s: float
    """Runs of a handler that does nothing, by one worker that is warm, from a long backlog."""
    latencies: Sequence[float]
    """Seconds from enqueue to the start of the handler, in an idle worker."""
    worker_rss_mb: float
    lost: int
    duplicated: int

    @property
    def is_clean(self) -> bool:
        """Return whether every task ran, and ran once."""
        return not self.lost and not self.duplicated

    def figures(self) -> dict[str, Any]:
        """Return the figures by their names, latencies in milliseconds."""
        return {
            "enqueue_serial_per_s": round(self.enqueue_serial_per_s),
            "enqueue_bulk_per_s": round(self.enqueue_bulk_per_s),
            "enqueue_concurrent_per_s": round(self.enqueue_concurrent_per_s),
            "drain_per_s": round(self.drain_per_s),
            "latency_ms": {
                "p50": round(1000 * percentile(self.latencies, 50), 3),
                "p99": round(1000 * percentile(self.latencies, 99), 3),
            },
            "worker_rss_mb": round(self.worker_rss_mb, 1),
            "lost": self.lost,
            "duplicated": self.duplicated,
        }

    def table(self) -> str:
        """Return the figures as a person reads them."""
        p50, p99 = (1000 * percentile(self.latencies, percent) for percent in (50, 99))
        rows = [
            ("enqueue, one by one", f"{self.enqueue_serial_per_s:,.0f}", "/s"),
            ("enqueue, in bulk", f"{self.enqueue_bulk_per_s:,.0f}", "/s"),
            ("enqueue, 32 producers at once", f"{self.enqueue_concurrent_per_s:,.0f}", "/s"),
            ("drain", f"{self.drain_per_s:,.0f}", "/s"),
            (
                "latency of an idle worker, p50",
                f"{p50:.2f}",
                "ms",
            ),
            (
                "latency of an idle worker, p99",
                f"{p99:.2f}",
                "ms",
            ),
            ("memory of the worker", f"{self.worker_rss_mb:.0f}", "MB"),
            ("lost", f"{self.lost:,}", "tasks"),
            ("run more than once", f"{self.duplicated:,}", "tasks"),
        ]
        return "\n".join(f"{name:<32}{figure:>12} {unit}" for name, figure, unit in rows)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of all are not above (nearest rank); 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]
