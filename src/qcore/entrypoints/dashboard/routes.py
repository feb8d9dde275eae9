"""Routes: what can be asked of a dashboard, in one table, each with the right that it needs."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Literal, TypeAlias

from starlette.responses import Response

from qcore.domain.errors import InvalidOption
from qcore.domain.record import record
from qcore.domain.text import shown
from qcore.entrypoints.dashboard.refusals import NotThere, WrongMethod
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.visit import NOT_THERE, Done, Page, Visit

Answer: TypeAlias = Page | Done | Response
Handler: TypeAlias = Callable[[Visit], Awaitable[Answer]]
METHODS: Final = ("GET", "POST")


@record
class Route:
    """Something that can be asked for.

    `GET` changes nothing, neither in the store nor elsewhere; what does is a `POST`, which is
    refused unless a page of the dashboard has made it.
    """

    method: Literal["GET", "POST"]
    name: str
    """Its path below the mount, without the slash: "queue", or "" for the first page."""
    right: Right
    answer: Handler
    per_queue: bool = False
    """Whether the right is asked for the queue that the parameter `queue` names; else for some
    queue at least, and the page shows no more than the visitor may see."""
    nav: str | None = None
    """How the navigation calls it; None for a page that is not in it."""
    is_stream: bool = False
    """Whether it answers with a stream, which is not made for a request without a body (HEAD)."""

    def __attrs_post_init__(self) -> None:
        """Raise `InvalidOption` for a route that does not say what it needs."""
        given: object = self.right
        if not isinstance(given, Right):
            raise InvalidOption(f"the route {self.name!r} has no right: {shown(given)}")
        if self.method not in METHODS:
            raise InvalidOption(f"the route {self.name!r} has no method: expected GET or POST")
        parts = self.name.split("/") if self.name else ()
        if not all(part.isascii() and part.strip(".") for part in parts):
            raise InvalidOption(f"a route is called {self.name!r}: expected words of ASCII")


class RouteTable:
    """All routes of a dashboard."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes: Sequence[Route] = tuple(routes)
        self._by_name: dict[str, dict[str, Route]] = {}
        for route in self.routes:
            known = self._by_name.setdefault(route.name, {})
            if route.method in known:
                raise InvalidOption(f"there are two routes {route.method} {route.name!r}")
            known[route.method] = route
        self.names = frozenset(self._by_name)

    def find(self, method: str, path: str) -> Route:
        """Return the route of a path below the mount; raise `NotThere` or `WrongMethod`."""
        known = self._by_name.get(path.removeprefix("/"))
        if known is None or not path.startswith("/"):
            raise NotThere(NOT_THERE)
        found = known.get("GET" if method == "HEAD" else method)
        if found is None:
            allowed = [*known, "HEAD"] if "GET" in known else [*known]
            text = f"{shown(method)} is not allowed here: expected {', '.join(allowed)}"
            raise WrongMethod(text, allowed)
        return found

    def may_open(self, visit: Visit, name: str) -> bool:
        """Return whether a visitor may open a page, for some queue at least."""
        return visit.may(self._by_name[name]["GET"].right)

    def navigation(self, visit: Visit) -> Sequence[Route]:
        """Return the pages that a visitor may open, in their order."""
        return [each for each in self.routes if each.nav and visit.may(each.right)]
