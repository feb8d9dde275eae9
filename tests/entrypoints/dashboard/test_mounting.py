"""Where it is mounted: under a prefix, behind proxies, in applications that block, on a port."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
import uvicorn
from jinja2 import Environment
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from qcore import Qcore
from qcore.dashboard import dashboard, wsgi_dashboard
from qcore.entrypoints.dashboard.inputs import MAX_BODY
from qcore.entrypoints.dashboard.serve import Server, listen, url_of
from tests.entrypoints.dashboard.kit import SAME_ORIGIN, a_queue, browser, links_of, put, read

NAMES = ["a/b", "..", ".", "what?", "c#d", "x%41", "ünïcode-☃", "a&b=c", "a+b", '"', "%2F", "a//b"]
"""Names that another server, or a proxy, takes for something else in a path."""


def mounted(q: Qcore, root_path: str = "") -> ASGIApp:
    """Return an application that has a dashboard under /ops/queues."""
    inner, app = Starlette(), Starlette()
    inner.mount("/queues", dashboard(q))
    app.mount("/ops", inner)

    async def rooted(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": root_path}, receive, send)

    return rooted


def mounted_once(q: Qcore) -> ASGIApp:
    """Return an application that has a dashboard under /ops/queues, in one step.

    Starlette finds no application that is mounted in a mounted one where a prefix that was taken
    away is told.
    """
    app = Starlette()
    app.mount("/ops/queues", dashboard(q))
    return app


def taken_away(app: ASGIApp, prefix: str, root_path: str) -> ASGIApp:
    """Return what a proxy does that takes a prefix away, and may tell it as the root path."""

    async def proxied(scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"]).removeprefix(prefix)
        await app({**scope, "path": path, "root_path": root_path}, receive, send)

    return proxied


PLACES: dict[str, Any] = {
    "at the root": lambda q: ("", dashboard(q)),
    "mounted": lambda q: ("/ops/queues", mounted(q)),
    "mounted, behind a proxy that keeps the prefix": lambda q: (
        "/pre/ops/queues",
        mounted(q, "/pre"),
    ),
    "mounted, behind a proxy that takes it away and tells it": lambda q: (
        "/pre/ops/queues",
        taken_away(mounted_once(q), "/pre", "/pre"),
    ),
    "behind a proxy that takes it away and tells it": lambda q: (
        "/pre/x",
        taken_away(dashboard(q), "/pre/x", "/pre/x"),
    ),
    "behind a proxy that takes it away and tells nobody": lambda q: (
        "/pre/x",
        taken_away(dashboard(q), "/pre/x", ""),
    ),
}


@pytest.mark.parametrize("place", PLACES)
async def test_every_link_leads_on_from_where_it_is_mounted(place: str) -> None:
    """As a browser follows it; also of names that are no part of any path."""
    q = a_queue()
    for name in NAMES:
        await put(q, queue=name, id=name)
    prefix, app = PLACES[place](q)
    at = browser(app)
    start = f"http://localhost:8080{prefix}/"
    seen, left = set[str](), [start]
    while left:
        url = left.pop()
        response = await at.http.get(url)
        assert response.status_code == 200, url
        seen.add(url)
        found = {urljoin(url, link).partition("#")[0] for link in links_of(read(response))}
        assert all(each.startswith(start) for each in found), url
        left += [each for each in found if each not in seen and each not in left]
        seen |= {each for each in found if "preferences?" in each}
        left = [each for each in left if "preferences?" not in each]
    shown = {each for each in seen if "/task?" in each}
    assert len(shown) == len(NAMES)


@pytest.mark.parametrize("place", [each for each in PLACES if each.startswith("mounted")])
async def test_the_mount_itself_leads_to_its_folder(place: str) -> None:
    """Links are relative to the folder: without the slash they would lead beside it."""
    prefix, app = PLACES[place](a_queue())
    at = browser(app, f"http://localhost:8080{prefix}")
    response = await at.http.get(at.http.base_url.copy_with(path=prefix))
    assert response.status_code in {307, 308}
    assert urljoin(f"http://localhost:8080{prefix}", response.headers["location"]).endswith(
        "queues/"
    )


@pytest.mark.parametrize("name", NAMES)
async def test_a_queue_of_any_name_can_be_shown_and_paused(name: str) -> None:
    """By a form of the page, as a browser sends it."""
    q = a_queue()
    await put(q, queue=name)
    at = browser(mounted(q), "http://localhost:8080/ops/queues")
    html = await at.page("queue", queue=name)
    [form] = html.css('form[action="queue-pause"]')
    fields = {
        str(each.attributes["name"]): str(each.attributes["value"]) for each in form.css("input")
    }
    response = await at.post("queue-pause", **fields)
    assert response.status_code == 303
    assert (await q.inspector.limits(name)).is_paused


async def test_dashboards_of_a_process_share_their_compiled_templates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second one that is mounted shows a page without another moment for compiling."""
    await browser(dashboard(a_queue())).page()
    monkeypatch.setattr(Environment, "compile", None)
    await browser(dashboard(a_queue())).page()


