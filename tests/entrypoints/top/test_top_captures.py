"""The pictures of the documents show what there is."""

import re

import pytest

from docs.captures import CAPTURES, IMAGES, drawn

TEXT = re.compile(r"<text[^>]*>([^<]*)</text>")
COST = re.compile(r"\d+&#160;calls?")


def texts(svg: str) -> list[str]:
    """Return what is to be read, but how many calls that took."""
    return TEXT.findall(COST.sub("N calls", svg))


@pytest.mark.parametrize("name", CAPTURES)
async def test_a_picture_shows_what_is_drawn_now(name: str) -> None:
    """`python -m docs.captures` draws them anew."""
    stored = (IMAGES / f"{name}.svg").read_text(encoding="utf-8")
    assert texts(await drawn(name)) == texts(stored)


@pytest.mark.parametrize("name", CAPTURES)
def test_a_picture_loads_nothing(name: str) -> None:
    """It is shown where the network is not: no fonts, no other hosts than those that it shows."""
    stored = (IMAGES / f"{name}.svg").read_text(encoding="utf-8")
    assert "url(http" not in stored
    assert "@font-face" not in stored
