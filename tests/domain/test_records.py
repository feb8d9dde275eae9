"""Records, errors and events: the shapes that everything else is made of."""

import pytest
from attrs import evolve, fields, has

from qcore.domain import answers, errors, events, lifecycle, run_details, task
from qcore.domain.errors import InvalidOption, InvalidTask, QcoreError
from qcore.domain.record import record
from qcore.testing.builders import a_claim, a_demand, a_lease, a_stored_task, a_task


@record
class Point:
    x: int
    y: int = 0


def test_a_record_is_a_value() -> None:
    """Records with equal fields are equal, hash alike, and have no room for other fields."""
    assert Point(1) == Point(1, 0) != Point(2)
    assert len({Point(1), Point(1), Point(2)}) == 2
    assert repr(Point(1)) == "Point(x=1, y=0)"
    with pytest.raises(AttributeError):
        Point(1).z = 3  # type: ignore[attr-defined]


def test_a_record_is_evolved_into_another() -> None:
    """`attrs.evolve` leaves the first as it was, and checks the second."""
    first = a_task()
    assert evolve(first, priority=5).priority == 5
    assert first.priority == 0
    with pytest.raises(InvalidTask, match="priority is 9999"):
        evolve(first, priority=9_999)


def test_what_a_broker_is_given_and_gives_can_be_hashed() -> None:
    """Tasks, claims, leases and demands can be members of sets, mappings in them and all."""
    values = [a_task(headers={"a": "b"}), a_stored_task(), a_claim(), a_lease(), a_demand(3)]
    assert len({*values}) == 5


@pytest.mark.parametrize("module", [answers, task, lifecycle, events, run_details])
def test_every_noun_transition_and_event_is_a_record_with_a_docstring(module: object) -> None:
    """They are all attrs classes with slots, and each says what it is."""
    kinds = [k for k in vars(module).values() if isinstance(k, type) and has(k)]
    assert len(kinds) > 5
    for kind in kinds:
        assert kind.__doc__
        assert "__slots__" in vars(kind)
        assert fields(kind) is not None


def test_a_bad_value_is_a_value_error_to_those_who_do_not_know_us() -> None:
    """What refuses a value is both ours and Python's own kind."""
    for kind in (InvalidTask, InvalidOption, errors.CannotEncode, errors.CannotDecode):
        assert issubclass(kind, QcoreError)
        assert issubclass(kind, ValueError)


def test_a_sick_store_is_no_value_error() -> None:
    """A store that did not answer is told apart from a bad value."""
    for kind in (errors.BrokerUnavailable, errors.BrokerUnusable, errors.NoResult):
        assert issubclass(kind, QcoreError)
        assert not issubclass(kind, ValueError)
