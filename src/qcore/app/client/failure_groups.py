"""Failures by cause: failed tasks, grouped by name and by what their errors have in common."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from heapq import nlargest
from typing import Final, TypeAlias

from attrs import define, field

from qcore.app.client.qualifiers import ReadPayload
from qcore.app.client.queries import Query
from qcore.app.client.task_listing import most_reads
from qcore.domain.fingerprints import common_part, fingerprint
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.ports import Broker

FAILED: Final = (State.RETRY, State.ARCHIVED, State.DEAD)
DEFAULT_FAILED: Final = 5_000
"""Failed tasks that are looked at."""
DEFAULT_GROUPS: Final = 100
EXAMPLES: Final = 3
HOURS: Final = 24
"""Of a trend."""
HOUR: Final = 3_600.0
BATCH: Final = 500

Versions: TypeAlias = Mapping[tuple[str, TaskId], str | None]
"""Queue and id of a task to the version on which it failed last."""


@record
class FailureGroup:
    """Failed tasks of one name whose last errors are the same but for numbers, ids and values."""

    name: str
    message: str
    """What the errors have in common."""
    count: int
    first: Moment
    """When the earliest of the last errors was: a task counts by its last one."""
    last: Moment
    trend: tuple[int, ...] = field(repr=False)
    """How many of them failed in each of the last 24 hours, counted back from now, the oldest
    first."""
    examples: tuple[Task, ...] = field(repr=False)
    """The latest of its tasks, three at most."""
    first_version: str | None = None
    """The version of the application on which the earliest of the last errors was; None where its
    worker was told of none (`app_version`)."""
    last_version: str | None = None
    """That of the latest."""

    @property
    def versions(self) -> Sequence[str]:
        """Return the first version and the last, as one where they are the same."""
        known = (each for each in (self.first_version, self.last_version) if each is not None)
        return [*dict.fromkeys(known)]

    @property
    def fingerprint(self) -> str:
        """Return what stands for name and message in a query."""
        return fingerprint(self.name, self.message)

    @property
    def query(self) -> Query:
        """Return the query for its tasks, those too that were not looked at."""
        states = ",".join(FAILED)
        return Query.parse(f"state:{states} fingerprint:{self.fingerprint}")


@record
class FailureReport:
    """Groups of failures, the largest first, and how many tasks were looked at for them."""

    groups: Sequence[FailureGroup]
    looked: int
    is_complete: bool
    """Whether that was all failed tasks, and all groups are here."""


@define
class _Tally:
    """A group that is being counted."""

    count: int = 0
    first: Moment = 0.0
    last: Moment = 0.0
    earliest: Task | None = None
    latest: list[tuple[Moment, Task]] = field(factory=list[tuple[Moment, Task]])
    by_hour: list[int] = field(factory=lambda: [0] * HOURS)

    @property
    def ends(self) -> Sequence[Task]:
        """Return the earliest task and the latest."""
        return [each for each in (self.earliest, self.latest[0][1]) if each is not None]

    def add_to_trend(self, ago: float) -> None:
        """Count a failure by its age; one that a clock puts ahead of now is of the last hour."""
        hour = int(max(0.0, ago) // HOUR)
        if hour < HOURS:
            self.by_hour[-1 - hour] += 1

    def add(self, at: Moment, task: Task) -> None:
        # of one moment the last that is read, as ended ones are read the latest first
        if not self.count or at <= self.first:
            self.first, self.earliest = at, task
        self.last = max(self.last, at)
        self.count += 1
        if len(self.latest) < EXAMPLES or at > self.latest[-1][0]:
            self.latest.append((at, task))
            self.latest.sort(key=lambda each: each[0], reverse=True)
            del self.latest[EXAMPLES:]


class FailureSurvey:
    """Look at failed tasks: of each queue and state an equal share, the latest of ended ones.

    Where there are too many of those to read all, at those that have most.
    """

    def __init__(self, broker: Broker, query: Query, read: ReadPayload, now: Moment) -> None:
        self._broker = broker
        self._query = query
        self._fits = query.predicate(now, read)
        self._now = now
        self._looked = 0

    async def report(self, look: int, limit: int) -> FailureReport:
        """Return at most `limit` groups of at most `look` failed tasks."""
        counts = await self._broker.count()
        sizes: dict[tuple[str, State], int] = {
            (queue, state): counts[queue][state]
            for queue in sorted(counts)
            if self._query.has_queue(queue)
            for state in self._query.states()
            if state in FAILED and state in counts[queue]
        }
        tallies: dict[tuple[str, str], _Tally] = {}
        largest = {*nlargest(most_reads(look), sizes, key=sizes.__getitem__)}
        read = {key: number for key, number in sizes.items() if key in largest}
        for (queue, state), share in shares(read, look).items():
            async for at, task in self._failed(queue, state, share):
                key = task.name, common_part(task.error or "")
                tally = tallies.setdefault(key, _Tally())
                tally.add(at, task)
                tally.add_to_trend(self._now - at)
        found = sorted(
            tallies.items(), key=lambda each: (each[1].count, each[1].last), reverse=True
        )
        is_complete = self._looked >= sum(sizes.values()) and len(found) <= limit
        shown = dict(found[:limit])
        versions = await self._versions([*shown.values()])
        groups = [_group(key, tally, versions) for key, tally in shown.items()]
        return FailureReport(groups, self._looked, is_complete)

    async def _versions(self, tallies: Sequence[_Tally]) -> Versions:
        """Return the versions on which the earliest and the latest task of each failed last."""
        asked: defaultdict[str, set[TaskId]] = defaultdict(set)
        for tally in tallies:
            for end in tally.ends:
                asked[end.queue].add(end.id)
        versions: dict[tuple[str, TaskId], str | None] = {}
        for queue, ids in asked.items():
            found = await self._broker.details(queue, [*ids])
            for task, details in zip(ids, found, strict=True):
                if details is not None and details.errors:
                    versions[queue, task] = details.errors[-1].version
        return versions

    async def _failed(
        self, queue: str, state: State, share: int
    ) -> AsyncIterator[tuple[Moment, Task]]:
        """Yield tasks that the query selects, with the moments of their last errors."""
        cursor: str | None = None
        while share > 0:
            page = await self._broker.browse(queue, state, min(share, BATCH), cursor=cursor)
            share -= len(page.tasks)
            self._looked += len(page.tasks)
            tasks = [task for task in page.tasks if self._fits(task)]
            for at, task in zip(await self._moments(queue, tasks), tasks, strict=True):
                yield at, task
            if (cursor := page.cursor) is None:
                return

    async def _moments(self, queue: str, tasks: Sequence[Task]) -> Sequence[Moment]:
        """Return when tasks failed last: of those that will be retried their details say it."""
        unknown = [task.id for task in tasks if task.finished is None]
        found = await self._broker.details(queue, unknown) if unknown else ()
        known = {
            task: details.errors[-1].at
            for task, details in zip(unknown, found, strict=True)
            if details is not None and details.errors
        }
        return [known.get(task.id, task.finished or task.created) for task in tasks]


def _group(key: tuple[str, str], tally: _Tally, versions: Versions) -> FailureGroup:
    examples = tuple(task for _, task in tally.latest)
    trend = tuple(tally.by_hour)
    first, last = (versions.get((task.queue, task.id)) for task in tally.ends)
    return FailureGroup(*key, tally.count, tally.first, tally.last, trend, examples, first, last)


def shares(sizes: Mapping[tuple[str, State], int], most: int) -> dict[tuple[str, State], int]:
    """Return how many tasks to take of each: equal shares, and what small ones leave to the others.

    At most `most` in all.
    """
    taken: dict[tuple[str, State], int] = {}
    for i, key in enumerate(sorted(sizes, key=lambda key: sizes[key])):
        taken[key] = min(sizes[key], most // (len(sizes) - i))
        most -= taken[key]
    return {key: taken[key] for key in sizes}
