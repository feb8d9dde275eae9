"""Rules: what is looked for in a store, each told by queue while it is so."""

import shlex
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Protocol

from attrs import field

from qcore.app.client.entries import Entries
from qcore.app.client.inspector import Inspector
from qcore.app.client.queue_listing import QueueSummary
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Duration, Moment, seconds_of
from qcore.domain.periodic.entry import Entry, TickRecord
from qcore.domain.record import record
from qcore.domain.statistics import Outcome, Resolution, totals
from qcore.domain.text import shown
from qcore.entrypoints.alerts.alert import Finding
from qcore.entrypoints.problem_texts import backlog, unserved
from qcore.entrypoints.written_numbers import tasks
from qcore.entrypoints.written_times import duration
from qcore.ports import Clock

FIVE_MINUTES: Final = timedelta(minutes=5)
AN_HOUR: Final = timedelta(hours=1)
SHORTEST: Final = float(Resolution.MINUTE)
LONGEST: Final = Resolution.MINUTE.kept
"""Seconds for which minutes are kept: a day of statistics would begin before what is asked for."""


class Store(Protocol):
    """What a rule looks at: a `Qcore`."""

    inspector: Inspector
    entries: Entries
    clock: Clock


class Rule(Protocol):
    """Something to be looked for."""

    @property
    def name(self) -> str:
        """Return what its alerts are known by; no other rule has it."""
        ...

    @property
    def queues(self) -> Collection[str] | None:
        """Return the queues that it is about; None for all."""
        ...

    @property
    def quiet(self) -> Duration | None:
        """Return for how long an alert of it is not told again; None for that of all rules."""
        ...

    async def find(self, store: Store) -> Sequence[Finding]:
        """Return what is wrong now, in any queue: at most one finding of a queue and subject."""
        ...


def _check_queues(_: Any, __: Any, queues: Any) -> None:
    if queues is not None and (isinstance(queues, str) or not isinstance(queues, Collection)):
        raise InvalidOption(f"queues is {shown(queues)}: expected a list of names")


def _check_window(_: Any, __: Any, within: Any) -> None:
    """Refuse a window of which a store keeps no minutes."""
    if not SHORTEST <= seconds_of(within, "within", InvalidOption) <= LONGEST:
        raise InvalidOption(
            f"within is {shown(within)}: expected a minute to three hours, for which a store keeps "
            "what has ended by the minute"
        )


def _check_bound(_: Any, __: Any, most: Any) -> None:
    seconds_of(most, "most", InvalidOption)


@record
class Dead:
    """Find queues in which more than `most` tasks have died within a time.

    They were given up at once, had crashed too often, or had expired; those that somebody cancelled
    do not count. `within` is a minute to three hours.
    """

    most: int = 0
    within: Duration = field(default=FIVE_MINUTES, validator=_check_window)
    queues: Collection[str] | None = field(default=None, validator=_check_queues)
    quiet: Duration | None = None
    name: str = "dead"

    async def find(self, store: Store) -> Sequence[Finding]:
        """Return the queues in which they have."""
        died = (Outcome.REJECTED, Outcome.POISONED, Outcome.EXPIRED)
        return await _ended(store, self, died, "died", "dead")


@record
class Archived:
    """Find queues in which more than `most` tasks have failed for the last time within a time.

    Their retries are spent. `within` is a minute to three hours.
    """

    most: int = 0
    within: Duration = field(default=FIVE_MINUTES, validator=_check_window)
    queues: Collection[str] | None = field(default=None, validator=_check_queues)
    quiet: Duration | None = None
    name: str = "archived"

    async def find(self, store: Store) -> Sequence[Finding]:
        """Return the queues in which they have."""
        said = "failed for the last time"
        return await _ended(store, self, [Outcome.EXHAUSTED], said, "archived")


@record
class Waiting:
    """Find queues whose first task has been ready for longer than `most`; paused ones do not count.

    Of each priority the next task in turn counts.
    """

    most: Duration = field(default=FIVE_MINUTES, validator=_check_bound)
    queues: Collection[str] | None = field(default=None, validator=_check_queues)
    quiet: Duration | None = None
    name: str = "waiting"

    async def find(self, store: Store) -> Sequence[Finding]:
        """Return the queues whose first task has."""
        most = seconds_of(self.most, "most")
        return [
            Finding(
                each.name,
                backlog(each.name, each.waited),
                each.waited,
                most,
                _command("tasks", f"queue:{each.name} state:pending"),
            )
            async for each in _summaries(store)
            if each.waited is not None and each.waited > most and not each.is_paused
        ]


@record
class NoWorker:
    """Find queues in which tasks wait and that no worker serves."""

    queues: Collection[str] | None = field(default=None, validator=_check_queues)
    quiet: Duration | None = None
    name: str = "no-worker"

    async def find(self, store: Store) -> Sequence[Finding]:
        """Return those."""
        return [
            Finding(
                queue,
                unserved({queue: waiting}),
                waiting,
                0,
                _command("worker", "myapp.tasks:q", "--queues", queue),
            )
            for queue, waiting in sorted((await store.inspector.unserved_queues()).items())
        ]


