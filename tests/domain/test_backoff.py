import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.domain.backoff import (
    TWENTY_FOUR_HOURS,
    Backoff,
    Exponential,
    Fixed,
    Linear,
    Quartic,
    exponential,
    fixed,
    linear,
    parse,
)
from qcore.domain.errors import InvalidTask
from qcore.testing.dice import ScriptedDice, fair_dice

SECONDS = st.floats(0, 1e9)
CURVES: st.SearchStrategy[Backoff] = st.one_of(
    st.just(Quartic()),
    st.builds(Fixed, SECONDS),
    st.builds(Linear, SECONDS, SECONDS),
    st.builds(Exponential, SECONDS, SECONDS, jitter=st.booleans()),
)


@pytest.mark.parametrize(
    ("failures", "roll", "seconds"),
    [
        (0, 0.0, 15.0),
        (0, 0.5, 30.0),
        (1, 0.0, 16.0),
        (1, 0.25, 31.0),
        (2, 0.5, 76.0),
        (10, 0.0, 10_015.0),
        (24, 0.0, 331_791.0),
    ],
)
def test_the_quartic_at_known_points(failures: int, roll: float, seconds: float) -> None:
    """n⁴ + 15 + roll·30·(n+1), to the last digit."""
    assert Quartic()(failures, roll) == seconds


def test_the_quartic_takes_twenty_days_over_twenty_five_retries() -> None:
    """The default budget tries for about twenty days, as Sidekiq's and Asynq's does."""
    dice = ScriptedDice(*[0.5] * 25)
    total = sum(Quartic()(n, dice()) for n in range(25))
    assert total == 1_763_020 + 25 * 15 + 15 * 325
    assert 20 < total / 86_400 < 21


def test_a_fixed_curve_is_always_the_same() -> None:
    """Neither failures nor dice change it."""
    assert {Fixed(2.5)(n, roll) for n in (0, 1, 10_000) for roll in (0.0, 0.999)} == {2.5}


@pytest.mark.parametrize(("failures", "seconds"), [(0, 5), (1, 10), (2, 15), (3, 17), (99, 17)])
def test_a_linear_curve_grows_by_its_step_up_to_its_cap(failures: int, seconds: float) -> None:
    """One step for the first failure, one more for each after it."""
    assert Linear(5, cap=17)(failures, 0.5) == seconds


@pytest.mark.parametrize(("failures", "seconds"), [(0, 1), (1, 2), (5, 32), (6, 60), (99, 60)])
def test_an_exponential_curve_doubles_up_to_its_cap(failures: int, seconds: float) -> None:
    """Without jitter it is base·2ⁿ, and never more than the cap."""
    assert Exponential(1, cap=60, jitter=False)(failures, 0.5) == seconds


@pytest.mark.parametrize(("roll", "seconds"), [(0.0, 0.0), (0.25, 2.0), (0.5, 4.0)])
def test_full_jitter_spreads_the_whole_delay(roll: float, seconds: float) -> None:
    """The roll says which part of the delay is waited, from none up to all of it."""
    assert Exponential(1)(3, roll) == seconds


@pytest.mark.parametrize("failures", [0, 63, 64, 1_023, 1_024, 10_000, 1_000_000])
@pytest.mark.parametrize(
    "curve", [Exponential(1), Exponential(1e9), Linear(1e9), Exponential(1e-9)]
)
def test_no_number_of_failures_is_too_many(curve: Backoff, failures: int) -> None:
    """Where a float would overflow, the cap has long been reached."""
    assert 0 <= curve(failures, 0.999) <= TWENTY_FOUR_HOURS


@given(CURVES, st.integers(0, 10_000), st.integers(0, 2**32))
def test_a_delay_is_a_number_of_seconds(curve: Backoff, failures: int, seed: int) -> None:
    """Whatever the curve, the failures and the dice, a delay is finite and not negative."""
    delay = curve(failures, fair_dice(seed)())
    assert math.isfinite(delay)
    assert delay >= 0


@given(CURVES)
def test_a_curve_travels_as_text(curve: Backoff) -> None:
    """What `spelled` writes `parse` reads, to the last digit."""
    assert parse(curve.spelled()) == curve


def test_a_curve_is_spelled_as_before() -> None:
    """Tasks that are stored today are read by tomorrow's version."""
    curves: tuple[Backoff, ...] = (Quartic(), Fixed(1.5), Linear(2.0), Exponential(0.1, 60.0))
    assert [curve.spelled() for curve in curves] == [
        "quartic",
        "fixed:1.5",
        "linear:2.0:86400.0",
        "exponential:0.1:60.0:1",
    ]


@pytest.mark.parametrize(
    "text", ["", "cubic", "fixed", "fixed:", "fixed:one", "fixed:1:2", "quartic:1", "linear:1", ":"]
)
def test_other_text_is_no_curve(text: str) -> None:
    """A curve that this version does not know is refused, not guessed."""
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


def test_curves_are_made_from_seconds_and_from_timedeltas() -> None:
    """Both ways to say a duration make the same curve."""
    minute = timedelta(minutes=1)
    assert fixed(60) == fixed(minute) == Fixed(60.0)
    assert linear(60, cap=minute) == linear(minute, cap=60) == Linear(60.0, 60.0)
    assert exponential(minute, cap=60, jitter=False) == Exponential(60.0, 60.0, jitter=False)


def test_a_curve_is_capped_at_a_day_unless_told_otherwise() -> None:
    """The cap of linear and exponential curves is 24 hours."""
    assert linear(1).cap == exponential(1).cap == 86_400.0


@pytest.mark.parametrize("bad", [-1, -0.001, math.nan, math.inf, True, "1", None, timedelta(-1)])
def test_a_delay_that_is_none_is_refused(bad: float) -> None:
    """Negative, endless and foreign values are refused where the curve is made."""
    for make in (fixed, linear, exponential):
        with pytest.raises(InvalidTask, match="expected"):
            make(bad)
    with pytest.raises(InvalidTask, match="the cap is"):
        linear(1, cap=bad)
    with pytest.raises(InvalidTask, match="the cap is"):
        exponential(1, cap=bad)


def test_an_exponential_curve_starts_from_more_than_nothing() -> None:
    """Twice nothing is nothing: a base of zero is refused."""
    with pytest.raises(InvalidTask, match="the base is 0"):
        exponential(0)
