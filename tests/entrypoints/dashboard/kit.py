"""A dashboard on a store in memory, asked without a socket; its answers read as a browser does."""

from collections.abc import Mapping
from typing import Any, Unpack

import httpx
from attrs import define
from selectolax.lexbor import LexborHTMLParser

from qcore import Qcore
from qcore.dashboard import dashboard
from qcore.domain.new_task import NewTask
from qcore.entrypoints.dashboard.app import Dashboard
from qcore.entrypoints.dashboard.rights import Rights
from qcore.testing import ManualClock
from qcore.testing.builders import TaskOptions, a_task

HOST = "http://localhost:8080"
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}


def a_queue() -> Qcore:
    """Return a queue in memory, in virtual time."""
    return Qcore("memory://", clock=ManualClock(), dice=lambda: 0.5, instruments=[])


async def put(q: Qcore, **options: Unpack[TaskOptions]) -> NewTask:
    """Enqueue a task, and return it."""
    task = a_task(**options)
    await q.broker.open()
    await q.broker.enqueue([task], now=q.clock.now())
    return task


@define
class Browser:
    """Ask a dashboard for its pages, as a browser on this machine would."""

    http: httpx.AsyncClient

    async def get(self, path: str = "", **parameters: Any) -> httpx.Response:
        """Ask for a page."""
        return await self.http.get(f"/{path}", params=parameters or None)

    async def post(
        self, path: str, headers: Mapping[str, str] = SAME_ORIGIN, **fields: Any
    ) -> httpx.Response:
        """Send a form, by default as a page of the dashboard does."""
        return await self.http.post(f"/{path}", data=fields, headers=dict(headers))

    async def page(self, path: str = "", **parameters: Any) -> LexborHTMLParser:
        """Ask for a page that is there, and read it."""
        response = await self.get(path, **parameters)
        assert response.status_code == 200, response.text
        return read(response)


def browser(app: Any, base: str = HOST, client: str = "127.0.0.1") -> Browser:
    """Return a browser for an application."""
    transport = httpx.ASGITransport(app=app, client=(client, 50_000))
    return Browser(httpx.AsyncClient(transport=transport, base_url=base))


def as_role(q: Qcore, role: Any) -> Dashboard:
    """Return a dashboard whose visitors have the rights of a role."""
    return dashboard(q, access=lambda _: None if role is None else Rights.of(role))


def read(response: httpx.Response) -> LexborHTMLParser:
    """Return an answer as a browser has it."""
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return LexborHTMLParser(response.text)


def text_of(html: LexborHTMLParser) -> str:
    """Return what a reader sees, with blanks as one."""
    assert html.body is not None
    return " ".join(html.body.text(separator=" ").split())


def links_of(html: LexborHTMLParser) -> list[str]:
    """Return where the links of a page lead."""
    return [str(each.attributes["href"]) for each in html.css("a[href]")]