async def test_a_page_far_below_has_links_that_lead_back() -> None:
    """That of an address which leads nowhere."""
    response = await browser(dashboard(a_queue())).get("a/b/c")
    assert response.status_code == 404
    links = {urljoin("http://localhost:8080/a/b/c", each) for each in links_of(read(response))}
    assert "http://localhost:8080/" not in links or len(links) > 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://ops.example.com"}, 303),
        ({"origin": "http://ops.example.com"}, 403),
        ({"origin": "http://localhost:8080"}, 403),
        ({"origin": "null"}, 403),
        (SAME_ORIGIN, 303),
    ],
    ids=str,
)
async def test_behind_a_proxy_the_public_origin_counts(
    headers: Mapping[str, str], status: int
) -> None:
    """Where one is configured, the host that a proxy sends along does not."""
    app = dashboard(a_queue(), public_origins=["https://ops.example.com"])
    response = await browser(app).post("preferences", headers, theme="dark")
    assert response.status_code == status


@pytest.mark.parametrize(("path", "status"), [("/preferences", 403), ("/nowhere", 404)])
async def test_what_a_refused_request_brings_is_read(path: str, status: int) -> None:
    """A server closes a connection on which some is left, and the next request on it fails."""
    left = [b"theme=", b"dark"]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        await dashboard(a_queue())(scope, receive, send)

    response = await browser(app).http.post(path, data={"theme": "dark"})
    assert (response.status_code, left) == (status, [])


# --- applications that block -------------------------------------------------------------------


def environ(path: str, query: str = "", **more: str) -> dict[str, Any]:
    """Return what a WSGI server calls an application with."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/queues",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8080",
        "HTTP_HOST": "localhost:8080",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
        **more,
    }


def call(app: Any, asked: Mapping[str, Any]) -> tuple[str, str]:
    """Return status and body of a WSGI application's answer."""
    said: list[str] = []
    body = b"".join(app(asked, lambda status, *_: said.append(status)))
    return said[0], body.decode()


@pytest.fixture
def blocking() -> Iterator[Any]:
    """Give a dashboard for an application that blocks."""
    q = a_queue()
    asyncio.run(put(q, name="email:welcome", queue="a/b"))
    app = wsgi_dashboard(q)
    yield app
    app.close()


def test_an_application_that_blocks_has_the_same_pages(blocking: Any) -> None:
    """Made on a loop in a thread of its own."""
    status, body = call(blocking, environ("/queue", "queue=a%2Fb"))
    assert status == "200 OK"
    assert "email:welcome" in body
    assert call(blocking, environ(""))[0].startswith("308")
    status, body = call(blocking, environ("/queue", "queue=nobody", REQUEST_METHOD="HEAD"))
    assert (status, body) == ("200 OK", "")


