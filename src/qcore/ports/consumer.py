"""`Consumer`: what a worker needs of a broker, to claim tasks, keep leases and settle verdicts."""

from collections.abc import Sequence
from typing import Protocol

from qcore.domain.answers import LeaseLost, Settled, Swept
from qcore.domain.moments import Moment
from qcore.domain.run_details import DetailsSaved, DetailsUpdate
from qcore.domain.task import Claim, Demand, Lease, Verdict
from qcore.ports.subscription import Notifier


class Consumer(Notifier, Protocol):
    """What a worker needs of a broker."""

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        """Take tasks, each under a lease that ends at `until`.

        - Scheduled and retrying tasks of these queues whose moment is `now` or earlier become
          pending first (at most 1,000 a queue a call), in the order of their moments; none earlier
          than its moment, to the millisecond.
        - At most `demand.limit` in all, and that many if so many are to be had.
        - Each queue's quota first; what room is left from the queues in the order given.
        - Within a queue the higher priority first, within one priority first in, first out.
        - Only the queues named.
        - A task whose `expires` is `now` or earlier is not handed out: it is dead, "expired".
        - Each claim shows the task as active, this attempt counted, and a lease that ends at
          `until` with a token greater than any that its queue has given before, even to a task
          long gone; and greater than the microseconds of `now` (`token_floor`), so that tokens grow
          where a store was restored from a copy.
        - A task is handed out once, however many claim at the same time.
        - A task that has crashed is handed out together with few others of its queue: at most 16 in
          all. With no other of its queue if one more crash is its last, which is where `crashes` is
          `max_crashes - 1` or more. What does not go with the first ones waits for the next claim.
        - A limit of zero or an unknown queue is answered with no claims; what is due becomes
          pending all the same.
        """
        ...

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        """End leases.

        - Each answer is at its verdict's place: `Settled` with the task's new state, or
          `LeaseLost`.
        - A verdict counts only with the current token of a task that is active, and the lease's
          end does not matter so long as nobody has taken the task back; otherwise nothing changes.
        - The new state is `advance(task, outcome)`.
        - `Succeeded`: kept with its result for `retention` seconds from `now`, or gone.
        - `Failed`: one failure more if it `burns`, its error kept, due at `again_at`.
        - `Exhausted`: one failure more; archived with its error. `Rejected`: dead with its error.
        - `Snoozed`: due at `again_at`. `Released`: pending ahead of its whole priority, as it was
          before it was claimed; several of them in the order of their tokens, however they are
          given back. Neither burns anything.
        - `Snoozed(unhandled=True)` sets `unhandled_since` to `now` if it is not set; every other
          verdict clears it.
        - `Crashed`: one crash more, and pending again at its old place, or dead at `max_crashes`.
        - `Cancelled`: dead with its reason. `Revoked`: gone.
        - `Succeeded(then=…)`, `Exhausted(then=…)`, `Rejected(then=…)`: those tasks are enqueued in
          the same step, in any queue, as `enqueue` would; and not if the lease is lost. One that is
          refused there is left out, and is no error. Within a batch they may be enqueued after all
          its verdicts. Where one step does not reach two queues (a Redis cluster), they are
          enqueued in a step before, once the lease was seen to be good.
        - `Failed`, `Exhausted`, `Rejected` and `Crashed` are added to the errors in `details`.
        - Everything else of a task stays as it was: what was asked for, when it was created, its
          attempts, its counts, its saved work, and its error, but that `Succeeded` clears it.
        - The same verdict twice: the second is `LeaseLost`, and changes nothing.
        - Of verdicts on one lease that several threads or processes settle at the same time, one is
          `Settled` and is what the store keeps; the others are `LeaseLost`.
        """
        ...

    async def extend(
        self, leases: Sequence[Lease], *, until: Moment
    ) -> Sequence[Lease | LeaseLost]:
        """Renew leases.

        - Each answer is at its lease's place: the same lease, ending at `until`, or `LeaseLost`.
        - A lease that has run out is renewed all the same while nobody has taken the task back.
        - A lease with another token than the task's, or of a task not active, is lost.
        """
        ...

    async def save_details(
        self, updates: Sequence[DetailsUpdate]
    ) -> Sequence[DetailsSaved | LeaseLost]:
        """Store the progress and the saved work of runs, to be read by `details`.

        - Each answer is at its update's place: `DetailsSaved`, or `LeaseLost`.
        - An update counts as a verdict would: with the current token of a task that is active.
        - Progress takes the place of earlier progress, and saved work that of earlier work; what an
          update does not have stays as it is.
        """
        ...

    async def sweep(self, queues: Sequence[str], limit: int, *, now: Moment) -> Swept:
        """Do what time has made due: at most `limit` of a kind (see `Swept`) a queue.

        - An active task whose lease ended at `now` or earlier has `Crashed`; its lease is lost.
        - A pending task whose `expires` is `now` or earlier is dead, "expired".
        - A completed task is gone when its `retention` is over.
        - An archived or a dead task is gone when it is older than `RetentionPolicy.age` seconds, or
          when its queue has more than `RetentionPolicy.count` of them: the oldest first.
        - Only the queues named; the answer counts what was moved, and says whether there is more.
        - It names the tasks that were moved, those that crashed or expired with what became of
          them; of very many the first `MAX_SWEPT_TASKS`.

        Where tasks are active, an answer also says that the store could be written: a sweep raises
        while `extend` would. Workers rely on it to take no task whose lease nobody could renew.
        """
        ...

    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        """Return when the next scheduled or retrying task of these queues is due.

        - None when there is none, or when all that there are wait for the end of another task (they
          are due at `LAST_MOMENT`). The moment may have passed already.
        - Where nothing but its rate keeps a queue's pending tasks, the moment at which the next may
          start counts too (with `Capability.LIMITS`).
        """
        ...
