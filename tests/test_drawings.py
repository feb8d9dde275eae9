"""The pictures of our diagrams, which the site shows."""

from docs.site.drawings import THEMES, diagrams, drawn, name_of
from docs.site.links import DOCS


def test_each_diagram_has_its_pictures_and_no_other_has_any() -> None:
    """`python -m docs.diagrams` draws them anew when one of them has changed."""
    wanted = {name_of(each, theme) for each in diagrams() for theme in THEMES}
    assert wanted == {each.name for each in (DOCS / "images").glob("diagram-*")}
    assert wanted


def test_a_document_has_pictures_in_place_of_its_diagrams() -> None:
    """One for each theme."""
    page = drawn("before\n\n```mermaid\nstateDiagram-v2\n```\n\nafter\n")
    assert "mermaid" not in page
    assert page.count("```{image} /images/diagram-") == len(THEMES)
    assert page.startswith("before\n")
    assert page.endswith("after\n")
