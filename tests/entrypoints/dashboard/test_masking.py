"""What is masked of a task, by the names of fields, before anything is shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.entrypoints.dashboard.masking import (
    DEEPEST,
    HIDDEN,
    MASKED,
    TOO_DEEP,
    Mask,
    without_passwords,
)
from qcore.testing.builders import a_stored_task, a_task

SECRET = "s3cr3t-value"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "PASSWORD",
        "db-password",
        "userPassword",
        "api_key",
        "X-Api-Key",
        "pin",
        "Set-Cookie",
    ],
)
def test_a_field_whose_name_looks_like_a_secret_is_masked(name: str) -> None:
    """In capitals or not, with a dash or an underscore, with more around it."""
    assert Mask().of({name: SECRET}) == {name: MASKED}


@pytest.mark.parametrize("name", ["user", "spinning", "opinion", "pass", "keyboard"])
def test_a_field_of_another_name_is_shown(name: str) -> None:
    """A page that hides all is of no use."""
    assert Mask().of({name: SECRET}) == {name: SECRET}


def test_a_masked_field_is_masked_with_all_that_is_in_it() -> None:
    """Also where it holds more than a text."""
    data = {"tokens": [{"id": 1, "value": SECRET}], "n": 1}
    assert Mask().of(data) == {"tokens": MASKED, "n": 1}


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=9,
)


@given(plain, st.sampled_from(["password", "Access-Token", "my_secret_2"]))
def test_nothing_below_a_masked_name_is_ever_shown(around: Any, name: str) -> None:
    """However it is nested, with whatever beside it."""
    data = {"a": [around, {"b": {name: [around, SECRET]}}], "c": around}
    assert SECRET not in repr(Mask().of(data))


def test_data_nested_without_end_are_cut() -> None:
    """They are no reason for a page to fail."""
    data: Any = SECRET
    for _ in range(5 * DEEPEST):
        data = [data]
    assert TOO_DEEP in repr(Mask().of(data))
    assert Mask().secrets({"password": data}) == []


def test_what_is_masked_is_looked_for_in_the_other_texts_of_a_task() -> None:
    """An error may quote it, a result may repeat it; one may be the beginning of another."""
    spec = a_task(headers={"authorization": f"Bearer {SECRET}"})
    data = {"password": SECRET, "token": f"{SECRET}-and-more", "pin": "12", "note": f"see {SECRET}"}
    seen = Mask().masked(a_stored_task(spec), lambda _: data)
    assert seen.data["note"] == f"see {HIDDEN}"
    assert (
        seen.text(f"no user with {SECRET}-and-more, 12 tries") == f"no user with {HIDDEN}, 12 tries"
    )
    assert seen.text(f"sent Bearer {SECRET}") == f"sent {HIDDEN}"
    assert seen.plain({"echo": [SECRET]}) == {"echo": [HIDDEN]}


def test_a_payload_that_cannot_be_read_is_not_shown() -> None:
    """What is in it cannot be masked."""
    seen = Mask().masked(a_stored_task(), lambda _: SECRET.encode())
    assert seen.data is None
    assert not seen.is_readable
    assert Mask().reader(lambda _: SECRET.encode())(a_stored_task()) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://ann:pw@host:6379/0", f"redis://ann:{HIDDEN}@host:6379/0"),
        (
            "at redis://:pw@host, and amqp://b:c@d",
            f"at redis://:{HIDDEN}@host, and amqp://b:{HIDDEN}@d",
        ),
        ("https://example.com:80/a@b", "https://example.com:80/a@b"),
        ("no url: a:b@c", "no url: a:b@c"),
    ],
)
def test_passwords_in_urls_are_masked_wherever_they_stand(text: str, shown: str) -> None:
    """In an error of a driver, most often."""
    assert without_passwords(text) == shown
