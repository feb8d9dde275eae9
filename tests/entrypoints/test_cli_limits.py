from collections.abc import Iterator
from pathlib import Path

import pytest

from qcore import Qcore
from qcore.testing import a_task
from tests.entrypoints.cli_kit import a_store_in, cells_of, document_of, invoke


@pytest.fixture(autouse=True)
def q(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Qcore]:
    """Work in a folder with a store that has tasks in two queues."""
    with a_store_in(tmp_path, monkeypatch) as made:
        for queue in ("low", "mail"):
            made.blocking.enqueue(a_task(queue=queue))
        yield made


def test_the_queues_with_limits_are_listed(q: Qcore) -> None:
    """And no others."""
    assert document_of("limits") == {"queues": []}
    q.blocking_inspector.limit_rate("mail", "100/min")
    q.blocking_inspector.pause("low")
    assert cells_of("limits") == [["low", "paused"], ["mail", "100 in 60 s"]]
    assert [*q.blocking_inspector.limited_queues()] == ["low", "mail"]


def test_a_queue_that_is_empty_is_listed_by_its_limits() -> None:
    """What was paused before its first task is not forgotten by who paused it."""
    invoke("limits", "pause", "new")
    assert cells_of("limits") == [["new", "paused"]]
    invoke("limits", "resume", "new")
    assert cells_of("limits") == []


def test_limits_are_set_and_shown() -> None:
    """Of several queues in a call; one that is not named stays."""
    set_both = cells_of("limits", "set", "mail", "low", "--rate", "5/s", "--in-flight", "3")
    assert set_both == [["mail", "5 in 1 s, 3 at a time"], ["low", "5 in 1 s, 3 at a time"]]
    assert cells_of("limits", "set", "mail", "--rate", "none") == [["mail", "3 at a time"]]
    [shown, other] = document_of("limits", "show", "mail", "other")["queues"]
    assert shown["limits"] == {"paused": False, "rate": None, "in_flight": 3}
    assert other["limits"] == {"paused": False, "rate": None, "in_flight": None}


def test_limits_are_cleared_and_a_pause_is_ended_by_itself() -> None:
    """To lift a rate is not to let go of a queue that somebody holds."""
    invoke("limits", "set", "mail", "--rate", "5/s", "--in-flight", "3")
    assert cells_of("limits", "pause", "mail") == [["mail", "paused, 5 in 1 s, 3 at a time"]]
    assert cells_of("limits", "clear", "mail") == [["mail", "paused"]]
    assert cells_of("limits", "resume", "mail") == [["mail", "-"]]
    assert cells_of("limits") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mail"], "expected --rate, --in-flight, or both"),
        (["mail", "--rate", "x"], "a rate is 'x': expected"),
        (["mail", "--in-flight", "0"], "in_flight is 0: expected"),
        (["mail", "--in-flight", "x"], "--in-flight 'x': expected a whole number from 1, or none"),
    ],
)
def test_a_limit_that_makes_no_sense_is_named(arguments: list[str], said: str) -> None:
    """And nothing is changed."""
    result = invoke("limits", "set", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert cells_of("limits") == []


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["pause", "mail"], ["pause queue: queue 'mail', by ann: full"]),
        (["resume", "mail"], ["resume queue: queue 'mail', by ann: full"]),
        (
            ["set", "mail", "--rate", "5/s", "--in-flight", "3"],
            [
                "limit rate: queue 'mail', 5 in 1 s, by ann: full",
                "limit in flight: queue 'mail', 3, by ann: full",
            ],
        ),
        (
            ["clear", "mail"],
            [
                "limit rate: queue 'mail', none, by ann: full",
                "limit in flight: queue 'mail', none, by ann: full",
            ],
        ),
    ],
)
def test_who_limits_a_queue_and_why_is_a_line_for_a_log(
    arguments: list[str], lines: list[str]
) -> None:
    """On standard error, one for each change; what is only looked at leaves none."""
    said = invoke("limits", *arguments, "--by", "ann", "--reason", "full").stderr
    assert [line.split(" ", 1)[1] for line in said.splitlines()] == lines
    assert invoke("limits", "show", "mail").stderr == ""
