"""Hostile text in a store or a request stays text, and what is masked is nowhere."""

import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from selectolax.lexbor import LexborHTMLParser
from structlog.testing import capture_logs

from qcore.dashboard import dashboard
from tests.entrypoints.dashboard.examples import ALSO, PARAMETERS
from tests.entrypoints.dashboard.hostile import CANARY, SECRET, STATES, WORD
from tests.entrypoints.dashboard.kit import browser
from tests.entrypoints.dashboard.walking import (
    EXAMPLES,
    PAGES,
    asked,
    hostile_store,
    named,
    send,
)


@pytest.mark.parametrize("example", EXAMPLES, ids=asked)
async def test_hostile_text_in_the_store_stays_text(
    example: tuple[str, str, Mapping[str, str]],
) -> None:
    """In no page does it make an element, an attribute or a script, wherever it is stored."""
    at = browser(dashboard(await hostile_store()))
    response = await send(at, *example)
    assert response.status_code in {200, 303, 400, 404}, response.text
    if response.status_code == 303:
        response = await at.http.get(f"/{response.headers['location']}")
    assert_harmless(response)


async def test_hostile_text_is_there_to_be_seen() -> None:
    """The test before would hold of pages that show nothing."""
    at = browser(dashboard(await hostile_store()))
    for name in (
        *("", "tasks", "queue", "task", "errors", "workers"),
        *("periodic", "periodic-entry", "groups", "group"),
    ):
        response = await send(at, "GET", name, PARAMETERS.get(("GET", name), {}))
        html = LexborHTMLParser(response.text)
        assert html.body is not None
        assert WORD[:100] in html.body.text(), name


@pytest.mark.parametrize("name", ["errors-retry", "errors-discard", "group-move", "periodic-move"])
async def test_hostile_text_is_there_where_a_page_asks(name: str) -> None:
    """What an order is for is named before it is carried out."""
    at = browser(dashboard(await hostile_store()))
    [given] = [each for method, other, each in ALSO if other == name][-1:]
    response = await send(at, "POST", name, given)
    html = LexborHTMLParser(response.text)
    assert len(html.css('button[name="confirm"]')) == 1
    assert html.body is not None
    assert WORD[:100] in html.body.text()


HOSTILE_NAMES = ("queue", "id", "q", "cursor", "state", "limit", "name", "next", "v", "verb", "to")


@pytest.mark.parametrize(
    "value", [WORD, "\ud800".encode(errors="surrogatepass"), "\0", "-1", "9" * 99]
)
@pytest.mark.parametrize("parameter", HOSTILE_NAMES)
async def test_hostile_text_in_a_parameter_stays_text(parameter: str, value: Any) -> None:
    """In each parameter of each page: it is refused, or shown as text; nothing fails by it."""
    q = await hostile_store()
    at = browser(dashboard(q))
    for route in PAGES:
        given = {**PARAMETERS.get((route.method, route.name), {}), parameter: value}
        response = await send(at, route.method, route.name, given)
        assert response.status_code in {200, 303, 400, 404}, (named(route), response.text)
        if response.status_code != 303:
            assert_harmless(response)


OF_ONE_ROUTE = (
    *(("GET", name, "span") for name in ("", "queue")),
    ("GET", "periodic", "status"),
    *(("POST", "errors-retry", name) for name in ("fingerprint", "as_of", "number")),
    ("POST", "group-move", "as_of"),
)


@pytest.mark.parametrize("example", OF_ONE_ROUTE, ids=" ".join)
async def test_hostile_text_in_a_parameter_of_one_route_is_refused(
    example: tuple[str, str, str],
) -> None:
    """It is shown as text, with what was expected."""
    method, name, parameter = example
    at = browser(dashboard(await hostile_store()))
    for value in (WORD, "\ud800".encode(errors="surrogatepass"), "\0", "-1", "9" * 99):
        given: Any = {**PARAMETERS.get((method, name), {}), parameter: value}
        response = await send(at, method, name, given)
        assert response.status_code == 400, (value, response.text)
        assert_harmless(response)


