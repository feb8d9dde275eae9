"""Handlers that are called as the functions that they are."""

from types import SimpleNamespace
from typing import Any

import pytest

from qcore import Context, Qcore
from qcore.testing import a_context

q = Qcore("memory://")


@q.task("charge")
def charge(ctx: Context, order: int = 0) -> int:
    """Return what it was given."""
    return order


@q.task("greet")
async def greet(ctx: Any, name: str) -> str:
    """Return a greeting."""
    return f"hello {name}"


@pytest.mark.parametrize("value", [7, "7", b"7", 7.0, True, [7], {"order": 7}, (7,)])
def test_data_in_the_place_of_the_context_is_refused(value: Any) -> None:
    """With what to write instead; it would be the context, and the order one that nobody gave."""
    with pytest.raises(TypeError) as raised:
        charge(value)
    assert f"charge(a_context(), {value!r}, …)" in str(raised.value)
    assert f"charge.enqueue({value!r}, …)" in str(raised.value)


async def test_contexts_are_taken_and_what_may_stand_for_one() -> None:
    """A context, an object of a test's own, and None where a handler needs none."""
    assert charge(a_context(), 7) == 7
    assert await greet(a_context(), "Ann") == "hello Ann"
    assert await greet(SimpleNamespace(id="1"), "Ann") == "hello Ann"
    assert await greet(None, "Ann") == "hello Ann"
