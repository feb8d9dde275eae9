"""Cron expressions as values: what is equal, stored, described, warned of and refused."""

import pickle
import re
import warnings

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore import Cron, InvalidOption
from qcore.schedules import AmbiguousDays, Every, schedule_from
from tests.domain.schedules.walk import EXPRESSIONS, ZONES, Known

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def test_it_is_a_value() -> None:
    """Blanks between fields and what is warned of are no part of it."""
    cron = Cron("0 9 * * 1-5", "Europe/Berlin")
    assert cron == Cron("  0  9 * * 1-5 ", tz="Europe/Berlin", warn=False)
    assert len({cron, Cron("0 9 * * 1-5", "Europe/Berlin")}) == 1
    assert cron != Cron("0 9 * * 1-5")
    assert Cron("@daily", seconds=True) != Cron("@daily")
    assert repr(cron) == "Cron(expression='0 9 * * 1-5', tz='Europe/Berlin', seconds=False)"
    assert attrs.evolve(cron, tz="UTC") == Cron("0 9 * * 1-5")
    assert pickle.loads(pickle.dumps(cron)).after(0.0) == cron.after(0.0)  # noqa: S301  (our own)


@given(EXPRESSIONS, st.sampled_from(ZONES), st.sampled_from(["", "5/7 "]))
def test_it_is_read_back_as_it_was_stored(expression: Known, zone: str, second: str) -> None:
    """Its text says all of it, and reading it warns nobody."""
    cron = Cron(second + expression.text, zone, seconds=bool(second), warn=False)
    again = schedule_from(cron.spelled())
    assert again == cron
    assert again.spelled() == cron.spelled()
    assert again.after(1.7e9) == cron.after(1.7e9)


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("0 9 * * 1-5", Cron("0 9 * * 1-5")),
        (" @daily ", Cron("@daily")),
        ("CRON_TZ=Europe/Berlin 0 9 * * 1-5", Cron("0 9 * * 1-5", "Europe/Berlin")),
        ("TZ=Asia/Tokyo  @daily", Cron("@daily", "Asia/Tokyo")),
        ("CRON_TZ=UTC CRON_SECONDS=1 0 0 9 * * 1-5", Cron("0 0 9 * * 1-5", seconds=True)),
        ("@every 30s", Every(30)),
    ],
)
def test_texts_that_people_write(text: str, schedule: Cron | Every) -> None:
    """An expression, with its zone before it as in a crontab, or elapsed time."""
    assert schedule_from(text) == schedule


def test_a_zone_beside_the_text_is_for_texts_without_one() -> None:
    """What is declared with `tz` may be any of the texts."""
    assert schedule_from("0 9 * * *", "Asia/Tokyo") == Cron("0 9 * * *", "Asia/Tokyo")
    assert schedule_from("TZ=UTC 0 9 * * *", "Asia/Tokyo") == Cron("0 9 * * *")
    assert schedule_from("@every 1h", "Asia/Tokyo") == Every(3_600)


@pytest.mark.parametrize("text", ["", "CRON_TZ=UTC", "cron:UTC:0 9 * * *", "@solar sunset", 5])
def test_a_text_of_another_kind_is_refused(text: str) -> None:
    """As one that a later version has stored: nobody guesses at it."""
    with pytest.raises(InvalidOption, match=r"the (expression|schedule|minute)"):
        schedule_from(text)


