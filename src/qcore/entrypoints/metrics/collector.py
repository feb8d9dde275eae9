"""`MetricsCollector`: what was counted, and how things stand, as Prometheus' client has it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from qcore.adapters.instruments.metric_catalogue import BOUNDS, METRICS, Metric
from qcore.adapters.instruments.metric_series import Sample
from qcore.adapters.instruments.metrics import Metrics
from qcore.domain.errors import InvalidOption
from qcore.entrypoints.facade import Qcore
from qcore.entrypoints.metrics.store_gauges import StoreGauges, StoreReader

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family

Source = Callable[[], Iterable[Sample]]
"""What is asked for samples at each scrape."""

_BUCKETS: Final = (*map(str, BOUNDS), "+Inf")


class SampleCollector:
    """Collect samples from sources; each metric is described though it has none."""

    def __init__(self, sources: Sequence[Source]) -> None:
        check_client_installed()
        self._sources = sources

    def describe(self) -> Iterable["Family"]:
        """Return the metrics without samples, so that to register asks no store."""
        return _families({})

    def collect(self) -> Iterable["Family"]:
        """Return the metrics with what is known now. Blocks for as long as the store may take."""
        found: dict[str, list[Sample]] = {}
        for source in self._sources:
            for sample in source():
                found.setdefault(sample[0].name, []).append(sample)
        return _families(found)


class MetricsCollector(SampleCollector):
    """Collect what a `Metrics` among a queue's instruments has counted, and what its store holds.

    For a registry of your own: `REGISTRY.register(MetricsCollector(q))`. Without such an instrument
    only the store is asked. A store that does not answer within three seconds is told as
    `qcore_store_up` 0, and of its queues nothing. Raises `InvalidOption` where prometheus-client is
    not installed.
    """

    def __init__(self, q: Qcore) -> None:
        super().__init__([*counted_by(metrics_of(q)), StoreGauges(StoreReader(q))])


def metrics_of(q: Qcore) -> Metrics | None:
    """Return the instrument of a queue that counts; None where there is none."""
    return next((each for each in q.instruments if isinstance(each, Metrics)), None)


def count(q: Qcore) -> None:
    """Have a queue counted, where it is not yet."""
    if metrics_of(q) is None:
        q.add_instrument(Metrics())


def counted_by(metrics: Metrics | None) -> Sequence[Source]:
    """Return the sources of what an instrument has counted, and of its workers' load."""
    return [] if metrics is None else [metrics.samples, metrics.loads]


def registry_of(collector: SampleCollector) -> "CollectorRegistry":
    """Return a registry with one collector alone."""
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def check_client_installed() -> None:
    """Raise `InvalidOption` where prometheus-client is not installed."""
    try:
        import prometheus_client  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ModuleNotFoundError:
        raise InvalidOption(
            "metrics are asked for without prometheus-client: pip install 'qcore-queue[metrics]'"
        ) from None


def _families(found: Mapping[str, Sequence[Sample]]) -> Iterator["Family"]:
    for metric in METRICS.values():
        yield _family(metric, found.get(metric.name, ()))


def _family(metric: Metric, samples: Sequence[Sample]) -> "Family":
    from prometheus_client import metrics_core as made

    name, about, unit = metric.name, metric.help, metric.unit
    if metric.kind == "histogram":
        histogram = made.HistogramMetricFamily(name, about, labels=metric.labels, unit=unit)
        for _, labels, cell in samples:
            counts = accumulate(cell[:-1])
            histogram.add_metric(labels, list(zip(_BUCKETS, counts, strict=True)), cell[-1])
        return histogram
    kind = made.CounterMetricFamily if metric.kind == "counter" else made.GaugeMetricFamily
    family = kind(name, about, labels=metric.labels, unit=unit)
    for _, labels, [number] in samples:
        family.add_metric(labels, number)
    return family
