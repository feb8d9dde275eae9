import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.domain.errors import InvalidOption
from qcore.domain.histogram import BOUNDS, Histogram, bucketed
from qcore.domain.states import State
from qcore.domain.statistics import (
    FIELD_OF,
    MAX_NAMES,
    OTHER,
    Ending,
    Outcome,
    Resolution,
    Statistics,
    StatisticsRow,
    add_rows,
    merged,
    row_name,
    statistics_of,
    tallied,
    totals,
)
from qcore.domain.task import Lease, Verdict
from qcore.domain.transitions import (
    Archived,
    Crashed,
    Exhausted,
    Failed,
    Rejected,
    Released,
    Snoozed,
    Succeeded,
)

NUMBERS = st.lists(st.floats(0.001, BOUNDS[-1], exclude_max=True), min_size=1, max_size=300)
ANYTHING = st.lists(st.floats(allow_nan=False) | st.integers(-9, 9).map(float), max_size=60)
DEEP = st.lists(NUMBERS, max_size=5)
WORST = 2**0.25
"""How much a number may differ from what stands for its bucket, as a factor."""


def a_verdict(waited: float | None = None, ran: float | None = None) -> Verdict:
    """Return a verdict with some times."""
    return Verdict(Lease("default", "an id", 1, 0.0), Succeeded(), waited, ran)


def at_rank(numbers: Sequence[float], share: float) -> float:
    """Return the number that a share of the others do not exceed, counted out."""
    return sorted(numbers)[max(1, math.ceil(share * len(numbers))) - 1]


@given(NUMBERS, st.floats(0, 1))
def test_a_quantile_is_as_near_as_it_says(numbers: list[float], share: float) -> None:
    """Within 19 % of the number itself, whatever the numbers are."""
    found = Histogram.of(numbers).quantile(share)
    assert found is not None
    exact = at_rank(numbers, share)
    assert exact / WORST <= found * (1 + 1e-9)
    assert found <= exact * WORST * (1 + 1e-9)
    assert abs(found - exact) <= 0.19 * exact


@given(st.lists(st.floats(0, 0.001, exclude_max=True), min_size=1, max_size=9))
def test_what_is_under_a_millisecond_is_half_of_one(numbers: list[float]) -> None:
    """There the bound is half a millisecond."""
    found = Histogram.of(numbers).quantile(0.5)
    assert found is not None
    assert abs(found - at_rank(numbers, 0.5)) <= 0.0005


def test_what_is_beyond_all_bounds_is_the_last_of_them() -> None:
    """A wait of a year, and of ever; and one that a clock has made negative is the shortest."""
    assert Histogram.of([3e7]).quantile(0.5) == BOUNDS[-1]
    assert Histogram.of([math.inf]).quantile(0.5) == BOUNDS[-1]
    assert Histogram.of([-5.0]).quantile(0.5) == 0.0005


def test_no_numbers_have_no_quantile() -> None:
    """None is what says so; and what is no share is refused."""
    assert Histogram().quantile(0.5) is None
    for share in (-0.1, 1.1, math.nan, 95):
        with pytest.raises(InvalidOption, match="expected a number from 0 to 1"):
            Histogram.of([1.0]).quantile(share)


@given(DEEP)
def test_histograms_add_up_to_that_of_all_numbers(parts: list[list[float]]) -> None:
    """In whatever parts and order they come: that is what makes any span a sum."""
    whole = Histogram.of([number for part in parts for number in part])
    total = Histogram()
    for part in random.sample(parts, len(parts)):
        total += Histogram.of(part)
    assert total == whole
    assert total.number == sum(map(len, parts))


@given(ANYTHING)
def test_each_number_is_in_its_bucket(numbers: list[float]) -> None:
    """As if each were looked up alone."""
    expected: dict[int, int] = {}
    for number in numbers:
        bucket = sum(bound <= number for bound in BOUNDS)
        expected[bucket] = expected.get(bucket, 0) + 1
    assert bucketed(numbers) == expected


def test_what_is_not_a_number_is_counted_all_the_same() -> None:
    """Whoever settles may say anything: it neither raises nor hangs."""
    assert sum(bucketed([1.0, math.nan, 5.0, math.nan, 0.0]).values()) == 5


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from(
                [
                    (Succeeded(), State.GONE, Outcome.SUCCEEDED),
                    (Failed("no", 1.0), State.RETRY, Outcome.RETRIED),
                    (Crashed(), State.PENDING, Outcome.CRASHED),
                    (Crashed(), State.DEAD, Outcome.POISONED),
                    (Snoozed(1.0), State.SCHEDULED, Outcome.SNOOZED),
                    (Snoozed(1.0, unhandled=True), State.SCHEDULED, None),
                    (Released(), State.PENDING, None),
                    (Archived(), State.ARCHIVED, None),
                ]
            ),
            st.none() | st.tuples(st.floats(0, 9), st.floats(0, 9)),
        )
    )
)
def test_endings_add_up(
    noted: list[tuple[str, tuple[object, State, Outcome | None], object]],
) -> None:
    """Each is counted under its name and outcome, with its times if it has any."""
    endings, expected = list[Ending](), dict[str, Statistics]()
    for name, (event, state, outcome), times in noted:
        verdict = None if times is None else a_verdict(*times)  # type: ignore[misc]
        endings.append((name, event, state, verdict))  # type: ignore[arg-type]
        if outcome is not None:
            waits, runs = ([], []) if times is None else ([times[0]], [times[1]])  # type: ignore[index]
            one = Statistics({outcome: 1}, Histogram.of(waits), Histogram.of(runs))
            expected[name] = expected.get(name, Statistics()) + one
    assert {name: statistics_of(stored) for name, stored in tallied(endings).items()} == expected


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9)), min_size=1))
def test_a_batch_of_one_name_is_tallied_as_any_other(times: list[tuple[float, float]]) -> None:
    """It takes a way of its own, which is quicker."""
    batch: list[Ending] = [("n", Succeeded(), State.GONE, a_verdict(*each)) for each in times]
    alone = tallied(batch)
    mixed = tallied([*batch, ("other", Succeeded(), State.GONE, None)])
    assert mixed == alone | {"other": {"S": 1}}