@pytest.mark.parametrize(("name", "expression"), NICKNAMES.items())
def test_a_nickname_ticks_as_its_expression(name: str, expression: str) -> None:
    """However it is written."""
    assert Cron(name.upper(), "Africa/Cairo").after(1.7e9) == Cron(
        expression, "Africa/Cairo"
    ).after(1.7e9)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 9 * * 1-5", "at 09:00, Monday to Friday"),
        ("0 9,17 * * *", "at 09:00 and 17:00, every day"),
        ("*/20 2 * * *", "at 02:00, 02:20 and 02:40, every day"),
        ("* * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("*/5 9-17 * * mon-fri", "every 5 minutes of hours 9 to 17, Monday to Friday"),
        ("*/25 * * * *", "at minutes 0, 25 and 50 of every hour"),
        ("@hourly", "at minute 0 of every hour"),
        ("0 */2 * * *", "at minute 0 of every 2nd hour, every day"),
        ("0 0 * * sat-mon", "at 00:00, Monday, Saturday and Sunday"),
        ("0 0 1,15,L * *", "at 00:00, on the 1st and 15th and the last day of the month"),
        ("0 0 1-7,22 * *", "at 00:00, on the 1st to 7th and 22nd of the month"),
        ("0 0 */3 * *", "at 00:00, on every 3rd day of the month from the 1st"),
        ("0 0 15W * *", "at 00:00, on the weekday nearest to the 15th of the month"),
        ("0 0 * * 2#3,L5", "at 00:00, the third Tuesday and last Friday of the month"),
        ("0 0 1 1,3-5 *", "at 00:00, on the 1st of the month, in January and March to May"),
        ("0 0 13 * 5", "at 00:00, on the 13th of the month or on Friday"),
        (
            "0 0 */2 * 1",
            "at 00:00, on every 2nd day of the month from the 1st where that is Monday",
        ),
        ("0 0 1-31 * 1", "at 00:00, on every day of the month or on Monday"),
    ],
)
def test_an_expression_in_words(expression: str, words: str) -> None:
    """No shorter than what it means."""
    assert Cron(expression, "Asia/Tokyo", warn=False).describe() == f"{words}, Asia/Tokyo"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("*/10 * * * * *", "every 10 seconds"),
        ("5 * * * * *", "at second 5 of every minute"),
        ("30 0 9 * * 1-5", "at 09:00:30, Monday to Friday"),
        ("0 */5 * * * *", "every 5 minutes"),
        ("30 */5 * * * *", "at second 30 of every 5th minute"),
        ("* 0 * * * *", "every second of minute 0 of every hour"),
    ],
)
def test_an_expression_of_seconds_in_words(expression: str, words: str) -> None:
    """Seconds are told where there are any."""
    assert Cron(expression, seconds=True).describe() == f"{words}, UTC"


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("0 0 13 * 5", "'0 0 13 * 5' ticks on the 13th of the month or on Friday: two restricted"),
        ("0 0 1-31 * 1", "ticks on every day of the month or on Monday: two restricted"),
        ("0 0 */2 * 1", "where that is Monday: day fields are joined by and where one begins with"),
        ("0 0 1 * */2", "joined by and"),
    ],
)
def test_both_day_fields_are_warned_of(expression: str, why: str) -> None:
    """Somebody could mean the other: where it is declared, unless it says that it is meant."""
    with pytest.warns(AmbiguousDays, match=re.escape(why)) as warned:
        Cron(expression)
    assert [each.filename for each in warned] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Cron(expression, warn=False).after(0.0) == schedule_from(expression).after(0.0)
    with pytest.warns(AmbiguousDays):
        schedule_from(expression, warn=True)


@pytest.mark.parametrize("expression", ["0 0 */1 * 1", "0 0 ? * 1", "0 0 13 * *", "0 0 13 * ?"])
def test_one_day_field_is_no_reason_to_warn(expression: str) -> None:
    """A field of every day that begins with `*` restricts nothing, however both are joined."""
    assert Cron(expression).after(0.0)  # warnings are errors here


FIELDS = [
    ("61 * * * *", "minute", "61", "0 to 59"),
    ("* 25 * * *", "hour", "25", "0 to 23"),
    ("* * 0 * *", "day of month", "0", "1 to 31"),
    ("* * * 13 *", "month", "13", "1 to 12, or jan to dec"),
    ("* * * * 8", "day of week", "8", "0 to 7, or sun to sat"),
    ("* * * * monday", "day of week", "monday", "0 to 7, or sun to sat"),
    ("* * * mon *", "month", "mon", "1 to 12, or jan to dec"),
    ("0,5-61 * * * *", "minute", "61", "0 to 59"),
    ("1,,2 * * * *", "minute", "", "0 to 59"),
    ("-5 * * * *", "minute", "-5", "0 to 59"),
    ("1-2-3 * * * *", "minute", "1-2-3", "0 to 59"),
    ("1.5 * * * *", "minute", "1.5", "0 to 59"),
    ("* * ?/2 * *", "day of month", "?/2", "1 to 31"),
    ("? * * * *", "minute", "?", "0 to 59"),
    ("H * * * *", "minute", "H", "what R and H choose"),
    ("* r(1-5)/2 * * *", "hour", "r(1-5)/2", "what R and H choose"),
    ("*/0 * * * *", "minute", "/0", "a step of 1 to 60"),
    ("*/90 * * * *", "minute", "/90", "elapsed time is another thing"),
    ("*/ * * * *", "minute", "/", "a step of 1 to 60"),
    ("* * 15W,3 * *", "day of month", "15W,3", "W behind one day of 1 to 31"),
    ("* * LW * *", "day of month", "LW", "W behind one day of 1 to 31"),
    ("* * 32W * *", "day of month", "32W", "W behind one day of 1 to 31"),
    ("* * L-3 * *", "day of month", "L", "1 to 31"),
    ("* * * * 2#6", "day of week", "2#6", "# and 1 to 5 behind a day"),
    ("* * * * 1,2#3", "day of week", "1", "of all days of a list"),
    ("* * * * L", "day of week", "L", "# and 1 to 5 behind a day"),
    ("* * * * L9", "day of week", "9", "0 to 7"),
    ("٣ * * * *", "minute", "٣", "0 to 59"),
    ("9" * 900 + " * * * *", "minute", "999", "0 to 59"),
]


