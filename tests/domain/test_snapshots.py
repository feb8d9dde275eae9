from typing import Any

import pytest
from attrs import evolve

from qcore.domain.errors import InvalidTask
from qcore.domain.run_details import AttemptError, Details, Progress
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.testing.builders import NOW, a_stored_task

BAD: list[tuple[dict[str, Any], str]] = [
    ({"state": State.GONE}, "state is gone: expected that of a task that is stored"),
    ({"attempts": -1}, "attempts is -1: expected a whole number from 0"),
    ({"failures": 1.0}, "failures is 1.0: expected a whole number"),
    ({"crashes": True}, "crashes is True: expected a whole number"),
    ({"created": float("nan")}, "created is nan: expected epoch seconds"),
    ({"due": -1.0}, "due is -1.0: expected epoch seconds"),
    ({"unhandled_since": "now"}, "unhandled_since is 'now': expected epoch seconds"),
    ({"error": "a \ud800"}, r"error is 'a \\ud800': expected text that UTF-8 can say"),
    ({"error": b"no"}, "error is b'no': expected text"),
    ({"result": "42"}, "result is a str: expected bytes"),
    ({"result_type": ""}, "result_type is '': expected 1 to 256"),
    ({"finished": NOW}, "expected None, as it is pending"),
    ({"state": State.DEAD}, "finished is None: expected when it ended, as it is dead"),
    ({"state": State.AGGREGATING}, "group is None: expected that in which it waits"),
]
FAULT = AttemptError(NOW, 1, "no")
BAD_DETAILS: list[tuple[dict[str, Any], str]] = [
    ({"errors": (FAULT,) * 11}, "errors are 11: expected the last 10"),
    ({"errors": (evolve(FAULT, attempt=-1),)}, "the attempt of an error is -1"),
    ({"errors": (evolve(FAULT, at=1e99),)}, "the moment of an error is 1e\\+99"),
    ({"errors": (evolve(FAULT, worker="\ud800"),)}, "the worker of an error is"),
    ({"progress": Progress(NOW, 1.5)}, "progress is 1.5: expected a number from 0 to 1"),
    ({"progress": Progress(NOW, 1, "x" * 501)}, "the message of progress is"),
    ({"saved": "so far"}, "saved is a str: expected bytes"),
]


@pytest.mark.parametrize(("change", "said"), BAD, ids=lambda each: str(each)[:30])
def test_what_no_task_can_be_is_refused(change: dict[str, Any], said: str) -> None:
    """The message says which value it is, and what was expected."""
    with pytest.raises(InvalidTask, match=said):
        TaskSnapshot(evolve(a_stored_task(), **change))


@pytest.mark.parametrize(("change", "said"), BAD_DETAILS, ids=lambda each: str(each)[:30])
def test_details_of_no_run_are_refused(change: dict[str, Any], said: str) -> None:
    """Whatever of them it is."""
    with pytest.raises(InvalidTask, match=said):
        TaskSnapshot(a_stored_task(), evolve(Details(), **change))
