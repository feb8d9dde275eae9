import pytest

from qcore.domain.errors import InvalidTask
from qcore.domain.groups import MAX_MEMBERS, Group, Stale, check_aggregate
from qcore.testing.builders import NOW, a_task


@pytest.mark.parametrize("members", [0, 1, MAX_MEMBERS])
def test_members_can_become_one_task_of_their_queue(members: int) -> None:
    """Whether they wait is a broker's question, and with none of them they do not."""
    check_aggregate("b", ["x"] * members, a_task(queue="b"))


def test_no_more_become_one_than_may() -> None:
    """The message says how many they are, and how many they may be."""
    with pytest.raises(InvalidTask, match=r"1,001 tasks for one: expected at most 1,000"):
        check_aggregate("default", ["x"] * (MAX_MEMBERS + 1), a_task())


def test_members_become_a_task_of_the_same_queue() -> None:
    """The message names it, its queue and theirs."""
    with pytest.raises(InvalidTask, match=r"mail:all is for the queue 'a': .* 'b'"):
        check_aggregate("b", ["x"], a_task(name="mail:all", queue="a"))


def test_what_they_become_waits_in_no_group() -> None:
    """Or it would be aggregated again, and for ever."""
    with pytest.raises(InvalidTask, match="mail:all has the group 'g': expected none"):
        check_aggregate("default", ["x"], a_task(name="mail:all", group="g"))


def test_a_group_is_told_by_what_it_is() -> None:
    """Two that are the same are equal, and so is one who came too late."""
    assert Group("b", "g", 2, NOW, NOW + 1) == Group("b", "g", 2, NOW, NOW + 1)
    assert Stale() == Stale()
