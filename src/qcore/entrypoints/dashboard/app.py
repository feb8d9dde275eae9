"""The dashboard as an ASGI application: one way in for all requests, and one way out.

On the way in, in this order: the route is looked up, the visitor is let in or not, a request that
changes something has to come from a page of ours, its values are read, and the right that the route
declares is asked for. Only then is its page made. On the way out each answer gets its headers.
"""

import asyncio
from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from attrs import evolve
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from qcore.domain.errors import (
    BrokerUnavailable,
    BrokerUnusable,
    InvalidOption,
    InvalidTask,
    QueueHasTasks,
    StoreMissing,
)
from qcore.domain.text import traceback_of
from qcore.entrypoints.dashboard.board import Board
from qcore.entrypoints.dashboard.flash import redirect
from qcore.entrypoints.dashboard.headers import secure
from qcore.entrypoints.dashboard.inputs import body_of, form_of, query_of
from qcore.entrypoints.dashboard.links import Links, path_of, with_slash
from qcore.entrypoints.dashboard.masking import without_passwords
from qcore.entrypoints.dashboard.origin import refuse_forged
from qcore.entrypoints.dashboard.refusals import (
    BadQuery,
    BadRequest,
    Broken,
    Forbidden,
    LoginNeeded,
    NoStoreYet,
    NotThere,
    Refusal,
    StoreAway,
)
from qcore.entrypoints.dashboard.render import Renderer
from qcore.entrypoints.dashboard.rights import Right, Rights, Visitor
from qcore.entrypoints.dashboard.routes import Answer, Route, RouteTable
from qcore.entrypoints.dashboard.unreadable_query import page_of
from qcore.entrypoints.dashboard.visit import NOT_THERE, Done, Page, Visit
from qcore.log.logger import get_logger

PAGE_TIMEOUT: Final = 15.0
"""Seconds for a page: a store that hangs is told to be away."""
NOBODY: Final = Visitor(Rights())


class Dashboard:
    """Show what waits, runs and fails in a queue, and move it. An ASGI application.

    Made by `dashboard(q, …)`, which says what it takes.
    """

    def __init__(self, board: Board, table: RouteTable) -> None:
        self._board = board
        self._authentication = board.settings.authentication
        self._table = table
        self._renderer = Renderer(table)

    def close(self) -> None:
        """End what lasts: the streams of live pages, for which a server waits, and moves of many.

        `qcore dashboard` does so at a signal, and uvicorn is seen to stop. An application under
        another server calls it when that begins to.
        """
        self._board.streams.close()
        self._board.jobs.stop()

    async def wait_closed(self) -> None:
        """End the moves of many that run, and wait for them: before the store is closed."""
        self.close()
        await self._board.jobs.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        match scope["type"]:
            case "http":
                request = Request(scope, receive)
                response = await self._answer(request)
                secure(response)
                if request.method == "HEAD":
                    response.body = b""
                await response(scope, receive, send)
            case "lifespan":
                await _live(receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": 1000})
            case _:
                raise NotImplementedError(f"no answer to {scope['type']!r}")

    async def _answer(self, request: Request) -> Response:
        path = path_of(request.scope)
        if not path:
            return RedirectResponse(with_slash(request.scope), status_code=308)
        links = Links(self._table.names, max(0, path.count("/") - 1))
        visit = Visit(self._board, request, "", NOBODY, links)
        try:
            # also of a request that is refused: servers close a connection on which some is left
            body = await body_of(request)
            route = self._table.find(request.method, path)
            visit = evolve(visit, name=route.name)
            visit = evolve(visit, visitor=await self._visitor(request, route))
            visit = evolve(visit, query=query_of(request))
            if route.method == "POST":
                self._refuse_forged(visit)
                visit = evolve(visit, form=form_of(request, body))
            _check_right(route, visit)
            if route.is_stream and request.method == "HEAD":
                return Response()
            async with asyncio.timeout(PAGE_TIMEOUT):
                return self._response(await route.answer(visit), visit)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:  # noqa: BLE001  (whatever it is, its text is not for visitors)
            return self._refused(_refusal_of(error), visit)

    async def _visitor(self, request: Request, route: Route) -> Visitor:
        """Return who may ask for a route, or for nothing but its like."""
        if route.right is Right.ANYBODY and self._authentication.has_login:
            return NOBODY
        visitor = await self._authentication.visitor(request)
        if visitor is not None:
            return visitor
        if self._authentication.has_login:
            raise LoginNeeded("log in to see this page")
        raise NotThere(NOT_THERE)

    def _refuse_forged(self, visit: Visit) -> None:
        try:
            refuse_forged(visit.request, self._board.settings.public_origins)
        except Forbidden as error:
            get_logger().warning(
                "a forged request was refused",
                route=visit.name,
                by=visit.visitor.name,
                why=str(error),
            )
            raise

    # --- answers --------------------------------------------------------------------------------

    def _response(self, answer: Answer, visit: Visit) -> Response:
        match answer:
            case Page():
                is_let_in = visit.visitor is not NOBODY
                return self._renderer.response(answer, visit, is_let_in=is_let_in)
            case Done():
                return redirect(answer)
            case _:
                return answer

    def _refused(self, refusal: Refusal, visit: Visit) -> Response:
        is_let_in = visit.visitor is not NOBODY
        if isinstance(refusal, BadQuery) and visit.request.method in {"GET", "HEAD"}:
            return self._renderer.response(page_of(visit, refusal), visit)
        template = TEMPLATES.get(type(refusal), "refused.html")
        values: Mapping[str, object] = {"text": str(refusal), "next": ""}
        if isinstance(refusal, LoginNeeded) and visit.request.method in {"GET", "HEAD"}:
            path = path_of(visit.request.scope).removeprefix("/")
            query = visit.request.scope.get("query_string", b"").decode("latin-1")
            values = {**values, "next": f"{path}?{query}" if query else path}
        page = Page(template, refusal.status.phrase, values, status=int(refusal.status))
        response = self._renderer.response(page, visit, is_let_in=is_let_in)
        response.headers.update(refusal.headers)
        return response


TEMPLATES: Final[Mapping[type[Refusal], str]] = {
    LoginNeeded: "login.html",
    StoreAway: "away.html",
    NoStoreYet: "no_store.html",
}


def _check_right(route: Route, visit: Visit) -> None:
    """Raise `NotThere` where the visitor has no right to what a route does, or not in its queue."""
    inputs = visit.form if route.method == "POST" else visit.query
    if not visit.may(route.right, inputs.queue() if route.per_queue else None):
        raise NotThere(NOT_THERE)


def _refusal_of(error: Exception) -> Refusal:
    match error:
        case Refusal():
            return error
        case InvalidOption() | InvalidTask() | QueueHasTasks():
            return BadRequest(str(error))
        case StoreMissing():
            return NoStoreYet(str(error))
        case BrokerUnavailable() | BrokerUnusable() | OSError() | TimeoutError():
            text = without_passwords(str(error) or "it did not answer in time")
            get_logger().warning("the store did not answer the dashboard", error=text)
            return StoreAway(text)
        case _:
            number = uuid4().hex[:12]
            get_logger().error(
                "a page of the dashboard failed",
                number=number,
                traceback=without_passwords(traceback_of(error)),
            )
            return Broken(f"this page could not be made; the log tells why, under {number}")


async def _live(receive: Receive, send: Send) -> None:
    """Begin and end with the server; the store is opened by the first page, and is not ours."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
