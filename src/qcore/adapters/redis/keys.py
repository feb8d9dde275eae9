"""The keys of a queue: their names, and what each holds.

All keys of a queue have its name as the hash tag, `qcore:{queue}:…`, so that a cluster keeps them
in one slot and one script call may take them all. The scripts know them by number, in the order
of `Key` (lua/lib/keys.lua).

A task's state is the sorted set of that name which its id is a member of; the score says when, or
in what order:

========================== ============ ==========================================================
key                        type         what it holds
========================== ============ ==========================================================
meta                       hash         version (of this layout), sequence and token (the last that
                                        were given), large (if a task of more than 4 KiB was ever
                                        enqueued), packed (tasks in blocks, less the blocks), limits
                                        ("count per full in_flight paused", "-" for none)
tasks                      hash         id to value: sequence, metadata, bar, options
pending                    sorted set   sequence and id, by negated priority; Redis sorts members of
                                        one score as text, so they are first in, first out; or, for
                                        a block, the sequence of its first task and byte 2
blocks                     hash         a sequence to a block: members of `pending`
scheduled, retry           sorted sets  ids, by the moment they are due
aggregating                sorted set   ids of tasks that wait in groups, by when they were due
active                     sorted set   ids, by the end of the lease
completed, archived, dead  sorted sets  ids, by the moment they ended
progress                   hash         id to run record; none before the first claim
expiring                   sorted set   ids of pending tasks that expire, by when
retained                   sorted set   ids of completed tasks, by when they may be deleted
unique                     hash         unique key to "until id", until "-" if held until the end; a
                                        line feed and the key to "until due id" of the task that
                                        waits for the end of the holder
details                    hash         "e" + id: errors, each behind its length and a blank;
                                        "p" + id: progress; "s" + id: saved work
groups                     sorted set   group, byte 1, due moment in 24 characters, and id; score 0
session:NAME               string       "serial reply" of a caller's last request (request_dedup.py)
minute:N, hour:N, day:N    hash         statistics of the period that begins at N: "" to how many
                                        names have fields of their own; "#" + name to nothing; one
                                        or more fields (domain/statistics.py), a blank and the name
                                        to how often, those of all further names without blank and
                                        name; gone after a time
========================== ============ ==========================================================

A *block* is a run of pending tasks of priority 0 that `pending` has under one member, as a member
for each would take about 110 bytes (docs/adr/0009). It covers 64 sequence numbers, of which the
first is a multiple of 64 and names it, and is the members of its tasks, one behind the other. Other
tasks of priority 0 have numbers before or behind all tasks of a block, so that its place in
`pending` is the place of them all. Only ids of 17 bytes go into blocks, as ours are: those of eight
tasks or more in one enqueue, and of 64 that came one by one while many wait. Whoever claims takes a
block's first tasks; whoever moves a single task cuts it out.

The version is 2. Version 1 has no blocks, and a queue of version 1 gets none, so that the qcore
before can work on it, too; a queue of version 2 it takes for one of a newer qcore, and refuses it.

A *sequence* is the task's place among those of its priority: the number in hexadecimal behind a
letter that says how many digits it has, so that texts sort as numbers. *Metadata* are what scripts
read of the options, "neg_priority expires retention max_crashes group", and a blank and the unique
key if there is one; nothing at all where all are the defaults. The group is "0" for none, or "1"
and its name; names and unique keys are quoted as in a URL. *Options* are everything else, in
MessagePack, which scripts never read. A *run record* is "token attempts failures crashes due
unhandled_since finished", three sizes, a bar, and the error, the result's type and the result; or
the bare token in the first attempt of a task with default metadata.

Scripts check everything before their first write, and remove before they add: Redis does not roll a
script back, and out of memory it refuses only a first write that would need more.

The entries of periodic tasks of a queue are in three keys of its slot. The scripts of tasks do not
take them, so that these have no more keys to name (`Keys.entries`):

========================== ============ ==========================================================
entries                    hash         id to a revision, a blank, and the entry as one JSON object
entry-ids                  sorted set   ids, of score 0, so in the order of their bytes: what is not
                                        in it is not listed, and keeps no queue from being removed
entry-wakes                sorted set   ids of entries that a scheduler has to look at, by when
========================== ============ ==========================================================

Besides, the set `qcore:queues` names all queues, the set `qcore:entry-queues` those that may have
entries, the sorted set `qcore:{ }:workers` has the ids of
workers by when they count as gone, the hash `qcore:{ }:worker-info` what they announced of
themselves, in MessagePack, and the channels `…:wake` and `…:news` of a queue
carry notifications (notifications.py).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Final

from qcore.domain.errors import InvalidTask
from qcore.domain.moments import Moment
from qcore.domain.new_task import FIELDS
from qcore.domain.states import State
from qcore.domain.statistics import Resolution


class Key(IntEnum):
    """The keys of a queue, numbered as in lua/lib/keys.lua."""

    META = 1
    TASKS = 2
    PENDING = 3
    SESSION = 4
    BLOCKS = 5
    SCHEDULED = 6
    RETRY = 7
    AGGREGATING = 8
    ACTIVE = 9
    COMPLETED = 10
    ARCHIVED = 11
    DEAD = 12
    PROGRESS = 13
    EXPIRING = 14
    RETAINED = 15
    UNIQUE = 16
    DETAILS = 17
    GROUPS = 18


FAST_PATH_KEYS: Final = 5
"""How many of the first keys lua/enqueue.lua takes for tasks with default metadata that are pending
at once in a queue that exists: fewer keys are a shorter command."""
ENTRY_KEYS: Final = ("entries", "entry-ids", "entry-wakes")
"""The names of the keys of a queue's entries, in the order of lua/lib/entries.lua."""
WITH_ENTRIES: Final = len(Key) + len(ENTRY_KEYS)
"""How many keys a script takes that also writes entries."""
KEY_OF: Final[Mapping[State, Key]] = {
    state: Key[state.name] for state in State if state is not State.GONE
}
"""The sorted set of each state."""
STATE_OF: Final[Mapping[int, State]] = {int(key): state for state, key in KEY_OF.items()}
COUNTED_STATES: Final = [STATE_OF[number] for number in sorted(STATE_OF)]
"""The states in the order in which lua/count.lua counts them."""


