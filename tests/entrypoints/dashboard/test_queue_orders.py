"""Orders for a queue: pause, resume, limit, remove."""

import pytest

from qcore.dashboard import dashboard
from qcore.domain.queue_limits import NO_LIMITS, Limits, Rate
from tests.entrypoints.dashboard.kit import a_queue, browser, put


async def test_a_queue_is_paused_and_resumed() -> None:
    """By the button of its page, which says what it would do."""
    q = a_queue()
    await put(q, queue="mail")
    at = browser(dashboard(q))
    for to, is_paused in (("pause", True), ("resume", False)):
        html = await at.page("queue", queue="mail")
        assert html.css('input[name="to"]')[0].attributes["value"] == to
        await at.post("queue-pause", queue="mail", to=to)
        assert (await q.inspector.limits("mail")).is_paused is is_paused


async def test_a_queue_is_limited_by_its_form() -> None:
    """An empty field takes a limit away."""
    q = a_queue()
    await put(q, queue="mail")
    at = browser(dashboard(q))
    await at.post("queue-limit", queue="mail", rate="100/min", in_flight="3")
    assert await q.inspector.limits("mail") == Limits(Rate(100, 60.0), 3)
    html = await at.page("queue", queue="mail")
    fields = {each.attributes["name"]: each.attributes["value"] for each in html.css(".more input")}
    assert (fields["rate"], fields["in_flight"]) == ("100/min", "3")
    await at.post("queue-limit", queue="mail", rate="", in_flight="")
    assert await q.inspector.limits("mail") == NO_LIMITS


@pytest.mark.parametrize(
    "wrong", [{"rate": "fast"}, {"in_flight": "0"}, {"in_flight": "many"}], ids=str
)
async def test_a_limit_that_makes_no_sense_changes_nothing(wrong: dict[str, str]) -> None:
    """Not the other one either."""
    q = a_queue()
    given = {"queue": "mail", "rate": "1/s", "in_flight": "1", **wrong}
    assert (await browser(dashboard(q)).post("queue-limit", **given)).status_code == 400
    assert await q.inspector.limits("mail") == NO_LIMITS


async def test_a_queue_is_removed_after_a_page_has_asked() -> None:
    """That page says how many tasks it has."""
    q = a_queue()
    await put(q, queue="mail")
    at = browser(dashboard(q))
    response = await at.post("queue-remove", queue="mail")
    assert response.status_code == 200
    assert "with 1 task," in response.text
    assert "mail" in await q.inspector.counts()
    response = await at.post("queue-remove", queue="mail", confirm="yes", reason="old")
    assert response.headers["location"] == "./"
    assert await q.inspector.counts() == {}
