import math
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve, fields
from hypothesis import given
from hypothesis import strategies as st

from qcore.domain.errors import InvalidTask
from qcore.domain.moments import LAST_MOMENT
from qcore.domain.new_task import CHANGEABLE, FIELDS, MAX_BUDGET, NewTask
from qcore.domain.task import changed, updated
from qcore.testing.builders import NOW, a_stored_task, a_task

REFUSED: list[tuple[str, object]] = [
    *((option, bad) for option in ("name", "id", "queue", "content_type", "group", "backoff")
      for bad in ("", " ", "\t", "a\nb", "a\0b", "a\x7fb", "\ud800", "x" * 257, 7, b"x", True)),
    *((option, None) for option in ("name", "id", "queue", "content_type")),
    *((option, bad) for option in ("id", "queue") for bad in ("a b", " a", "a ")),
    *(("queue", bad) for bad in ("{a}", "a{", "}", "x" * 129)),
    *(("priority", bad) for bad in (-1001, 1001, 0.0, 1.5, "1", None, True, False, math.nan)),
    *(("max_retry", bad) for bad in (-1, MAX_BUDGET + 1, 1.0, "1", None, True)),
    *(("max_crashes", bad) for bad in (0, -1, MAX_BUDGET + 1, 1.0, None, True)),
    *(("timeout", bad) for bad in (0, 0.0, -1, math.nan, math.inf, LAST_MOMENT * 2)),
    *(("retention", bad) for bad in (-1, -0.001, math.nan, math.inf, LAST_MOMENT * 2)),
    *((option, bad) for option in ("due", "deadline", "expires")
      for bad in (-1, -0.001, math.nan, math.inf, -math.inf, LAST_MOMENT + 1)),
    *(("payload", bad) for bad in ("text", None, bytearray(b"x"), 7)),
]  # fmt: skip


@pytest.mark.parametrize(("option", "bad"), REFUSED, ids=lambda value: ascii(value)[:40])
def test_a_bad_value_is_refused_by_name(option: str, bad: object) -> None:
    """The message names the option, and shows the value or what it is."""
    given_: Mapping[str, object] = {"name": "n", "id": "i", option: bad}
    with pytest.raises(InvalidTask) as refused:
        NewTask(**given_)  # type: ignore[arg-type]
    message = str(refused.value)
    assert message.startswith(f"{option} is ")
    assert any(shown in message for shown in (repr(bad), repr(bad)[1:50], type(bad).__name__))


@pytest.mark.parametrize(
    ("key", "value"), [("a", 1), (1, "a"), ("a", None), ("\ud800", ""), ("a", "\udfff")]
)
def test_a_bad_header_is_refused_by_name(key: str, value: str) -> None:
    """The message shows the header's name and its value."""
    with pytest.raises(InvalidTask) as refused:
        a_task(headers={"good": "one", key: value})
    assert str(refused.value).startswith(f"header {key!r} is {value!r}: ")


def test_an_over_long_value_is_shown_in_part() -> None:
    """The message about a text of a megabyte is short, and says how long the text is."""
    with pytest.raises(InvalidTask, match=r"\(1000000 characters\)") as refused:
        a_task(name="x" * 1_000_000)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("expires", [NOW, NOW - 1])
def test_a_task_cannot_expire_before_it_is_due(expires: float) -> None:
    """A task that could never start is refused, with both moments."""
    with pytest.raises(InvalidTask, match=r"expires .* is not after due"):
        a_task(due=NOW, expires=expires)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("name", "x" * 256),
        ("name", "with blanks – and 任务"),
        ("id", "x" * 256),
        ("id", "\U0001f600"),
        ("queue", "x" * 128),
        ("queue", "a:b.c/d-e_f%*"),
        ("priority", -1000),
        ("priority", 1000),
        ("max_retry", 0),
        ("max_retry", MAX_BUDGET),
        ("max_crashes", 1),
        ("timeout", None),
        ("timeout", 0.001),
        ("retention", 0),
        ("due", 0),
        ("due", LAST_MOMENT),
        ("expires", LAST_MOMENT),
        ("payload", b""),
        ("headers", {"": ""}),
        ("group", "a group"),
    ],
)
def test_a_value_at_the_edge_of_its_range_is_good(option: str, value: object) -> None:
    """The first and the last value of each range are accepted as they are."""
    task = a_task(**{option: value})  # type: ignore[typeddict-item]
    assert getattr(task, option) == value


