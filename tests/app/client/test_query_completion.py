"""Where a query is typed on: qualifiers, values, and text in quotes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.app.client.queries import Query
from qcore.app.client.query_completion import (
    Typed,
    as_value,
    qualifiers_beginning,
    typed_at_the_end,
)


@pytest.mark.parametrize(
    ("query", "typed"),
    [
        ("", Typed("", "")),
        ("sta", Typed("", "sta")),
        ("-sta", Typed("", "sta", None, "-")),
        ("queue:mail sta", Typed("queue:mail ", "sta")),
        ("state:", Typed("state:", "", "state")),
        ("-state:dead,re", Typed("-state:dead,", "re", "state")),
        ('error:"timed out" na', Typed('error:"timed out" ', "na")),
        ('name:"a b', Typed("name:", "a b", "name")),
        ('name:"a,b",c:d', Typed('name:"a,b",', "c:d", "name")),
        (r'name:"a\" b', Typed("name:", r"a\" b", "name")),
        ("args.user:7", Typed("args.user:", "7", "args.user")),
    ],
)
def test_what_is_typed_at_the_end_of_a_query_is_found(query: str, typed: Typed) -> None:
    """What is before it stays as it is."""
    assert typed_at_the_end(query) == typed


def test_qualifiers_are_offered_with_what_comes_after_them() -> None:
    """A minus before one stays."""
    assert qualifiers_beginning(typed_at_the_end("-sta")) == ["-state:"]
    assert qualifiers_beginning(typed_at_the_end("ar")) == ["args."]


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1))
def test_a_name_is_a_value_that_means_itself(name: str) -> None:
    """Whatever is in it, and what is typed after it is another term."""
    query = f"name:{as_value(name)}"
    [term] = Query.parse(query).terms
    assert [word.parts for word in term.words] == [(name,)]
    assert typed_at_the_end(f"{query} sta") == Typed(f"{query} ", "sta")
