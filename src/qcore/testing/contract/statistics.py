"""`StatisticsContract`: the contract of `Recording`."""

from functools import partial

from qcore.domain.answers import QueueRemoved
from qcore.domain.histogram import Histogram
from qcore.domain.statistics import (
    MAX_NAMES,
    OTHER,
    Resolution,
    merged,
)
from qcore.ports import Broker
from qcore.testing.builders import NOW, a_task, some_tasks
from qcore.testing.contract.statistics_counting import (
    DAY,
    HOUR,
    CountingCases,
    finish,
    rows_of,
    total_of,
)
from qcore.testing.contract.steps import put
from qcore.testing.optional_ports import recording


class StatisticsContract(CountingCases):
    """What ended is counted by task name and time: for a broker with `Capability.STATISTICS`."""

    # - In a period at most `MAX_NAMES` names of a queue have a row of their own, those that came
    #   first; the others are counted together, as `OTHER`.

    async def test_the_number_of_names_is_bounded(self, broker: Broker) -> None:
        """Nothing is lost of those that have no row, and who has one keeps it."""
        await finish(broker, a_task(name="first"), waited=1.0, ran=1.0)
        await finish(broker, *(a_task(name=f"name {n}") for n in range(MAX_NAMES + 20)))
        await finish(broker, a_task(name="last"), a_task(name="first"), waited=1.0, ran=1.0)
        for resolution in Resolution:
            rows = await rows_of(broker, resolution=resolution)
            names = {row.name: row.statistics for row in rows}
            assert len(rows) == len(names) == MAX_NAMES + 1
            assert names["first"].succeeded == 2
            assert names[OTHER].succeeded == 22
            assert names[OTHER].waits == Histogram.of([1.0])
            assert merged(names.values()).succeeded == MAX_NAMES + 23

    # - Nothing is left of a removed queue.

    async def test_no_statistics_are_left_of_a_removed_queue(self, broker: Broker) -> None:
        """Neither minutes, hours nor days, long ago ones too; those of other queues stay."""
        for now in (NOW - 5 * HOUR, NOW):
            await finish(broker, a_task(), now=now)
            await finish(broker, a_task(queue="default:2"), now=now)
        assert await broker.remove_queue("default", now=NOW + 9) == QueueRemoved()
        for resolution in Resolution:
            ask = partial(rows_of, broker, since=NOW - 30 * HOUR, resolution=resolution)
            assert list(await ask()) == []
            assert list(await ask("default:2"))
        await finish(broker, a_task(), now=NOW + 10)
        assert (await total_of(broker)).succeeded == 1

    # - A row for each queue, period and name of which anything ended: in the order of the queues,
    #   of time, and of the names. A period counts if any of it is between `since` and `until`.

    async def test_rows_come_in_order(self, broker: Broker) -> None:
        """Of the queues that were asked for, and no others; of each name that had anything."""
        for now in (DAY + 120, DAY + 59.9, DAY):
            await finish(
                broker,
                *(a_task(queue=queue, name=name) for queue in "ab" for name in ("y", "x", "ü")),
                a_task(queue="c"),
                now=now,
            )
        for resolution, starts in (
            (Resolution.MINUTE, (DAY, DAY + 120)),
            (Resolution.HOUR, (DAY,)),
            (Resolution.DAY, (DAY,)),
        ):
            rows = await rows_of(
                broker, "b", "a", "none", since=DAY, until=DAY + HOUR, resolution=resolution
            )
            assert [(row.queue, row.start, row.name) for row in rows] == [
                (queue, start, name)
                for queue in "ba"
                for start in starts
                for name in ("x", "y", "ü")
            ]

    async def test_a_period_counts_if_any_of_it_is_asked_for(self, broker: Broker) -> None:
        """From a moment within the first one to a moment within the last one; not beside that."""
        for minute in range(5):
            await finish(broker, a_task(), now=DAY + 60 * minute + 30)
        for since, until, minutes in (
            (DAY, DAY + 300, [0, 1, 2, 3, 4]),
            (DAY + 60, DAY + 180, [1, 2]),
            (DAY + 119.9, DAY + 180.1, [1, 2, 3]),
            (DAY + 120, DAY + 120, []),
        ):
            rows = await rows_of(broker, since=since, until=until)
            assert [row.start for row in rows] == [DAY + 60 * minute for minute in minutes]

    # - None asks for all queues of which there is anything, in the order of their names.

    async def test_all_queues_may_be_asked_for(self, broker: Broker) -> None:
        """Also those that have no task any more."""
        for queue in ("b", "a", "c"):
            await finish(broker, a_task(queue=queue))
        await put(broker, a_task(queue="waits"))
        rows = await recording(broker).statistics(
            None, since=NOW - 60, until=NOW + 60, resolution=Resolution.MINUTE
        )
        assert [row.queue for row in rows] == ["a", "b", "c"]

    # - Minutes are kept for three hours, hours for two days and days for 90 days
    #   (`Resolution.kept`). A period that ended longer than that before `until` has no row.

    async def test_minutes_become_hours_and_hours_become_days(self, broker: Broker) -> None:
        """What is too old for its minute to be shown is still in its hour and its day, once."""
        moments = [DAY + 10, DAY + 20, DAY + 4 * HOUR, DAY + 9 * HOUR, DAY + 25 * HOUR]
        for now in moments:
            await finish(broker, *some_tasks(3), now=now, waited=1.0, ran=2.0)
        ask = partial(rows_of, broker, since=DAY, until=moments[-1] + 1)
        days = await ask(resolution=Resolution.DAY)
        assert [(row.start, row.statistics.succeeded) for row in days] == [
            (DAY, 12),
            (DAY + 24 * HOUR, 3),
        ]
        assert days[0].statistics.waits == Histogram.of([1.0] * 12)
        assert days[0].statistics.runs == Histogram.of([2.0] * 12)
        hours = await ask(resolution=Resolution.HOUR)
        assert [(row.start, row.statistics.succeeded) for row in hours] == [
            (DAY, 6),
            (DAY + 4 * HOUR, 3),
            (DAY + 9 * HOUR, 3),
            (DAY + 25 * HOUR, 3),
        ]
        assert hours[0].statistics.waits == Histogram.of([1.0] * 6)
        assert [row.start for row in await ask()] == [DAY + 25 * HOUR]
        for now in (DAY + 51 * HOUR, DAY + 80 * HOUR):
            await finish(broker, *some_tasks(3), now=now, waited=1.0, ran=2.0)
        days = await rows_of(broker, since=DAY, until=now + 1, resolution=Resolution.DAY)
        assert [row.statistics.succeeded for row in days] == [12, 3, 3, 3]
        hours = await rows_of(broker, since=DAY, until=now + 1, resolution=Resolution.HOUR)
        assert [row.start for row in hours] == [DAY + 51 * HOUR, DAY + 80 * HOUR]

    async def test_periods_are_shown_for_as_long_as_they_are_kept(self, broker: Broker) -> None:
        """To the end of the three hours, the two days, or the 90 days, and no longer."""
        await finish(broker, a_task(), now=DAY)
        for resolution in Resolution:
            gone = DAY + resolution + resolution.kept
            for until, number in ((gone - 1, 1), (gone + resolution, 0)):
                await finish(broker, a_task(name="later"), now=until)
                rows = await rows_of(broker, since=0, until=until, resolution=resolution)
                assert [row.name for row in rows].count(a_task().name) == number
