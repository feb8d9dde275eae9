"""What a browser keeps: the theme, and the zone of moments."""

import pytest
from selectolax.lexbor import LexborHTMLParser

from qcore.dashboard import dashboard
from tests.entrypoints.dashboard.kit import a_queue, browser, put, text_of


async def test_theme_and_zone_are_kept_in_the_browser() -> None:
    """By forms, without a script; each page has them from then on."""
    q = a_queue()
    task = await put(q)
    at = browser(dashboard(q, environment="Production"))
    back = f"task?queue={task.queue}&id={task.id}"
    response = await at.post("preferences", theme="dark", next=back)
    assert response.headers["location"] == back
    await at.post("preferences", zone="America/New_York")
    html = await at.page("task", queue=task.queue, id=task.id)
    assert html.css("html")[0].attributes["data-theme"] == "dark"
    assert "EST (America/New_York)" in text_of(html)
    assert html.css("body")[0].attributes["class"] == "env-red"
    assert html.css(".badge.env")[0].text() == "Production"


async def test_from_the_answer_to_a_form_the_theme_leads_to_a_page() -> None:
    """A page that asks has no address of its own."""
    q = a_queue()
    await put(q, queue="mail")
    at = browser(dashboard(q))
    html = LexborHTMLParser((await at.post("queue-remove", queue="mail")).text)
    back = html.css('.themes input[name="next"]')[0].attributes["value"] or ""
    response = await at.post("preferences", theme="dark", next=back)
    assert (await at.get(response.headers["location"])).status_code == 200


@pytest.mark.parametrize("cookie", ["qcore_zone=Mars", "qcore_theme=pink", "qcore_said=%%%", "x"])
async def test_a_cookie_that_makes_no_sense_is_passed_over(cookie: str) -> None:
    """Somebody else may have set it."""
    at = browser(dashboard(a_queue()))
    response = await at.http.get("/", headers={"cookie": cookie})
    assert response.status_code == 200
    assert 'data-theme="auto"' in response.text
