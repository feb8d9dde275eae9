import pytest

from qcore.middleware.by_name import ByName


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image:crop", "exact"),
        ("image:cropped", "short"),
        ("image:raw:crop", "long"),
        ("image:raw:", "long"),
        ("image", None),
        ("mail", "exact mail"),
        ("mailing", None),
    ],
)
def test_the_exact_name_comes_first_then_the_longest_prefix(name: str, value: str | None) -> None:
    """Names are matched as a router matches them: a prefix ends in a colon."""
    named = ByName(
        {"image:": "short", "image:raw:": "long", "image:crop": "exact", "mail": "exact mail"}
    )
    assert named.get(name) == value


def test_the_empty_prefix_is_that_of_all() -> None:
    """It comes last."""
    named = ByName({"": 0, "mail:": 1})
    assert (named.get("anything"), named.get("mail:x")) == (0, 1)
