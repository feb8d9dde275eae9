"""What a claim is to read of the index of pending tasks."""

import pytest

from qcore.adapters.postgres.scan_starts import (
    ABOVE_ALL,
    BELOW_ALL,
    BUSY,
    MAX_PRIORITIES,
    WHOLE_AT_LATEST,
    WHOLE_EVERY,
    WHOLE_SHARE,
    Scan,
    ScanStarts,
)
from tests.adapters.postgres_kit import StillClock


class TestStarts:
    """What a claim is to read, by what was claimed before."""

    clock: StillClock
    starts: ScanStarts

    @pytest.fixture(autouse=True)
    def busy(self) -> None:
        """Have a queue from which tasks of two priorities were claimed."""
        self.clock = StillClock()
        self.starts = ScanStarts(self.clock)
        self.claim(BUSY, priority=3)
        self.claim(1, priority=-2)

    def claim(self, last: int, *, priority: int, is_all: bool = False) -> Scan:
        """Claim tasks up to this `sequence`."""
        scan = self.starts.begin("q")
        found = [(priority, last - n) for n in reversed(range(min(last, BUSY)))]
        self.starts.end(scan, found, is_all=is_all)
        return scan

    def test_a_quiet_queue_is_read_from_its_first_entry(self) -> None:
        """Few entries are in the way there, and nothing is passed over."""
        starts = ScanStarts(self.clock)
        scan = starts.begin("q")
        starts.end(scan, [(0, n) for n in range(BUSY - 1)], is_all=False)
        assert scan.is_whole
        assert starts.begin("q").is_whole
        assert starts.begin("other").is_whole

    def test_each_priority_of_a_busy_one_is_read_from_its_last_task(self) -> None:
        """And between them is read what has a priority of which none was claimed."""
        scan = self.starts.begin("q")
        assert scan.above == [ABOVE_ALL, 3, -2]
        assert scan.priorities == [3, -2, BELOW_ALL]
        assert scan.behind == [BUSY, 1, None]

    def test_a_claim_that_took_longer_does_not_lead_back(self) -> None:
        """Claims are answered in any order."""
        self.claim(5, priority=3)
        assert self.starts.begin("q").behind == [BUSY, 1, None]

    def test_a_claim_that_was_not_filled_is_followed_by_one_of_all(self) -> None:
        """What it did not find may lie ahead."""
        self.claim(BUSY + 1, priority=3, is_all=True)
        assert self.starts.begin("q").is_whole

    def read_whole(self, last: int, *, took: float = 0.0, priority: int = 3) -> None:
        """Have the time pass, and a claim read all of the index."""
        self.clock.now += WHOLE_AT_LATEST
        scan = self.starts.begin("q")
        assert scan.is_whole
        self.clock.now += took
        self.starts.end(scan, [(priority, last)], is_all=False)

    @pytest.mark.parametrize(
        ("took", "pause"),
        [(0.001, WHOLE_EVERY), (0.1, 0.1 * WHOLE_SHARE), (1.0, WHOLE_AT_LATEST)],
    )
    def test_all_is_read_from_time_to_time(self, took: float, pause: float) -> None:
        """The longer that takes, the less often; but for what takes long only once."""
        self.read_whole(BUSY + 9, took=took)
        self.clock.now += WHOLE_EVERY * 0.99
        assert not self.starts.begin("q").is_whole
        self.read_whole(BUSY + 19, took=took)
        self.clock.now += pause * 0.99
        assert not self.starts.begin("q").is_whole
        self.clock.now += pause * 0.02
        assert self.starts.begin("q").is_whole

    def test_claims_go_on_behind_what_was_found_ahead(self) -> None:
        """More may lie there than one claim takes."""
        self.read_whole(7)
        assert self.starts.begin("q").behind == [7, None]

    def test_a_claim_that_was_on_its_way_meanwhile_does_not_pass_over_it(self) -> None:
        """It has begun behind what lies ahead."""
        before = self.starts.begin("q")
        self.read_whole(7)
        self.starts.end(before, [(3, BUSY + 9), (1, 5)], is_all=False)
        assert self.starts.begin("q").behind == [7, 5, None]

    def test_a_priority_that_was_not_reached_is_read_from_its_first_entry_when_it_is(self) -> None:
        """However often all was read, and filled by a higher one."""
        self.read_whole(BUSY + 9)
        scan = self.starts.begin("q")
        assert scan.priorities == [3, BELOW_ALL]
        self.starts.end(scan, [(-2, 1)], is_all=False)
        assert self.starts.begin("q").priorities == [3, -2, BELOW_ALL]

    def test_a_priority_of_which_nothing_is_left_is_not_read_so_by_every_claim(self) -> None:
        """There, what was claimed is passed over once."""
        self.read_whole(2, priority=-2)
        assert self.starts.begin("q").behind == [BUSY, 2, None]

    def test_few_priorities_are_remembered(self) -> None:
        """Each is searched for by every claim."""
        for priority in range(100):
            self.claim(5, priority=priority)
        assert len(self.starts.begin("q").starts) == MAX_PRIORITIES

    def test_places_may_be_less_than_nothing(self) -> None:
        """An operator may have set the sequence to whatever it takes."""
        self.claim(1, priority=7)
        scan = self.starts.begin("q")
        self.starts.end(scan, [(8, -5)], is_all=False)
        assert self.starts.begin("q").behind[0] == -5

    def test_all_is_read_once_where_a_task_was_put_back(self) -> None:
        """A queue stays a busy one: some worker may give tasks back all the time."""
        self.starts.put_back(["other"])
        assert not self.starts.begin("q").is_whole
        self.starts.put_back(["q"])
        self.claim(7, priority=3)
        assert self.starts.begin("q").behind == [7, None]

    def test_a_claim_that_was_on_its_way_when_a_task_was_put_back_is_not_noted(self) -> None:
        """It may have passed over that one."""
        scan = self.starts.begin("q")
        self.starts.put_back(["q"])
        self.starts.end(scan, [(3, BUSY + 9)], is_all=False)
        assert self.starts.begin("q").is_whole

    def test_a_queue_that_is_removed_is_a_quiet_one(self) -> None:
        """Nothing is kept of it."""
        self.starts.forget(["q"])
        self.claim(7, priority=3)
        assert self.starts.begin("q").is_whole