def test_counts_say_what_they_have_in_common() -> None:
    """A failure is whatever went wrong with a run, and dead is what ended for good by it."""
    each = Statistics(dict.fromkeys(Outcome, 1))
    assert each.processed == 8
    assert (each.succeeded, each.failed, each.retried, each.crashed) == (1, 3, 1, 2)
    assert (each.dead, each.snoozed, each.revoked) == (3, 1, 1)
    assert (each.cancelled, each.expired) == (1, 1)


def test_every_outcome_has_a_field_of_its_own() -> None:
    """None is counted as another, and none is lost on the way through a store."""
    assert FIELD_OF.keys() == {*Outcome}
    every = {stored: n for n, stored in enumerate(FIELD_OF.values(), 1)}
    assert statistics_of(every).counts == {outcome: n for n, outcome in enumerate(FIELD_OF, 1)}


def test_what_cannot_be_read_is_passed_over() -> None:
    """Fields of a newer qcore, buckets that are none, and numbers that are no counts."""
    stored = {"S": 2, "Q": 5, "w99": 1, "w3": 1, "r": 4, "x1": 2, "R": -3, "J": 0, "": 1}
    assert statistics_of(stored) == Statistics({Outcome.SUCCEEDED: 2}, Histogram({3: 1}))


def test_too_many_names_share_a_row() -> None:
    """The first hundred have one each; and one that has a row keeps it."""
    rows: dict[str, dict[str, int]] = {}
    for n in range(MAX_NAMES + 5):
        add_rows(rows, {f"n{n}": {"S": 1}, "n0": {"S": 1}})
    assert len(rows) == MAX_NAMES + 1
    assert rows[OTHER] == {"S": 5}
    assert rows["n0"] == {"S": MAX_NAMES + 5}
    assert row_name("n0", rows) == "n0"
    assert row_name("new", rows) == OTHER


def test_rows_are_summed_by_what_they_have_in_common() -> None:
    """By name, by queue, or all of them."""
    one = Statistics({Outcome.SUCCEEDED: 1}, Histogram.of([1.0]), Histogram.of([2.0]))
    rows = [
        StatisticsRow(queue, name, start, one)
        for queue in ("q", "r")
        for start in (0, 60)
        for name in ("x", "y", "z")
    ]
    assert {key: each.succeeded for key, each in totals(rows, "name").items()} == {
        ("x",): 4,
        ("y",): 4,
        ("z",): 4,
    }
    assert [each.succeeded for each in totals(rows, "queue", "name").values()] == [2] * 6
    assert merged(row.statistics for row in rows).waits == Histogram.of([1.0] * 12)
    assert merged([]) == Statistics()


@pytest.mark.parametrize("resolution", Resolution)
def test_periods_cover_what_is_asked_for(resolution: Resolution) -> None:
    """From that of the first moment to that of the last, and no more of them than are kept."""
    day = Resolution.DAY
    start = resolution.start(123_456_789.0)
    assert start <= 123_456_789 < start + resolution
    assert [*resolution.starts(start, start)] == []
    assert [*resolution.starts(start, start + 0.5)] == [start]
    assert [*resolution.starts(start + 1, start + resolution + 1)] == [start, start + resolution]
    everything = resolution.starts(0, 20_000 * day)
    assert len(everything) == resolution.periods
    assert everything[-1] == 20_000 * day - resolution


def test_the_finest_resolution_is_one_that_has_kept_all() -> None:
    """Days for what none has kept; each is a whole number of those before it."""
    hour = 3_600
    found = [Resolution.finest(hours * hour) for hours in (0, 1, 3, 3.1, 48, 48.1, 24 * 90, 10**6)]
    assert found == [*[Resolution.MINUTE] * 3, *[Resolution.HOUR] * 2, *[Resolution.DAY] * 3]
    assert [each.coarser for each in Resolution] == [Resolution.HOUR, Resolution.DAY, None]
    assert all(each.coarser % each == 0 for each in Resolution if each.coarser)


def test_a_resolution_has_a_name() -> None:
    """As commands and the inspector take it; another one is refused."""
    assert [Resolution.of(each) for each in ("minute", "hour", "day", Resolution.DAY)] == [
        60,
        3_600,
        86_400,
        86_400,
    ]
    for wrong in ("week", "", 60.0, None):
        with pytest.raises(InvalidOption, match="expected 'minute', 'hour' or 'day'"):
            Resolution.of(wrong)


def test_failures_of_all_kinds_are_told_apart() -> None:
    """What is retried from what is over."""
    endings: list[Ending] = [
        ("n", Exhausted("no"), State.ARCHIVED, a_verdict(1.0, 1.0)),
        ("n", Rejected("no"), State.DEAD, a_verdict(1.0, 1.0)),
        ("n", Failed("no", 1.0), State.RETRY, a_verdict(1.0, 1.0)),
    ]
    assert tallied(endings)["n"] == {"E": 1, "J": 1, "R": 1, "w20": 3, "r20": 3}