@pytest.mark.parametrize(("expression", "title", "found", "expected"), FIELDS)
def test_a_field_is_refused(expression: str, title: str, found: str, expected: str) -> None:
    """With its name, what was found in it and what was expected, in one line."""
    with pytest.raises(InvalidOption) as refused:
        Cron(expression)
    message = str(refused.value)
    assert message.startswith(f"the {title} of ")
    assert f" has '{found}" in message
    assert f": expected {expected}" in message or expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "has 0 fields: expected 5"),
        ("* * * *", "has 4 fields: expected 5 (minute, hour, day of month, month, day of week)"),
        ("* * * * * *", "has 6 fields: expected 5"),
        ("* * * * * *", "seconds first are for seconds=True"),
        ("* * * * * * *", "has 7 fields: expected 5"),
        ("@reboot", "it names no time"),
        ("@every 5m", "`Every` of qcore.schedules"),
        ("@fortnightly", "expected one of @yearly"),
        ("@daily 5", "expected one of @yearly"),
        ("0 0 31 2 *", "never ticks"),
        ("0 0 30-31 feb *", "never ticks"),
        ("0 0 31 4,6,9,11 *", "never ticks"),
        ("0 0 15W * 1", "the day of month of '0 0 15W * 1' is '15W' and the day of week '1'"),
        ("0 0 1 * 2#3", "expected * for one of them"),
        ("0 0 1-31 * 2#3", "expected * for one of them"),
        ("0 0 */2 * L5", "expected * for one of them"),
        ("*," * 600 + "* * * * *", "(1209 characters): expected at most 1,000 characters"),
        (None, "the expression is None: expected a str"),
    ],
)
def test_an_expression_is_refused(expression: str, why: str) -> None:
    """With the reason, in one line."""
    with pytest.raises(InvalidOption) as refused:
        Cron(expression)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_six_fields_are_asked_for_and_given() -> None:
    """Neither number of fields is taken for the other."""
    with pytest.raises(InvalidOption, match=r"has 5 fields: expected 6 \(second, minute,"):
        Cron("0 9 * * *", seconds=True)
    with pytest.raises(InvalidOption, match=r"the second of .* has '60': expected 0 to 59"):
        Cron("60 0 9 * * *", seconds=True)


@pytest.mark.parametrize(
    ("zone", "why"),
    [
        ("Europe/Berln", "did you mean 'Europe/Berlin'?"),
        ("Mars/Olympus", "such as 'Europe/Berlin'"),
        ("", "such as 'Europe/Berlin'"),
        ("Europe", "expected a name of the IANA time zone database"),
        ("../zone", "expected a name of the IANA time zone database"),
        ("/etc/localtime", "expected a name of the IANA time zone database"),
        ("Europe/Berlin\0", "expected a name of the IANA time zone database"),
        ("localtime", "expected a name of the IANA time zone database"),
        ("right/Europe/Berlin", "expected a name of the IANA time zone database"),
        (3, "tz is 3: expected a str"),
        (None, "tz is None: expected a str"),
    ],
)
def test_a_zone_is_refused(zone: str, why: str) -> None:
    """One that is unknown, and one that means another zone on each machine."""
    with pytest.raises(InvalidOption) as refused:
        Cron("0 9 * * *", zone)
    assert str(refused.value).startswith("tz is ")
    assert why in str(refused.value)
