import math
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.domain.errors import InvalidTask
from qcore.domain.run_details import (
    MAX_ERRORS,
    MAX_MESSAGE,
    NO_DETAILS,
    AttemptError,
    Details,
    DetailsUpdate,
    Progress,
    after,
    attempt_error,
    noted,
)
from qcore.domain.transitions import (
    Archived,
    Cancelled,
    Crashed,
    Exhausted,
    Expired,
    Failed,
    Rejected,
    Released,
    Rescheduled,
    Revoked,
    RunNow,
    Snoozed,
    Succeeded,
    Transition,
    Updated,
)
from qcore.testing.builders import NOW, a_lease

HALF = Progress(NOW, 0.5, "half of it")
FULL = Details((AttemptError(NOW, 1, "no"),), HALF, b"so far")


@pytest.mark.parametrize("fraction", [-0.001, 1.001, math.nan, math.inf, "1", None, True])
def test_progress_that_is_no_fraction_is_refused(fraction: Any) -> None:
    """From 0 to 1, and a number: the message shows what it was instead."""
    with pytest.raises(InvalidTask, match=r"progress is .*: expected a number from 0 to 1"):
        DetailsUpdate(a_lease(), Progress(NOW, fraction))


@pytest.mark.parametrize("message", ["x" * (MAX_MESSAGE + 1), b"x", None])
def test_a_message_that_is_no_short_text_is_refused(message: Any) -> None:
    """What a run says is text of a few hundred characters; the message shows some of it."""
    with pytest.raises(InvalidTask, match=f"at most {MAX_MESSAGE} characters") as refused:
        DetailsUpdate(a_lease(), Progress(NOW, 0.5, message))
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("saved", ["text", bytearray(b"x"), 7])
def test_saved_work_that_is_not_bytes_is_refused(saved: Any) -> None:
    """The message says what it was instead."""
    with pytest.raises(InvalidTask, match=f"saved is a {type(saved).__name__}: expected bytes"):
        DetailsUpdate(a_lease(), saved=saved)


@pytest.mark.parametrize("fraction", [0, 0.0, 1, 1.0, 1 / 3])
def test_a_note_at_the_edge_of_its_range_is_good(fraction: float) -> None:
    """Nothing done, all done, a message as long as may be, nothing saved."""
    note = DetailsUpdate(a_lease(), Progress(NOW, fraction, "é" * MAX_MESSAGE), b"")
    assert note.progress is not None
    assert (note.progress.fraction, note.saved) == (fraction, b"")


def test_saved_work_is_not_shown() -> None:
    """It is as much the user's as a payload, and may be as long."""
    assert "secret" not in repr(DetailsUpdate(a_lease(), saved=b"secret"))
    assert "secret" not in repr(Details(saved=b"secret"))


@pytest.mark.parametrize(
    "event",
    [
        Failed("no", NOW + 9, worker="w", traceback="there"),
        Failed("no", NOW + 9, burns=False, worker="w", traceback="there"),
        Exhausted("no", worker="w", traceback="there"),
        Rejected("no", worker="w", traceback="there"),
        Crashed("no", worker="w", traceback="there"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_went_wrong_is_a_fault(event: Transition) -> None:
    """It says when, which attempt it was, what, who and where."""
    assert attempt_error(event, 3, NOW) == AttemptError(NOW, 3, "no", "w", "there")


@pytest.mark.parametrize(
    "event",
    [
        Succeeded(),
        Revoked(),
        Snoozed(NOW),
        Released(),
        Cancelled(),
        Expired(),
        Archived(),
        RunNow(),
        Rescheduled(NOW),
        Updated({}),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_is_nobodys_mistake_is_no_fault(event: Transition) -> None:
    """What is kept of the task stays as it is, as the same object."""
    assert attempt_error(event, 3, NOW) is None
    assert after(FULL, event, 3, NOW) is FULL
    assert after(NO_DETAILS, event, 3, NOW) is NO_DETAILS


def test_a_fault_leaves_what_was_noted() -> None:
    """Progress and saved work are for the next attempt."""
    found = after(FULL, Failed("again", NOW + 9), 2, NOW + 1)
    faults = (AttemptError(NOW, 1, "no"), AttemptError(NOW + 1, 2, "again"))
    assert found == Details(faults, HALF, b"so far")


@given(st.integers(0, 3 * MAX_ERRORS))
def test_the_last_faults_are_kept_the_oldest_first(number: int) -> None:
    """However many there are, and in their order."""
    found = failed(NO_DETAILS, range(number))
    kept = range(max(0, number - MAX_ERRORS), number)
    assert found.errors == tuple(AttemptError(NOW + n, n, f"no {n}") for n in kept)


def failed(details: Details, attempts: Iterable[int]) -> Details:
    """Return what is kept of a task that has failed so often."""
    for n in attempts:
        details = after(details, Failed(f"no {n}", NOW), n, NOW + n)
    return details


WHOLE = Progress(NOW + 1, 1.0)


@pytest.mark.parametrize(
    ("note", "found"),
    [
        (DetailsUpdate(a_lease()), FULL),
        (DetailsUpdate(a_lease(), WHOLE), Details(FULL.errors, WHOLE, b"so far")),
        (DetailsUpdate(a_lease(), saved=b"more"), Details(FULL.errors, HALF, b"more")),
        (DetailsUpdate(a_lease(), saved=b""), Details(FULL.errors, HALF, b"")),
        (DetailsUpdate(a_lease(), WHOLE, b"more"), Details(FULL.errors, WHOLE, b"more")),
    ],
    ids=["nothing", "progress", "work", "no work", "both"],
)
def test_a_note_replaces_what_it_has(note: DetailsUpdate, found: Details) -> None:
    """What it does not have, and every error, stays as it is."""
    assert noted(FULL, note) == found
