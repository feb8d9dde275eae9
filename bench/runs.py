"""Several runs of one measurement as the median and the range of each figure."""

from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

RUNS = 5


def repeated(measure: Callable[[], Mapping[str, Any]], runs: int = RUNS) -> dict[str, Any]:
    """Warm up with one run, then make `runs` of them."""
    measure()
    return merged([measure() for _ in range(runs)])


def merged(runs: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge figures of the same names."""
    return {
        name: merged([run[name] for run in runs])
        if isinstance(value, Mapping)
        else spread([run[name] for run in runs])
        for name, value in runs[0].items()
    }


def spread(values: list[float]) -> dict[str, float]:
    """Return the median, the least and the greatest of some values."""
    return {
        "median": _short(median(values)),
        "min": _short(min(values)),
        "max": _short(max(values)),
    }


def _short(value: float) -> float:
    """Return a value with four digits that mean something."""
    return value if isinstance(value, int) else float(f"{value:.4g}")
