"""Aggregators: functions that make one task of the tasks of a group, and when they are called."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, signature
from typing import Any, Final, TypeAlias, TypedDict, TypeVar

from qcore.app.calls.call import TaskRequest
from qcore.app.calls.introspection import unwraps_to
from qcore.app.calls.name_patterns import best_match
from qcore.app.tasks.interactive import is_rerun
from qcore.domain.errors import InvalidOption, InvalidTask
from qcore.domain.groups import MAX_MEMBERS, Group
from qcore.domain.moments import Duration, Moment, seconds_of
from qcore.domain.new_task import DEFAULT_QUEUE, NewTask
from qcore.domain.record import record
from qcore.domain.task import Task

Aggregate: TypeAlias = Callable[[Group, Sequence[Task]], TaskRequest | Awaitable[TaskRequest]]
"""Returns the task, or the call of one, that replaces the members of a group."""

A = TypeVar("A", bound=Aggregate)

AT_ONCE: Final = float("-inf")


class AggregationOptions(TypedDict, total=False):
    """When a group is aggregated; the worker's settings decide what is not given."""

    grace: Duration
    """How long after the last member joined."""
    max_delay: Duration | None
    """How long after the first member joined, at the latest; None for no limit."""
    max_size: int | None
    """As soon as it has so many members, and no more of them become one task. None for 1,000, the
    largest."""


@record
class AggregationTiming:
    """When a group is aggregated, in seconds."""

    grace: float = 60.0
    max_delay: float | None = None
    max_size: int | None = None

    @property
    def limit(self) -> int:
        """Return how many members may become one task."""
        return MAX_MEMBERS if self.max_size is None else self.max_size

    def moment(self, group: Group) -> Moment:
        """Return when a group is ready, if no further member joins."""
        if group.size >= self.limit:
            return AT_ONCE
        quiet = group.last + self.grace
        return quiet if self.max_delay is None else min(quiet, group.first + self.max_delay)


@record
class Aggregator:
    """A function that makes one task of many, and the groups that it serves."""

    function: Aggregate
    pattern: str
    queue: str | None
    options: AggregationOptions

    @property
    def is_async(self) -> bool:
        """Return whether it is a coroutine function; a plain one runs in a thread."""
        return unwraps_to(iscoroutinefunction, self.function)

    def timing(self, worker: AggregationTiming) -> AggregationTiming:
        """Return when its groups are ready, with the worker's settings for what it does not set.

        Raises `InvalidOption` for a value out of range.
        """
        own = self.options
        return checked(
            own.get("grace", worker.grace),
            own.get("max_delay", worker.max_delay),
            own.get("max_size", worker.max_size),
        )


class Aggregators:
    """Find the aggregator of a group by its queue and its name.

    Those registered for the queue come before those for all queues; among them an exact name comes
    first, else the longest prefix, as with the handlers of tasks.
    """

    def __init__(self) -> None:
        self._by_queue: dict[str | None, dict[str, Aggregator]] = {}

    def __bool__(self) -> bool:
        """Return whether any is registered."""
        return bool(self._by_queue)

    def add(self, aggregator: Aggregator) -> None:
        """Register one; raise `InvalidOption` if it is wrong, or its groups have one already."""
        _check(aggregator)
        self.refuse_taken(aggregator)
        self._by_queue.setdefault(aggregator.queue, {})[aggregator.pattern] = aggregator

    def refuse_taken(self, aggregator: Aggregator) -> None:
        """Raise `InvalidOption` if there is one for the same groups of the same queue."""
        taken = self._by_queue.get(aggregator.queue, {}).get(aggregator.pattern)
        if taken is not None and not is_rerun(taken.function, aggregator.function):
            raise InvalidOption(
                f"the groups {aggregator.pattern!r} have an aggregator already, "
                f"{taken.function!r}: give each a pattern or a queue of its own"
            )

    def __iter__(self) -> Iterator[Aggregator]:
        """Yield those that are registered."""
        for there in self._by_queue.values():
            yield from there.values()

    def resolve(self, queue: str, group: str) -> Aggregator | None:
        """Return the aggregator of a group, None where there is none."""
        for there in (self._by_queue.get(queue, {}), self._by_queue.get(None, {})):
            pattern = best_match(there, group)
            if pattern is not None:
                return there[pattern]
        return None

    def queues(self) -> Iterable[str]:
        """Return the queues that aggregators name."""
        return [queue for queue in self._by_queue if queue is not None]


def checked(grace: object, max_delay: object, max_size: object) -> AggregationTiming:
    """Return the timing; raise `InvalidOption` for a value out of range."""
    if max_size is not None and not (type(max_size) is int and 0 < max_size <= MAX_MEMBERS):
        raise InvalidOption(f"max_size is {max_size!r}: expected None or 1 to {MAX_MEMBERS:,}")
    return AggregationTiming(
        seconds_of(grace, "grace", InvalidOption),
        None if max_delay is None else seconds_of(max_delay, "max_delay", InvalidOption),
        max_size,
    )


def _check(aggregator: Aggregator) -> None:
    """Raise `InvalidOption` for what could never aggregate a group."""
    function: Any = aggregator.function
    if not callable(function):
        raise InvalidOption(f"the aggregator is {function!r}: expected a function")
    if unwraps_to(isgeneratorfunction, function) or unwraps_to(isasyncgenfunction, function):
        raise InvalidOption(f"the aggregator {function!r} is a generator: it returns no task")
    try:
        signature(function).bind(None, None)
    except TypeError:
        raise InvalidOption(
            f"the aggregator {function!r} must take two arguments: the group, and its tasks"
        ) from None
    unknown = sorted(aggregator.options.keys() - AggregationOptions.__annotations__.keys())
    if unknown:
        known = ", ".join(AggregationOptions.__annotations__)
        raise InvalidOption(f"an aggregator has no option {unknown[0]!r}: expected one of {known}")
    try:
        # no group can have such a name: it is a misspelling, whose aggregator would never be called
        pattern = None if aggregator.pattern == "" else aggregator.pattern
        queue = DEFAULT_QUEUE if aggregator.queue is None else aggregator.queue
        NewTask("?", id="?", queue=queue, group=pattern)
    except InvalidTask as error:
        raise InvalidOption(f"an aggregator's {error}") from None
    aggregator.timing(AggregationTiming())