OF_FORMS = {
    "task-move": ("reason", "delay", "to", "confirm"),
    "task-edit": ("arguments", "priority", "max_retry", "seen", "reason"),
    "task-again": ("reason",),
    "bulk": ("reason", "which", "limit", "pace", "count", "as_of", "delay", "to", "task"),
    "bulk-edit": ("priority", "as_of"),
    "queue-pause": ("reason",),
    "queue-limit": ("rate", "in_flight", "reason"),
    "queue-remove": ("reason",),
    "group-aggregate": ("reason",),
    "periodic-move": ("reason",),
    "preferences": ("theme", "zone"),
}
MORE = {
    ("task-move", "delay"): {"verb": "reschedule"},
    ("task-move", "to"): {"verb": "move", "confirm": "yes"},
    ("bulk", "delay"): {"verb": "reschedule", "confirm": "yes", "as_of": "1"},
    ("bulk", "to"): {"verb": "move", "confirm": "yes", "as_of": "1"},
    ("bulk", "task"): {"which": "ticked"},
    **{("bulk", name): {"confirm": "yes", "as_of": "1"} for name in ("limit", "pace", "count")},
    ("bulk", "as_of"): {"confirm": "yes"},
    ("bulk-edit", "priority"): {"confirm": "yes", "as_of": "1"},
}
"""What a form says besides, so that a field is read."""


@pytest.mark.parametrize("name", OF_FORMS)
async def test_hostile_text_in_a_field_of_a_form_stays_text(name: str) -> None:
    """It is refused, or is text on the page that the browser goes to; numbers have bounds."""
    for field in OF_FORMS[name]:
        q = await hostile_store()
        at = browser(dashboard(q))
        for value in (
            WORD,
            "\ud800".encode(errors="surrogatepass"),
            "\0",
            "nan",
            "1e999",
            "9" * 99,
        ):
            given: Any = {**PARAMETERS["POST", name], **MORE.get((name, field), {}), field: value}
            response = await send(at, "POST", name, given)
            assert response.status_code in {200, 303, 400, 404}, (field, value, response.text)
            if response.status_code == 303:
                response = await at.http.get(f"/{response.headers['location']}")
            assert_harmless(response)


@pytest.mark.parametrize("path", [f"/{CANARY}", "/..%2f", "/%3Cscript%3E", "/task/../queue", "//x"])
async def test_hostile_text_in_a_path_stays_text(path: str) -> None:
    """It leads nowhere."""
    at = browser(dashboard(await hostile_store()))
    response = await at.http.get(f"http://localhost:8080{path}")
    assert response.status_code in {400, 404}
    assert_harmless(response)


def assert_harmless(response: httpx.Response) -> None:
    """Raise `AssertionError` for a page in which hostile text has become more than text."""
    html = LexborHTMLParser(response.text)
    assert html.css(CANARY) == []
    assert [each for each in html.css("script") if each.text() or not _is_own(each, "src")] == []
    assert [each for each in html.css("img") if not _is_own(each, "src")] == []
    for each in html.css("*"):
        for name in map(str, each.attributes):
            assert re.fullmatch(r"(?!on|style)[a-zA-Z][a-zA-Z-]*\d?", name), each.html
        for name in ("href", "action", "src"):
            target = str(each.attributes.get(name) or "")
            assert re.fullmatch(r"#main|(\.\./)*(\./)?[a-z/.-]*(\?[\w%.=&~-]*)?", target), target
    assert html.css("style, iframe, object, embed, base, template") == []


def _is_own(element: Any, attribute: str) -> bool:
    return str(element.attributes.get(attribute)).startswith(("static/", "../static/"))


async def test_planted_secrets_are_nowhere() -> None:
    """Masked fields, what quotes them, and passwords in URLs: in no page, no header, no log."""
    with capture_logs() as lines:
        at = browser(dashboard(await hostile_store()))
        for method, name, parameters in EXAMPLES:
            response = await send(at, method, name, parameters)
            assert SECRET not in response.text, (name, parameters)
            assert SECRET not in str(response.headers)
    assert SECRET not in str(lines)


@pytest.mark.parametrize(
    "query", [f"args.password:{SECRET}", f"payload:{SECRET}", f"text:{SECRET}"]
)
async def test_a_masked_value_cannot_be_found_out_by_searching(query: str) -> None:
    """A query is asked of what the visitor may see, whatever a task has."""
    at = browser(dashboard(await hostile_store()))
    html = await at.page("tasks", q=query + SECRET[:9])
    assert html.css("tbody tr") == []


async def test_every_link_of_every_page_leads_to_a_route() -> None:
    """And its parameters come back as they were."""
    at = browser(dashboard(await hostile_store()))
    for method, name, parameters in EXAMPLES:
        if method != "GET":
            continue
        html = LexborHTMLParser((await send(at, method, name, parameters)).text)
        for link in html.css("a[href], link[href], script[src]"):
            target = str(link.attributes.get("href") or link.attributes.get("src"))
            if not target.startswith("#"):
                response = await at.http.get(f"/{target.removeprefix('./')}")
                assert response.status_code == 200, target


async def test_each_state_has_a_hostile_task() -> None:
    """So that a page which shows some of them alone is tested with these."""
    counts = await (await hostile_store()).inspector.totals()
    assert counts == dict.fromkeys(STATES, 1)