_COUNTED_NAMES: Final = ["meta", *(str(state) for state in COUNTED_STATES)]
_NAMES: Final = ["session:-" if key is Key.SESSION else key.name.lower() for key in Key]
"""What the keys of a queue are called behind its name, in their order."""


class Keys:
    """The names of a namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self.registry: Final = f"{namespace}:queues"
        self.entry_registry: Final = f"{namespace}:entry-queues"
        # in one slot that no queue has: a blank is no queue's name
        self.workers: Final = (f"{namespace}:{{ }}:workers", f"{namespace}:{{ }}:worker-info")
        self.of = lru_cache(maxsize=1_000)(self._of)
        self.with_session = lru_cache(maxsize=1_000)(self._with_session)
        self.with_statistics = lru_cache(maxsize=100)(self._with_statistics)
        self.entries = lru_cache(maxsize=1_000)(self._entries)
        self._period = lru_cache(maxsize=10_000)(self._period_name)

    def _of(self, queue: str) -> Sequence[str]:
        """Return the names of a queue's keys in their order, with a session that nobody uses."""
        prefix = self._name(queue, "")
        return [prefix + name for name in _NAMES]

    def counted(self, queue: str) -> Sequence[str]:
        """Return the names of the keys of a queue that lua/count.lua takes."""
        # not kept: whoever counts thousands of queues asks for all of them, which no cache holds
        prefix = self._name(queue, "")
        return [prefix + name for name in _COUNTED_NAMES]

    def _with_session(self, queue: str, session: str, number: int) -> tuple[str, ...]:
        """Return the names of the first of a queue's keys in their order, those of entries last."""
        keys = [*self.of(queue), *self.entries(queue)][:number]
        keys[Key.SESSION - 1] = self._session(queue, session)
        return tuple(keys)

    def _with_statistics(
        self, queues: tuple[str, ...], session: str, number: int, minute: int
    ) -> tuple[str, ...]:
        """Return the keys of a call that adds to the statistics of a minute, counted from 1970.

        The first of the first queue's keys, all of the others, and the statistics of each.
        """
        keys = [*self.with_session(queues[0], session, number)]
        for queue in queues[1:]:
            keys += self.of(queue)
        for queue in queues:
            keys += self.now(queue, minute * Resolution.MINUTE)
        return tuple(keys)

    def now(self, queue: str, now: Moment) -> Sequence[str]:
        """Return the names of the statistics to which a queue adds now (lua/lib/statistics.lua)."""
        return [self._period(queue, each, each.start(now)) for each in Resolution]

    def periods(self, queue: str, now: Moment) -> Iterator[str]:
        """Yield the names of all statistics that a queue may have now.

        A period more at either end: the clocks of those who write differ a little.
        """
        for each in Resolution:
            first, end = each.start(now - each.kept) - each, int(now) + 2 * each
            yield from self.of_periods(queue, each, range(first, end, each))

    def of_periods(
        self, queue: str, resolution: Resolution, starts: Iterable[int]
    ) -> Sequence[str]:
        """Return the names of the statistics of periods, given by when they begin."""
        # not kept, as they are many
        prefix = self._name(queue, f"{resolution.name.lower()}:")
        return [f"{prefix}{start}" for start in starts]

    def _period_name(self, queue: str, resolution: Resolution, start: int) -> str:
        return self.of_periods(queue, resolution, [start])[0]

    def _entries(self, queue: str) -> Sequence[str]:
        """Return the names of the keys of a queue's entries, in the order of `ENTRY_KEYS`."""
        return [self._name(queue, name) for name in ENTRY_KEYS]

    def entry_ids(self, queue: str) -> str:
        """Return the name of the key that lists the ids of a queue's entries."""
        # not kept: whoever counts those of thousands of queues asks for each once
        return self._name(queue, ENTRY_KEYS[1])

    def _session(self, queue: str, session: str) -> str:
        return self._name(queue, f"session:{session}")

    def _name(self, queue: str, name: str) -> str:
        return f"{self._namespace}:{{{queue}}}:{name}"

    def probe_keys(self) -> list[str]:
        """Return keys and a channel in one slot that no queue has: a blank is no queue's name."""
        return [f"{self._namespace}:{{ }}:{name}" for name in ("hash", "sorted", "text", "channel")]

    def channel(self, queue: str) -> str:
        """Return the channel of a queue's wake-ups."""
        return self._name(queue, "wake")

    def news(self, queue: str) -> str:
        """Return the channel of the ids of a queue's tasks that have changed."""
        return self._name(queue, "news")


@lru_cache(maxsize=10_000)
def queue_name(stored: bytes) -> str | None:
    """Return a name of the registry; None for one that no queue can have, as somebody has added."""
    try:
        name = stored.decode()
        FIELDS["queue"].check("queue", name)
    except (UnicodeDecodeError, InvalidTask):
        return None
    return name
