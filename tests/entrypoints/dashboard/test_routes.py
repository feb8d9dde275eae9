"""What holds for every route: the table is walked, so that a new one is tested by being there."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from qcore.dashboard import READ_ONLY, dashboard
from qcore.domain.errors import InvalidOption
from qcore.entrypoints.dashboard.rights import FREE, Right, Rights
from qcore.entrypoints.dashboard.routes import Route, RouteTable
from qcore.entrypoints.dashboard.table import TABLE
from qcore.entrypoints.dashboard.visit import Page, Visit
from tests.entrypoints.dashboard.examples import PARAMETERS
from tests.entrypoints.dashboard.hostile import CANARY, QUEUE
from tests.entrypoints.dashboard.kit import SAME_ORIGIN, as_role, browser
from tests.entrypoints.dashboard.walking import (
    EXAMPLES,
    FOUND,
    POSTS,
    ROLES,
    ROUTES,
    ask,
    everything,
    hostile_store,
    named,
    send,
)

# --- rights ------------------------------------------------------------------------------------


async def _page(visit: Visit) -> Page:
    raise NotImplementedError


@pytest.mark.parametrize("right", [None, "", "queue.read", "task.*"])
def test_a_route_without_a_declared_right_cannot_be_registered(right: Any) -> None:
    """Whoever adds one has said who may ask for it."""
    with pytest.raises(InvalidOption, match="right"):
        Route("GET", "new", right, _page)


def test_two_routes_of_one_name_cannot_be_registered() -> None:
    """One of them would never be asked."""
    route = Route("GET", "new", Right.QUEUE_READ, _page)
    with pytest.raises(InvalidOption, match="two routes"):
        RouteTable([route, route])


@pytest.mark.parametrize("route", POSTS, ids=named)
def test_what_changes_something_needs_more_than_to_read(route: Route) -> None:
    """No `POST` is among the rights of who may only look, but how pages look for themselves."""
    assert route.right in FREE or not READ_ONLY.may(route.right)


@pytest.mark.parametrize("route", ROUTES, ids=named)
async def test_who_is_not_let_in_sees_no_route(route: Route) -> None:
    """A callback that returns None: 404 for all of them, and nothing of the store in it."""
    q = await hostile_store()
    before = await everything(q)
    response = await ask(browser(as_role(q, None)), route)
    assert response.status_code == 404
    assert f"{CANARY}/" not in response.text
    assert q.store not in response.text
    assert await everything(q) == before


@pytest.mark.parametrize("route", ROUTES, ids=named)
async def test_without_a_login_no_page_is_shown(route: Route) -> None:
    """The form is, with 401; files that say nothing of a store are there for it."""
    q = await hostile_store()
    before = await everything(q)
    response = await ask(browser(dashboard(q, token="0123456789abcdef")), route)
    assert response.status_code == (200 if route.right is Right.ANYBODY else 401)
    assert f"{CANARY}/" not in response.text
    assert await everything(q) == before


@pytest.mark.parametrize("role", ROLES, ids=str)
async def test_each_role_is_answered_what_its_rights_say(role: Any) -> None:
    """A route is there for those who have its right in the queue that it is about: else 404."""
    rights = Rights.of(role)
    for route in ROUTES:
        q = await hostile_store()
        before = await everything(q)
        response = await ask(browser(as_role(q, role)), route)
        may = rights.may(route.right, QUEUE if route.per_queue else None)
        assert (response.status_code in FOUND) == may, named(route)
        assert may or response.status_code == 404, named(route)
        if not may:
            assert await everything(q) == before, named(route)


async def test_what_may_not_be_seen_is_left_out_of_every_page() -> None:
    """Who may see one queue finds no trace of another: not its name, its tasks or their number."""
    q = await hostile_store()
    at = browser(as_role(q, {"*.read@other"}))
    for method, name, parameters in EXAMPLES:
        if method == "GET":
            response = await send(at, method, name, parameters)
            sums = re.findall(r'title="(\d+)"', response.text)
            assert f"{CANARY}/" not in response.text, name
            assert not any(map(int, sums)), name


# --- forged requests ---------------------------------------------------------------------------

FORGED: list[dict[str, str]] = [
    {"x": "neither header"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "cross-site", "origin": "http://localhost:8080"},
    {"origin": "null"},
    {"origin": "https://evil.example"},
    {"origin": "http://localhost:8081"},
    {"origin": "http://localhost:8080.evil.example"},
    {"origin": "http://localhost:8080@evil.example"},
]


@pytest.mark.parametrize("headers", FORGED, ids=str)
async def test_a_forged_request_changes_nothing(headers: Mapping[str, str]) -> None:
    """It is refused with 403, and the log says so."""
    for route in POSTS:
        q = await hostile_store()
        before = await everything(q)
        with capture_logs() as lines:
            response = await ask(browser(dashboard(q)), route, **headers)
        assert response.status_code == 403, named(route)
        assert "nothing was done" in response.text
        assert "set-cookie" not in response.headers
        assert await everything(q) == before
        assert [line["event"] for line in lines] == ["a forged request was refused"]


@pytest.mark.parametrize("headers", [SAME_ORIGIN, {"origin": "http://localhost:8080"}], ids=str)
async def test_a_request_of_a_page_of_ours_is_carried_out(headers: Mapping[str, str]) -> None:
    """Whichever of the two headers a browser sends."""
    for route in POSTS:
        response = await ask(browser(dashboard(await hostile_store())), route, **headers)
        assert response.status_code in FOUND, named(route)


# --- what a page is ----------------------------------------------------------------------------


async def test_get_leaves_the_store_as_it_was() -> None:
    """Every page, in each state in which it can be, as often as it is loaded."""
    q = await hostile_store()
    before = await everything(q)
    at = browser(dashboard(q))
    for method, name, parameters in EXAMPLES:
        if method == "GET":
            await send(at, method, name, parameters)
            await at.http.head(f"/{name}", params=dict(parameters))
    assert await everything(q) == before


@pytest.mark.parametrize("route", ROUTES, ids=named)
async def test_every_answer_has_the_headers_that_keep_it_safe(route: Route) -> None:
    """No framing, no guessing, no keeping of pages, no other site that may read it."""
    q = await hostile_store()
    for app in (dashboard(q), as_role(q, None), dashboard(q, token="0123456789abcdef")):
        response = await ask(browser(app), route)
        headers = response.headers
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        is_file = route.name.startswith("static/") and response.status_code == 200
        assert headers["cache-control"] == ("no-cache" if is_file else "no-store")
        assert not [name for name in headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    ("method", "name", "allowed"),
    [
        ("PUT", "tasks", "GET, HEAD"),
        ("GET", "bulk", "POST"),
        ("DELETE", "doctor", "GET, POST, HEAD"),
    ],
)
async def test_a_method_that_is_not_allowed_is_answered_with_those_that_are(
    method: str, name: str, allowed: str
) -> None:
    """In the header that says so, and in words."""
    response = await browser(dashboard(await hostile_store())).http.request(method, f"/{name}")
    assert response.status_code == 405
    assert response.headers["allow"] == allowed
    assert f"expected {allowed}" in response.text


@pytest.mark.parametrize("route", ROUTES, ids=named)
async def test_a_request_without_a_body_is_answered_without_one(route: Route) -> None:
    """HEAD has the status and the headers of GET."""
    q = await hostile_store()
    at = browser(dashboard(q))
    response = await at.http.head(
        f"/{route.name}", params=dict(PARAMETERS.get((route.method, route.name), {}))
    )
    assert response.content == b""
    assert response.status_code == (200 if ("GET", route.name) in _methods() else 405)


def _methods() -> set[tuple[str, str]]:
    return {(each.method, each.name) for each in TABLE.routes}
