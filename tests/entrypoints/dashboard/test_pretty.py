"""Data and moments as pages show them."""

import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from qcore.domain.queue_limits import Rate
from qcore.entrypoints.dashboard.masking import MASKED
from qcore.entrypoints.dashboard.moments import show
from qcore.entrypoints.dashboard.pretty import MOST_TOKENS, in_one_line, tokens
from qcore.entrypoints.dashboard.render import number, rate, visible
from qcore.testing.builders import NOW
from tests.entrypoints.dashboard.test_masking import plain


def text_of(data: object) -> str:
    """Return data as a page shows them."""
    return "".join(token.text for token in tokens(data))


@given(plain)
def test_plain_data_are_shown_as_json_that_says_the_same(data: Any) -> None:
    """What somebody copies is what the task has."""
    assert json.loads(text_of(data)) == data


@given(plain)
def test_data_in_one_line_say_the_same(data: Any) -> None:
    """As Python writes them, where nothing is cut."""
    assert in_one_line(data, most=10_000) == json.dumps(data, ensure_ascii=False)


@pytest.mark.parametrize("whole", [2**53 + 1, 2**80, -(10**300)])
def test_a_big_whole_number_stays_whole(whole: int) -> None:
    """A view that reads JSON with a script would round it."""
    assert text_of({"id": whole}) == f'{{\n  "id": {whole}\n}}'


@pytest.mark.parametrize(
    "odd",
    [float("nan"), 10**5_000, b"\xff", {1, 2}, object(), {1: {2: 3}}],
    ids=lambda odd: type(odd).__name__,
)
def test_data_that_json_does_not_know_are_shown_all_the_same(odd: object) -> None:
    """No page fails by them."""
    assert text_of(odd)


def test_data_of_very_much_are_cut_and_say_so() -> None:
    """A page has a bound."""
    assert len(tokens(list(range(10 * MOST_TOKENS)))) == MOST_TOKENS + 1
    assert "cut" in text_of([[]] * 10 * MOST_TOKENS)
    assert "characters more" in text_of("x" * 100_000)
    assert len(in_one_line(["x" * 100] * 1_000)) < 200


def test_what_is_masked_stands_apart() -> None:
    """It cannot be taken for a text of the task."""
    assert [token.kind for token in tokens({"a": MASKED, "b": str(MASKED)})].count("masked") == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a\\u202eb"),
        ("a\x00b", "a\\0b"),
        ("\x1b[31m", "\\x1b[31m"),
        ("two\n\tlines", "two\n\tlines"),
        ("\ud800", "\\ud800"),
        ("👩\u200d🔧 ünïcode", "👩\u200d🔧 ünïcode"),
    ],
)
def test_what_cannot_be_seen_is_escaped(text: str, shown: str) -> None:
    """A name that is written from right to left half-way could pass for another."""
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (9_999, "9,999"), (12_345, "12.3k"), (1_234_567, "1.23M")]
)
def test_a_large_number_is_short(value: int, shown: str) -> None:
    """Its title has all of it."""
    assert number(value) == shown


@pytest.mark.parametrize(
    ("limit", "shown"),
    [
        (Rate(600, 60.0), "600/min"),
        (Rate(1_000), "1,000/s"),
        (Rate(5, 0.5), "5 in 0.5 s"),
        (Rate(5, 1.5), "5 in 1.5 s"),
        (Rate(2, 7_200.0), "2 in 7200 s"),
    ],
)
def test_a_rate_is_shown_by_its_unit(limit: Rate, shown: str) -> None:
    """Where there is one."""
    assert rate(limit) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "now"),
        (-90, "1 min 30 s ago"),
        (7_500, "in 2 h 5 min"),
        (-0.5, "now"),
        (-5.25, "5.2 s ago"),
    ],
)
def test_a_moment_is_shown_by_its_distance_and_exactly(seconds: float, shown: str) -> None:
    """The exact one is in the zone of the page, and as machines read it in UTC."""
    found = show(NOW + seconds, NOW, ZoneInfo("Europe/Berlin"))
    assert found.relative == shown
    assert "Jan 2027" in found.exact
    assert "CET (Europe/Berlin)" in found.exact
    assert found.machine.endswith("Z")


@pytest.mark.parametrize("moment", [-1.0, 1e15, float("inf"), float("nan")])
def test_a_moment_that_no_calendar_has_is_a_number(moment: float) -> None:
    """Somebody may have stored it by hand."""
    assert show(moment, NOW, ZoneInfo("UTC")).relative == f"{moment:g}"
