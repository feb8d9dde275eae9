"""What a worker's handlers write down: which task ran how often, and when it began."""

from array import array
from itertools import count
from threading import Event
from time import perf_counter

starts = array("d")
runs = bytearray()
_calls = count(1)
_marks: dict[int, Event] = {}


def ran(n: int) -> None:
    """Write down that task number `n` begins; threads may do so at once."""
    starts[n] = perf_counter()
    runs[n] += 1
    # a count gives each number once, whichever threads ask: no call can miss its mark
    mark = _marks.get(next(_calls))
    if mark is not None:
        mark.set()


def prepare(tasks: int, *marks: int) -> list[Event]:
    """Make room for so many tasks; return what is set at the call of each number."""
    starts.frombytes(bytes(tasks * starts.itemsize))
    runs.extend(bytes(tasks))
    _marks.update((mark, Event()) for mark in marks)
    return [_marks[mark] for mark in marks]


def rate(tasks: int) -> float:
    """Return how many of the first tasks began a second, between the first and the last."""
    began = [starts[n] for n in range(tasks) if runs[n]]
    seconds = max(began, default=0.0) - min(began, default=0.0)
    return (len(began) - 1) / seconds if seconds > 0 else 0.0
