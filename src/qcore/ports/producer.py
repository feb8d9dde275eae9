"""`Producer`: what a client needs of a broker, to store tasks."""

from collections.abc import Sequence
from typing import Protocol

from qcore.domain.answers import Admission
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.ports.capability import Capability


class Producer(Protocol):
    """What a client needs of a broker."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what the broker can do beyond the port."""
        ...

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[Admission]:
        """Store tasks.

        - Each answer is at its task's place: `Enqueued` with its state, `Duplicate` or `Conflict`.
        - A task due after `now` is scheduled; any other is pending, due now, or aggregating if it
          has a group.
        - Everything asked for is stored and comes back unchanged: payload, headers, every option.
        - An id that lives in the same queue is a `Conflict` that names its state, and writes
          nothing; the others of the batch go in.
        - The same id twice in one batch: the first goes in, the second conflicts with it.
        - An id that has ended (completed, archived, dead) is replaced, with nothing left of it.
        - With `on_conflict="keep"` it stays instead, and is a `Conflict` that names its state.
        - The same id may live in two queues.

        And with `Capability.UNIQUE`:

        - A task has its `unique_key` from now until it has ended (completed, archived, dead or
          gone, whichever way), through retries, snoozes and crashes; for `unique_for` seconds if
          that is shorter. An ended one that is run again does not get it back.
        - A key that a live task has is answered with `Duplicate`, which names that task and its
          state, and writes nothing; the others of the batch go in. An id that lives comes first: it
          is a `Conflict`.
        - With `on_duplicate="replace"`, a task that has the key and is not active is gone, and the
          new one takes its place, even under the same id; one that is active stays.
        - With `on_duplicate="rerun"` likewise; but where the task that has the key is active, the
          new one is its successor: scheduled, due at `LAST_MOMENT`, until the other has ended,
          whichever way. Then it has the key, and is due at the moment that was asked for. A key has
          one successor, the last one asked for: it takes the place of an earlier one, even under
          the same id, and is gone where the task that has the key is replaced. A task that has a
          successor has the key until it ends. One that is run now has the key at once, and is no
          successor any more; nor is one that has ended.
        - When the time of a key is over and another task has it, that is the other's: how the first
          ends changes nothing.
        - The same key may be had in two queues. Within a batch the first has it.
        - An empty batch is answered with no answers.
        """
        ...
