import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.domain.origin import ORIGIN, Origin, OriginKind, origin_in, with_origin
from qcore.domain.periodic.tick import Tick, with_tick
from qcore.testing.builders import NOW, a_task

WORDS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1)


@given(queue=WORDS, name=WORDS, kind=st.sampled_from([OriginKind.AFTER, OriginKind.AGAIN]))
def test_a_task_tells_the_task_that_it_came_from(queue: str, name: str, kind: OriginKind) -> None:
    """Whatever its queue and its id are; other headers stay."""
    origin = Origin(kind, queue, name)
    task = with_origin(a_task(headers={"a": "b"}), origin)
    assert origin_in(task.headers, "default") == origin
    assert origin.task == name
    assert task.headers["a"] == "b"


@given(name=st.lists(WORDS, min_size=1).map(" ".join), members=st.integers(1, 1_000))
def test_a_task_tells_the_group_that_it_came_from(name: str, members: int) -> None:
    """The name of a group may have blanks."""
    origin = Origin(OriginKind.GROUP, "mail", name, members)
    assert origin_in(with_origin(a_task(), origin).headers, "default") == origin
    assert origin.task is None


def test_a_task_tells_the_entry_that_it_came_from() -> None:
    """By the tick that it is for anyway."""
    headers = with_tick({}, Tick("daily", NOW, 0.0, is_late=False))
    assert origin_in(headers, "mail") == Origin(OriginKind.TICK, "mail", "daily")


@pytest.mark.parametrize(
    "text",
    [
        *("", "after", "after q", "after q ", "after  id", "before q id", "tick q x"),
        *("group q x g", "group q 3", "group q 3 ", "group q ² g", f"group q {'9' * 5_000} g"),
    ],
)
def test_a_header_that_says_something_else_is_no_origin(text: str) -> None:
    """Anybody may set a header of that name."""
    assert origin_in({ORIGIN: text}, "default") is None
