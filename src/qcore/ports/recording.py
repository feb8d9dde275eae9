"""`Recording`: what has ended in a queue, counted by task name and time."""

from collections.abc import Sequence
from typing import Protocol, cast

from qcore.domain.moments import Moment
from qcore.domain.statistics import Resolution, StatisticsRow
from qcore.ports.capability import Capability
from qcore.ports.producer import Producer


class Recording(Protocol):
    """What a broker with `Capability.STATISTICS` has besides: counts and times of what ended.

    - `settle` counts each verdict that it answers with `Settled`, at its `now`, by the name of its
      task, in the same step. One that is `LeaseLost` counts nothing: a verdict that is given twice
      counts once.
    - What a verdict says in `waited` and `ran` goes into histograms; one that does not say it is
      counted all the same.
    - `Released` and `Snoozed(unhandled=True)` count nothing, as no handler has run to its end.
    - `sweep` counts each crash in the step in which it takes the task back, as the task's last one
      where it is dead by it.
    - `execute` counts each task that it has `Cancelled`, whatever state it was in.
    - `restore` counts nothing: what it stores was counted where it was.
    - What passes its `expires` is counted once, whether `claim` or `sweep` has found it.
    - In a period at most `MAX_NAMES` names of a queue have a row of their own, those that came
      first; the others are counted together, as `OTHER`.
    - Nothing is left of a removed queue.
    """

    async def statistics(
        self,
        queues: Sequence[str] | None,
        *,
        since: Moment,
        until: Moment,
        resolution: Resolution,
    ) -> Sequence[StatisticsRow]:
        """Return what ended in queues between two moments, by period and name.

        - A row for each queue, period and name of which anything ended: in the order of the queues,
          of time, and of the names. A period counts if any of it is between `since` and `until`.
        - None asks for all queues of which there is anything, in the order of their names.
        - Minutes are kept for three hours, hours for two days and days for 90 days
          (`Resolution.kept`). A period that ended longer than that before `until` has no row.
        """
        ...


def recording_of(broker: Producer) -> Recording | None:
    """Return a broker as one that counts what ends; None where it declares that it does not."""
    return cast("Recording", broker) if Capability.STATISTICS in broker.capabilities else None
