import pytest

from qcore.testing.builders import a_demand, a_task, some_tasks
from qcore.testing.dice import ScriptedDice, fair_dice


def test_scripted_dice_roll_what_was_written() -> None:
    """The rolls come in the order given, and what was not rolled is left."""
    dice = ScriptedDice(0.25, 0.0, 0.75)
    assert [dice(), dice()] == [0.25, 0.0]
    assert dice.left == 1


def test_scripted_dice_that_run_out_say_so() -> None:
    """A roll beyond the script is an error that shows the script."""
    dice = ScriptedDice(0.5)
    dice()
    with pytest.raises(AssertionError, match=r"more often than the 1 times scripted: \(0.5,\)"):
        dice()


@pytest.mark.parametrize("roll", [-0.1, 1.0, 2])
def test_scripted_dice_refuse_what_no_dice_roll(roll: float) -> None:
    """A roll is from zero up to one, without one itself."""
    with pytest.raises(ValueError, match="is no roll"):
        ScriptedDice(roll)


def test_fair_dice_roll_the_same_for_the_same_seed() -> None:
    """A seed makes a test that failed fail again."""
    one, same, other = fair_dice(1), fair_dice(1), fair_dice(2)
    rolls = [one() for _ in range(100)]
    assert rolls == [same() for _ in range(100)] != [other() for _ in range(100)]
    assert all(0 <= roll < 1 for roll in rolls)


def test_built_tasks_differ_in_their_ids_alone() -> None:
    """A builder fills in what a test does not say, and gives each task an id of its own."""
    tasks = some_tasks(3, priority=5)
    assert len({task.id for task in tasks}) == 3
    assert {(task.name, task.queue, task.priority) for task in tasks} == {
        ("test:task", "default", 5)
    }
    assert a_task(id="mine").id == "mine"


def test_a_demand_is_for_the_default_queue_unless_others_are_named() -> None:
    """Quotas that are named are the demand's own."""
    assert dict(a_demand(7).quotas) == {"default": 7}
    assert dict(a_demand(7, mail=3).quotas) == {"mail": 3}
