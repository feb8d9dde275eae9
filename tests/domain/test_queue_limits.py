from math import floor
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qcore.domain.errors import InvalidOption
from qcore.domain.queue_limits import (
    FASTEST,
    LONGEST,
    MOST,
    NO_LIMITS,
    LimitChange,
    Limits,
    Rate,
    SetInFlight,
    SetPaused,
    SetRate,
    ruled,
)
from qcore.testing.builders import NOW

RATES = st.builds(
    Rate, st.integers(1, 1_000), st.one_of(st.floats(0.05, 3_600.0), st.sampled_from((1, 60, 0.1)))
)
WAITS = st.lists(st.tuples(st.floats(0, 3), st.integers(1, 50)), min_size=1, max_size=60)
"""How long after the last claim there is another, in parts of the rate's time, and how large."""


def started(rate: Rate, waits: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return when how many were started by claims so far apart and so large."""
    now, full, starts = NOW, NOW, list[tuple[float, int]]()
    for wait, wanted in waits:
        now += wait * rate.per
        taken = min(wanted, rate.left(full, now))
        if taken:
            full = rate.after(full, now, taken)
            starts.append((now, taken))
    return starts


@given(RATES, WAITS)
def test_no_window_has_more_starts_than_a_bucket_and_what_refills_it(
    rate: Rate, waits: list[tuple[float, int]]
) -> None:
    """Whenever it begins and however long it is: `count`, and one for each pace of it."""
    starts = started(rate, waits)
    for first, (begin, _) in enumerate(starts):
        total = 0
        for end, taken in starts[first:]:
            total += taken
            # a start may be early by as much as moments are fine
            assert total <= rate.count + (end - begin + 2 * FASTEST) / rate.pace + 1e-9


@given(RATES, WAITS)
def test_a_queue_that_never_runs_dry_starts_as_many_as_it_may(
    rate: Rate, waits: list[tuple[float, int]]
) -> None:
    """Claims that take all they can lose nothing but the part of a start that is not whole yet."""
    now, full, total = NOW, NOW, 0
    for wait, _ in [(0.0, 0), *waits]:
        # never so long that a full bucket would wait for somebody to take from it
        now += min(wait, 1.0) * rate.per * (rate.count - 1) / rate.count
        taken = rate.left(full, now)
        full = rate.after(full, now, taken) if taken else full
        total += taken
    assert total >= floor(rate.count + (now - NOW) / rate.pace) - 1


@given(RATES, st.floats(0, 1e6), st.integers(0, 50))
def test_the_moment_of_the_next_start_is_the_first_at_which_there_is_one(
    rate: Rate, later: float, more: int
) -> None:
    """From it on one may start, and a quarter of a pace before none may."""
    now = NOW + later
    full = rate.after(now, now, rate.count)
    for _ in range(more):
        assert rate.left(full, rate.next(full)) == 1
        assert rate.left(full, rate.next(full) - rate.pace / 4) == 0
        full = rate.after(full, rate.next(full), 1)


@given(RATES, st.floats(0, 10), st.floats(0, 10))
def test_a_bucket_only_fills_with_time(rate: Rate, full: float, wait: float) -> None:
    """It is never fuller than full, never less than empty, and never emptier later."""
    moment = NOW + full * rate.per
    before, after = rate.left(moment, NOW), rate.left(moment, NOW + wait * rate.per)
    assert 0 <= before <= after <= rate.count
    assert rate.left(moment, moment) == rate.count


@given(RATES, st.integers(1, 1_000))
def test_what_is_taken_at_once_is_not_there_any_more(rate: Rate, wanted: int) -> None:
    """Of a bucket that is full."""
    taken = min(wanted, rate.count)
    assert rate.left(rate.after(NOW, NOW, taken), NOW) == rate.count - taken


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/s", Rate(100)),
        ("100/sec", Rate(100, 1.0)),
        ("100/min", Rate(100, 60.0)),
        ("5/h", Rate(5, 3_600.0)),
        ("5/hour", Rate(5, 3_600.0)),
        ("1/day", Rate(1, 86_400.0)),
        ("5/0.5", Rate(5, 0.5)),
        ("5/.5", Rate(5, 0.5)),
        ("5/10", Rate(5, 10.0)),
        ("5/10.", Rate(5, 10.0)),
        (" 5 / min ", Rate(5, 60.0)),
    ],
)
def test_a_rate_is_spelled_as_people_say_it(text: str, rate: Rate) -> None:
    """A number and a unit, or seconds; and a rate is itself."""
    assert Rate.of(text) == rate
    assert Rate.of(rate) is rate


@given(st.builds(Rate, st.integers(1, 10), st.floats(1e-5, 1e7)))
@example(Rate(5, 1e-05))
@example(Rate(100, 60.0))
@example(Rate(3, 10))
def test_a_rate_is_written_as_it_is_spelled(rate: Rate) -> None:
    """So that a form or a command can be given what was shown."""
    assert Rate.of(str(rate)) == rate


@pytest.mark.parametrize(
    "text",
    [
        *("", "5", "5/", "/s", "5/s/s", "5/minutes", "5/S", "-5/s", "5.5/s", "5/-1", "5/1e3"),
        *("0/s", "5/0", "5/nan", "5/inf", "5 s", "\u0665/s", "2000000/s", "1/400000000"),
        *(5, None, b"5/s", ("5", "s")),
    ],
)
def test_what_is_no_rate_is_refused(text: Any) -> None:
    """Whichever part of it is wrong."""
    with pytest.raises(InvalidOption, match="rate"):
        Rate.of(text)


@pytest.mark.parametrize("count", [0, -1, MOST + 1, 1.5, 1.0, True, "1", None])
def test_a_rate_starts_a_whole_number(count: Any) -> None:
    """One at least."""
    with pytest.raises(InvalidOption, match="count"):
        Rate(count, LONGEST)


@pytest.mark.parametrize("per", [0, -1, LONGEST + 1, float("nan"), float("inf"), True, "1", None])
def test_a_rate_is_per_a_time(per: Any) -> None:
    """More than none, and up to a year."""
    with pytest.raises(InvalidOption, match="per"):
        Rate(1, per)


def test_a_rate_is_no_finer_than_moments() -> None:
    """A million a second is the most there is."""
    assert Rate(1_000_000).pace == FASTEST
    with pytest.raises(InvalidOption, match="a million a second"):
        Rate(1_000_001)
    with pytest.raises(InvalidOption, match="a million a second"):
        Rate(1, 0.5e-6)


@pytest.mark.parametrize(
    ("rule", "limits"),
    [
        (SetRate(Rate(2)), Limits(Rate(2), 7, is_paused=True)),
        (SetRate(None), Limits(None, 7, is_paused=True)),
        (SetInFlight(1), Limits(Rate(1), 1, is_paused=True)),
        (SetInFlight(None), Limits(Rate(1), None, is_paused=True)),
        (SetPaused(is_paused=False), Limits(Rate(1), 7)),
    ],
)
def test_a_rule_sets_one_limit(rule: LimitChange, limits: Limits) -> None:
    """The others are as they were."""
    assert ruled(Limits(Rate(1), 7, is_paused=True), rule) == limits


def test_without_rules_nothing_is_limited() -> None:
    """That is what holds for a queue that nobody has spoken of."""
    assert Limits(None, None, is_paused=False) == NO_LIMITS


@pytest.mark.parametrize("most", [0, -1, MOST + 1, 1.0, True, "1"])
def test_how_many_may_run_is_a_whole_number(most: Any) -> None:
    """One at least: for none there is a pause."""
    with pytest.raises(InvalidOption, match="in_flight"):
        SetInFlight(most)


@pytest.mark.parametrize("rate", ["5/s", 5, (5, 1.0)])
def test_a_rule_has_a_rate_that_was_made(rate: Any) -> None:
    """What was spelled is read where it is written."""
    with pytest.raises(InvalidOption, match="expected a Rate"):
        SetRate(rate)
