"""Samples and changes as lines of the link between a supervisor and its workers."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from qcore.adapters.instruments.metric_catalogue import METRICS
from qcore.adapters.instruments.metric_series import Change, Sample

LONGEST: Final = 4_000
"""Characters of a line: the link takes such a one whole or not at all."""


def encoded_changes(changes: Iterable[Change]) -> Iterator[str]:
    """Yield lines that tell what was counted."""
    for items, _ in _divided(_text([name, labels, grown]) for name, labels, grown in changes):
        yield items


def decoded_changes(line: str) -> Sequence[Change]:
    """Return what a line tells was counted; nothing where it cannot be read."""
    return [
        (name, tuple(map(str, labels)), {int(at): float(number) for at, number in grown.items()})
        for name, labels, grown in _items(line)
    ]


def encoded_samples(samples: Iterable[Sample]) -> Iterator[str]:
    """Yield lines that tell samples; the last one of them begins with "!"."""
    texts = (_text([metric.name, labels, list(cell)]) for metric, labels, cell in samples)
    for items, is_last in _divided(texts):
        yield f"!{items}" if is_last else items


def decoded_samples(line: str) -> tuple[Sequence[Sample], bool]:
    """Return the samples of a line, and whether it is the last one."""
    samples = [
        (METRICS[name], tuple(map(str, labels)), [float(number) for number in cell])
        for name, labels, cell in _items(line.removeprefix("!"))
        if name in METRICS
    ]
    return samples, line.startswith("!")


def _divided(texts: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yield lists of items in JSON, none too long, and whether each is the last."""
    some: list[str] = []
    for text in texts:
        if some and sum(map(len, some)) + len(some) + len(text) > LONGEST:
            yield f"[{','.join(some)}]", False
            some = []
        some.append(text)
    yield f"[{','.join(some)}]", True


def _text(item: object) -> str:
    # a word's reason is divided at blanks
    return json.dumps(item, separators=(",", ":")).replace(" ", "\\u0020")


def _items(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        # of a line of which the end was cut off, as its worker was killed
        return []
