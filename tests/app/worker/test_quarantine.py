from collections.abc import Sequence

import pytest

from qcore import BrokerUnavailable
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.quarantine import Quarantine
from qcore.domain.events import BrokerFailed, BrokerRecovered, Event
from qcore.errors import BrokerUnusable
from qcore.testing import ManualClock

QUEUES = ("a", "b", "c")


class Store:
    """A store with queues that cannot be served, and what was told of it."""

    def __init__(self, *bad: str, queues: Sequence[str] = QUEUES) -> None:
        self.bad = set(bad)
        self.away: set[str] = set()
        self.asked: list[Sequence[str]] = []
        self.told: list[Event] = []
        self.queues = queues
        self.clock = ManualClock()
        emit = Instruments([self.note])
        self.quarantine = Quarantine(
            "claim", len(queues), clock=self.clock, dice=lambda: 0.5, emit=emit
        )

    def note(self, event: Event) -> None:
        self.told.append(event)

    async def call(self, queues: Sequence[str]) -> str:
        self.asked.append(list(queues))
        if self.away.intersection(queues):
            raise BrokerUnavailable("away")
        if spoilt := self.bad.intersection(queues):
            raise BrokerUnusable(f"spoilt: {min(spoilt)}")
        return "".join(queues)

    async def serve(self) -> list[str]:
        self.asked.clear()
        return await self.quarantine.serve(self.queues, self.call)

    @property
    def pauses(self) -> list[float]:
        """Return after how long it was said to be tried again, each time."""
        return [each.again_in for each in self.told if isinstance(each, BrokerFailed)]


async def test_good_queues_are_asked_together() -> None:
    """A worker whose queues are all well notices nothing."""
    store = Store()
    assert await store.serve() == ["abc"]
    assert store.told == []


async def test_a_bad_one_is_found_and_left_out() -> None:
    """It is told of once, with its name and the error, and not asked until its time has come."""
    store = Store("b")
    assert await store.serve() == ["a", "c"]
    assert await store.serve() == ["ac"]
    assert store.asked == [["a", "c"]]
    [told] = store.told
    assert isinstance(told, BrokerFailed)
    assert (told.call, told.again_in) == ("claim", 1.0)
    assert str(told.error) == "queue 'b' is not served, the others are: spoilt: b"
    assert store.quarantine.fit(QUEUES) == ["a", "c"]


async def test_it_is_tried_again_by_itself_with_growing_pauses() -> None:
    """What the others get does not depend on it; a minute is the longest pause."""
    store = Store("b")
    await store.serve()
    for _ in range(8):
        store.clock.advance(store.pauses[-1])
        assert await store.serve() == ["ac"]
        assert store.asked == [["a", "c"], ["b"]]
    assert store.pauses == [
        1.0,
        2.0,
        4.0,
        8.0,
        16.0,
        30.0,
        30.0,
        30.0,
        30.0,
    ]  # half of it, by these dice


async def test_one_that_is_mended_is_served_again() -> None:
    """It is told of, and asked for with the others from then on."""
    store = Store("b")
    await store.serve()
    store.bad.clear()
    store.clock.advance(1)
    assert await store.serve() == ["ac", "b"]
    assert store.told[1:] == [BrokerRecovered("claim", 1)]
    assert await store.serve() == ["abc"]


async def test_what_ails_all_is_raised() -> None:
    """It is the store then: it is told of once, and each queue is asked for when it is well."""
    store = Store(*QUEUES)
    with pytest.raises(BrokerUnusable, match="spoilt: a"):
        await store.serve()
    assert store.told == []
    store.bad.clear()
    assert await store.serve() == ["abc"]


async def test_the_last_good_one_is_put_aside_too() -> None:
    """Whichever is mended first is served first."""
    store = Store("a", "b")
    assert await store.serve() == ["c"]
    store.bad = {"b", "c"}
    assert await store.serve() == []
    store.clock.advance(1)
    assert await store.serve() == ["a"]


async def test_a_worker_of_one_queue_is_told_of_its_error() -> None:
    """There is nothing else to serve meanwhile."""
    store = Store("a", queues=["a"])
    with pytest.raises(BrokerUnusable):
        await store.serve()


async def test_a_store_that_is_away_is_raised() -> None:
    """That passes, and no queue is put aside for it."""
    store = Store()
    store.away.add("a")
    with pytest.raises(BrokerUnavailable):
        await store.serve()
    assert store.quarantine.fit(QUEUES) == QUEUES


async def test_what_was_answered_before_it_went_away_is_not_lost() -> None:
    """It may be tasks that were handed out."""
    store = Store("b")
    await store.serve()
    store.away.add("b")
    store.clock.advance(1)
    assert await store.serve() == ["ac"]
