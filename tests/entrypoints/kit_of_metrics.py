"""Read what Prometheus would scrape."""

from typing import TypeAlias

from prometheus_client import parser

Samples: TypeAlias = dict[tuple[str, ...], float]
"""The name of a sample, and the values of its labels in the order of their names, to its value."""


def samples_of(text: str) -> Samples:
    """Return the samples of a page in the plain text format."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }
