import pytest

from qcore.entrypoints.cli.output import cell
from qcore.entrypoints.written_times import duration, timestamp


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (0.04, "0 s"),
        (0.45, "0.4 s"),
        (9.99, "9.9 s"),
        (10.9, "10 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3_600, "1 h"),
        (3_605, "1 h"),
        (7_380, "2 h 3 min"),
        (86_400, "1 d"),
        (200_000, "2 d 7 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, shown: str) -> None:
    """Cut, not rounded: what is not yet a minute old is not said to be."""
    assert duration(seconds) == shown


def test_a_moment_is_shown_as_rfc_3339_in_utc() -> None:
    """With milliseconds, cut, and always as many digits: they sort as text."""
    assert timestamp(1_800_000_000) == "2027-01-15T08:00:00.000Z"
    assert timestamp(1_800_000_000.5678) == "2027-01-15T08:00:00.567Z"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe: 日本", "größe: 日本"),
        ("a\tb\nc", "a\\tb\\nc"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u202egpj", "\\u202egpj"),
        ("\udc80", "\\udc80"),
    ],
)
def test_a_cell_has_nothing_that_a_terminal_obeys(text: str, shown: str) -> None:
    """Nor what would begin another cell or line."""
    assert cell(text) == shown