@pytest.mark.parametrize(
    ("deadline", "timeout"), [(None, 1_800.0), (NOW, None)], ids=["no deadline", "a deadline"]
)
def test_a_run_is_bounded_unless_somebody_says_otherwise(
    deadline: float | None, timeout: float | None
) -> None:
    """Half an hour if neither a timeout nor a deadline is set; a deadline bounds it already."""
    assert NewTask("n", "i", deadline=deadline).timeout == timeout


def test_a_timeout_and_a_deadline_may_both_be_set() -> None:
    """Neither puts the other out; the earlier of the two will count."""
    task = a_task(deadline=NOW, timeout=5)
    assert (task.deadline, task.timeout) == (NOW, 5)


WORDS = st.text(max_size=300)


@given(
    name=WORDS,
    id=WORDS,
    queue=WORDS,
    content_type=WORDS,
    group=st.none() | WORDS,
    backoff=st.none() | WORDS,
    headers=st.dictionaries(st.text(st.characters()), st.text(st.characters()), max_size=2),
)
def test_any_task_that_is_accepted_can_be_written_down(**options: object) -> None:
    """Text that goes into a task is refused, or has a form in UTF-8 without a zero in it."""
    try:
        task = NewTask(**options)  # type: ignore[arg-type]
    except InvalidTask:
        return
    words = (task.name, task.id, task.queue, task.content_type, task.group, task.backoff)
    for text in words:
        assert "\0" not in (text or "")
        (text or "").encode()
    for pair in task.headers.items():
        "".join(pair).encode()


def test_a_stored_task_is_called_as_it_was_asked_for() -> None:
    """Id, name and queue of a stored task are those of its spec."""
    task = a_stored_task(a_task(id="i", name="n", queue="q"))
    assert (task.id, task.name, task.queue) == ("i", "n", "q")


CHANGES: dict[str, Any] = {name: FIELDS[name].examples[0] for name in sorted(CHANGEABLE)}
"""Another value for all that may be changed."""


def test_what_may_be_changed_says_neither_which_task_it_is_nor_when_it_is_due() -> None:
    """It is some of the task's fields."""
    assert CHANGEABLE.issubset(each.name for each in fields(NewTask))
    assert CHANGEABLE.isdisjoint({"id", "name", "queue", "due", "group", "unique_key"})


@pytest.mark.parametrize("field", sorted(CHANGEABLE))
def test_a_change_is_of_one_field_alone(field: str) -> None:
    """The task that comes of it is the same in all else, and the first is as it was."""
    task = a_task(due=NOW + 5, unique_key="k", unique_for=9.0, group="g", headers={"c": "d"})
    before = evolve(task)
    made = changed(task, updated(**{field: CHANGES[field]}))
    assert made == evolve(before, **{field: CHANGES[field]})
    assert task == before


def test_all_can_be_changed_at_once() -> None:
    """Or nothing at all: the order may be empty."""
    task = a_task()
    assert changed(task, updated(**CHANGES)) == evolve(task, **CHANGES)
    assert changed(task, updated()) == task


@pytest.mark.parametrize("field", ["id", "name", "queue", "due", "group", "unique_key", "colour"])
def test_what_cannot_be_changed_is_refused_by_name(field: str) -> None:
    """The message names it, and what can be changed."""
    with pytest.raises(InvalidTask, match=f"{field} cannot be changed: expected .*payload"):
        updated(**{field: "x", "priority": 1})


@pytest.mark.parametrize(
    ("option", "bad"), [(option, bad) for option, bad in REFUSED if option in CHANGEABLE]
)
def test_a_bad_change_is_refused_as_in_a_new_task(option: str, bad: object) -> None:
    """Before any broker hears of it."""
    with pytest.raises(InvalidTask, match=f"^{option} is "):
        updated(**{option: bad})


def test_a_change_may_let_a_task_expire_before_it_is_due() -> None:
    """It is not checked against the task: that will be dead when its moment comes."""
    made = changed(a_task(due=NOW + 5), updated(expires=NOW + 1))
    assert (made.due, made.expires) == (NOW + 5, NOW + 1)