def test_a_browser_that_goes_away_leaves_nothing_that_waits(
    blocking: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A page is made before any of it is sent: asyncio would complain of what is left over."""
    answer = iter(blocking(environ("/"), lambda *_: None))
    assert next(answer)
    del answer
    gc.collect()
    blocking.close()
    assert caplog.text == ""


def test_a_form_that_is_too_large_is_refused_where_the_application_blocks(blocking: Any) -> None:
    """No more of it is read than shows that."""
    body = BytesIO(b"x" * (2 * MAX_BODY))
    asked = environ(
        "/preferences",
        REQUEST_METHOD="POST",
        CONTENT_LENGTH=str(2 * MAX_BODY),
        HTTP_SEC_FETCH_SITE="same-origin",
    )
    assert call(blocking, {**asked, "wsgi.input": body})[0].startswith("413")
    assert body.tell() == MAX_BODY + 1


def test_the_end_of_an_application_that_blocks_ends_its_moves_of_many() -> None:
    """One that waits for its next step is cut off, and the log says how far it came."""
    q = a_queue()
    for each in ("a", "b"):
        asyncio.run(put(q, id=each, queue="mail"))
    app = wsgi_dashboard(q)
    # "as_of" is far ahead: the set is that of now
    form = (
        b"verb=discard&which=all&state=pending&queue=mail&confirm=yes&reason=x&pace=1"
        b"&as_of=9000000000"
    )
    asked = environ(
        "/bulk",
        REQUEST_METHOD="POST",
        CONTENT_LENGTH=str(len(form)),
        CONTENT_TYPE="application/x-www-form-urlencoded",
        HTTP_SEC_FETCH_SITE="same-origin",
    )
    with capture_logs() as lines:
        assert call(app, {**asked, "wsgi.input": BytesIO(form)})[0].startswith("303")
        app.close()
    assert [(each["event"], each["how"]) for each in lines] == [
        ("a move of many has ended", "stopped")
    ]


def test_an_application_that_blocks_has_no_streams(blocking: Any) -> None:
    """Each would hold a thread of its server: its pages look again by themselves."""
    assert call(blocking, environ("/live"))[0] == "404 Not Found"
    body = call(blocking, environ("/"))[1]
    assert "data-live" in body
    assert "data-stream" not in body


@pytest.mark.parametrize("address", ["10.0.0.7", ""])
def test_an_application_that_blocks_lets_in_this_machine_alone(blocking: Any, address: str) -> None:
    """As one that awaits: by the address that WSGI tells."""
    assert call(blocking, environ("/", REMOTE_ADDR=address))[0] == "403 Forbidden"


@pytest.mark.parametrize(
    ("path", "query"), [("/\udcff", ""), ("/\xff", ""), ("/queue", "queue=\xff"), ("/é☃", "")]
)
def test_what_wsgi_cannot_say_is_refused(blocking: Any, path: str, query: str) -> None:
    """With 400, before it is turned into a request."""
    assert call(blocking, environ(path, query))[0].startswith("400")


# --- on a port ---------------------------------------------------------------------------------


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application on a free port."""
    listening = listen("127.0.0.1", 0)
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none")
    server = Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield url_of(listening)
    finally:
        server.should_exit = True
        await task


async def test_a_browser_reaches_it_on_a_port() -> None:
    """Over a real connection: raw bytes in a path and a query, and a page with names in it."""
    q = a_queue()
    await put(q, queue="ü/?#")
    async with served(dashboard(q)) as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("")).status_code == 200
        assert (await http.get("queue", params={"queue": "ü/?#"})).status_code == 200
        assert (await http.get("%2e%2e/%00")).status_code == 404
        assert (await http.post("preferences", data={"theme": "dark"})).status_code == 403


async def test_a_signal_ends_it() -> None:
    """At once where nothing is being made, and by itself with status 0."""
    listening = listen("127.0.0.1", 0)
    config = uvicorn.Config(dashboard(a_queue()), log_config=None, lifespan="off", ws="none")
    server = Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    async with httpx.AsyncClient() as http:
        await http.get(url_of(listening))
    signal.raise_signal(signal.SIGTERM)
    await task
