from typing import Any

import pytest
from attrs import evolve, fields

from qcore.domain.errors import InvalidTask
from qcore.domain.new_task import FIELDS, USUAL, NewTask, another, unchecked_builder
from qcore.domain.task_fields import REQUIRED, TaskField

ALL = pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)


@ALL
def test_every_example_is_allowed_and_is_not_the_default(field: TaskField) -> None:
    """So a store that forgets the field gives something else back."""
    assert field.examples
    for value in field.examples:
        task = evolve(USUAL, **{**field.together, field.name: value})
        assert getattr(task, field.name) == value != field.default


@ALL
def test_every_field_is_checked(field: TaskField) -> None:
    """Nothing is so odd that it would be stored."""
    with pytest.raises(InvalidTask, match=f"^{field.name} is "):
        evolve(USUAL, **{field.name: object()})


def test_the_first_examples_make_a_task_together() -> None:
    """Options do not get in each other's way."""
    NewTask(**{field.name: field.examples[0] for field in FIELDS.values()})


def test_a_default_is_what_a_task_has_of_which_nothing_was_asked() -> None:
    """But for its name and its id, which it has to have."""
    task = NewTask("n", "i")
    defaults = {name: field.default for name, field in FIELDS.items()}
    assert defaults == {
        **{each.name: getattr(task, each.name) for each in fields(NewTask)},
        "name": REQUIRED,
        "id": REQUIRED,
    }


def test_an_unchecked_task_is_as_good_as_a_new_one() -> None:
    """A task made without the rules for new ones has every field, and equals its like."""
    build = unchecked_builder(", ".join(FIELDS), {name: name for name in FIELDS})
    new = NewTask(**{field.name: field.examples[0] for field in FIELDS.values()})
    values: list[Any] = [getattr(new, name) for name in FIELDS]
    again = build(*values)
    assert (again, type(again)) == (new, NewTask)
    odd = build(*range(len(values)))
    assert [getattr(odd, name) for name in FIELDS] == [*range(len(values))]


@pytest.mark.parametrize("forgotten", FIELDS)
def test_a_builder_without_a_source_for_a_field_cannot_be_made(forgotten: str) -> None:
    """It is told of when the module is imported, before anything is stored."""
    sources = {name: "None" for name in FIELDS if name != forgotten}
    with pytest.raises(KeyError, match=forgotten):
        unchecked_builder("", sources)


def test_another_task_has_an_id_and_a_payload_of_its_own() -> None:
    """And all else of the first, which is as it was."""
    first = NewTask(**{field.name: field.examples[0] for field in FIELDS.values()})
    before = evolve(first)
    assert another(first, "other", b"1") == evolve(first, id="other", payload=b"1")
    assert first == before
