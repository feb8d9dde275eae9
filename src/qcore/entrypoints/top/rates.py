"""How fast queues run: statistics by the minute, of which only what may have changed is asked."""

from collections.abc import Mapping, Sequence
from typing import Final

from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.statistics import Resolution, Statistics, merged, totals
from qcore.ports import Broker, recording_of

MINUTE: Final = Resolution.MINUTE
SPAN: Final = 30
"""Minutes that are kept."""
RECENT: Final = 5
"""Minutes that times are told of."""
LATE: Final = 5.0
"""Seconds by which a verdict may be counted later than it says."""
NOTHING: Final = Statistics()


@record
class Rate:
    """How fast a queue runs."""

    processed: float = 0.0
    """Runs that ended in the last 60 seconds; of the minute before the current one a share."""
    failed: float = 0.0
    by_minute: Sequence[int] = ()
    """Runs that ended in each of the last minutes, the current one last."""
    recent: Statistics = NOTHING
    """Of the last five minutes."""


class Rates:
    """What has ended in queues, by the minute."""

    def __init__(self) -> None:
        self._minutes: dict[str, dict[int, Statistics]] = {}
        self._read_at: dict[str, Moment] = {}

    async def read(self, broker: Broker, queues: Sequence[str], now: Moment) -> Mapping[str, Rate]:
        """Return how fast queues run; nothing where the broker does not count what ends.

        Only what is asked about is kept. One call, two where there are queues that are new here.
        """
        recording = recording_of(broker)
        if recording is None:
            return {}
        first = MINUTE.start(now) - (SPAN - 1) * MINUTE
        self._forget(queues, first)
        since: dict[int, list[str]] = {}
        for queue in queues:
            # what was read before is settled, but for the minute in which that was
            start = MINUTE.start(self._read_at.get(queue, 0.0) - LATE)
            since.setdefault(max(first, start), []).append(queue)
        for start, some in since.items():
            rows = await recording.statistics(
                some, since=float(start), until=now + LATE, resolution=MINUTE
            )
            for (name, minute), found in totals(rows, "queue", "start").items():
                self._minutes.setdefault(str(name), {})[int(float(minute))] = found
        self._read_at.update(dict.fromkeys(queues, now))
        return {queue: self._rate(self._minutes.get(queue, {}), now) for queue in queues}

    def _forget(self, queues: Sequence[str], first: int) -> None:
        wanted = {*queues}
        for queue in [each for each in self._read_at if each not in wanted]:
            del self._read_at[queue]
            self._minutes.pop(queue, None)
        for minutes in self._minutes.values():
            for minute in [each for each in minutes if each < first]:
                del minutes[minute]

    def _rate(self, minutes: Mapping[int, Statistics], now: Moment) -> Rate:
        this = MINUTE.start(now)
        current = minutes.get(this, NOTHING)
        before = minutes.get(this - MINUTE, NOTHING)
        share = 1 - (now - this) / MINUTE
        starts = range(this - (SPAN - 1) * MINUTE, this + 1, MINUTE)
        return Rate(
            current.processed + before.processed * share,
            current.failed + before.failed * share,
            [minutes[each].processed if each in minutes else 0 for each in starts],
            merged(minutes[each] for each in starts[-RECENT:] if each in minutes),
        )