@record
class MissedTick:
    """Find periodic tasks of which a tick was seen to too late within a time, or left out.

    Too late is by more than the `grace` of the periodic task. Ticks that wait for the last task
    (`overlap="queue"`) are not late.
    """

    within: Duration = field(default=AN_HOUR, validator=_check_window)
    queues: Collection[str] | None = field(default=None, validator=_check_queues)
    quiet: Duration | None = None
    name: str = "missed-tick"

    async def find(self, store: Store) -> Sequence[Finding]:
        """Return the periodic tasks of which one was."""
        since = store.clock.now() - seconds_of(self.within, "within")
        found: list[Finding] = []
        for listed in await store.entries.list():
            entry = listed.entry
            ticks = [each.tick for each in listed.history]
            late = [] if entry is None else [each for each in ticks if _missed(each, entry, since)]
            if entry is not None and late:
                found.append(_late(entry, late))
        return found


@record
class TooFew:
    """Find queues in which fewer than `least` runs have succeeded within a time.

    Its `queues` are to be named, as a queue that is never used has no tasks at all. Of a `task`,
    only those of that name count. `within` is a minute to three hours; so long after the first
    check it is silent.
    """

    queues: Collection[str] = field(validator=_check_queues)
    least: int = 1
    within: Duration = field(default=AN_HOUR, validator=_check_window)
    task: str | None = None
    quiet: Duration | None = None
    name: str = "too-few"

    def __attrs_post_init__(self) -> None:
        """Refuse to look at all queues."""
        if not self.queues:
            raise InvalidOption("TooFew has no queues: expected the names of some")

    async def find(self, store: Store) -> Sequence[Finding]:
        """Return the queues in which fewer have."""
        within = seconds_of(self.within, "within")
        rows = await store.inspector.statistics(self.queues, since=timedelta(seconds=within))
        of_task = [each for each in rows if self.task in {None, each.name}]
        ended = {key[0]: each.succeeded for key, each in totals(of_task, "queue").items()}
        return [
            self._finding(queue, number, within)
            for queue in self.queues
            if (number := ended.get(queue, 0)) < self.least
        ]

    def _finding(self, queue: str, number: int, within: float) -> Finding:
        of = f" {self.task}" if self.task else ""
        few = f"Only {tasks(number)}" if number else "No task"
        text = (
            f"{few}{of} of the queue {queue} succeeded in the last {duration(within)}: "
            f"expected {self.least:,}."
        )
        return Finding(queue, text, number, self.least, _command("stats", queue), self.task or "")


DEFAULT_RULES: Final[tuple[Rule, ...]] = (
    Dead(),
    Archived(),
    Waiting(),
    NoWorker(),
    MissedTick(),
)


async def _ended(
    store: Store, rule: "Dead | Archived", outcomes: Sequence[Outcome], said: str, state: str
) -> Sequence[Finding]:
    """Return the queues in which more tasks than a rule lets have ended in some way."""
    seconds = seconds_of(rule.within, "within")
    rows = await store.inspector.statistics(since=timedelta(seconds=seconds))
    numbers = {str(k[0]): each.number(*outcomes) for k, each in totals(rows, "queue").items()}
    return [
        Finding(
            queue,
            f"{tasks(number)} of the queue {queue} {said} in the last {duration(seconds)}.",
            number,
            rule.most,
            _command("errors", f"queue:{queue} state:{state}"),
        )
        for queue, number in sorted(numbers.items())
        if number > rule.most
    ]


async def _summaries(store: Store) -> AsyncIterator[QueueSummary]:
    """Yield all queues."""
    cursor: str | None = None
    while True:
        page = await store.inspector.queues(cursor=cursor)
        for each in page.queues:
            yield each
        if (cursor := page.cursor) is None:
            return


def _missed(tick: TickRecord, entry: Entry, since: Moment) -> bool:
    """Return whether a tick was seen to too late, or ticks before it left out, since a moment."""
    if tick.at + tick.late_by < since:
        return False
    return tick.has_missed or (tick.late_by > entry.grace and entry.overlap != "queue")


def _late(entry: Entry, ticks: Sequence[TickRecord]) -> Finding:
    worst = max(each.late_by for each in ticks)
    of = f"of the periodic task {entry.id} of the queue {entry.queue}"
    if worst > entry.grace:
        text = f"A tick {of} came {duration(worst)} late."
    else:
        text = f"Ticks {of} were left out."
    command = _command("periodic", "show", entry.id, "--queue", entry.queue)
    return Finding(entry.queue, text, worst, entry.grace, command, entry.id)


def _command(*words: str) -> str:
    return shlex.join(("qcore", *words))


def names_of(rules: Sequence[Rule]) -> Mapping[str, Rule]:
    """Return rules by name; raise `InvalidOption` where two have one."""
    by_name = {each.name: each for each in rules}
    if len(by_name) < len(rules):
        names = [each.name for each in rules]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidOption(
            f"two rules have the name {twice!r}: give one another, such as name='{twice}-mail'"
        )
    return by_name
