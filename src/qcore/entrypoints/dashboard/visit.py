"""One request, as a page sees it; and what a page answers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from attrs import field
from starlette.requests import Request

from qcore.app.client.inspector import Inspector
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.workers import WorkerInfo
from qcore.entrypoints.dashboard.board import Board
from qcore.entrypoints.dashboard.inputs import Inputs
from qcore.entrypoints.dashboard.links import Links
from qcore.entrypoints.dashboard.moments import zone_of
from qcore.entrypoints.dashboard.refusals import NotThere
from qcore.entrypoints.dashboard.rights import Right, Visitor
from qcore.ports import worker_registry_of

T = TypeVar("T")

THEME: Final = "qcore_theme"
ZONE: Final = "qcore_zone"
"""Cookies."""
THEMES: Final = ("auto", "light", "dark")
YES: Final = "yes"
"""What a form says that was asked about."""
MAX_BACK: Final = 8_000
NO_INPUTS: Final = Inputs()


@record
class Page:
    """A page to be shown: a template, and what it needs besides what all templates have."""

    template: str
    title: str
    values: Mapping[str, Any] = field(factory=dict[str, Any], hash=False)
    command: Sequence[str] = ()
    """The arguments of `qcore` that do the same in a terminal."""
    status: int = 200
    live: Mapping[str, str] | None = field(default=None, hash=False)
    """The parameters of the stream that tells it to look again; None for a page that stays."""
    every: int = 0
    """Seconds after which it is to be asked for again, where no stream tells of what it shows."""

    @property
    def is_live(self) -> bool:
        """Return whether it follows what it shows."""
        return self.live is not None or self.every > 0


@record
class Done:
    """Something was done, or was not: the browser goes to a page, which says so."""

    to: str
    """A link."""
    said: str
    is_good: bool = True


@record
class Visit:
    """One request: who asks, for what, and with which links and values it is answered."""

    board: Board
    request: Request
    name: str
    """Of the route."""
    visitor: Visitor
    links: Links
    query: Inputs = NO_INPUTS
    """The parameters in the URL."""
    form: Inputs = NO_INPUTS
    """The fields of the form, of a request that changes something."""

    @property
    def inspector(self) -> Inspector:
        """Return what asks the store."""
        return self.board.inspector

    @property
    def now(self) -> Moment:
        """Return the time that the store goes by."""
        return self.board.now()

    @property
    def zone(self) -> ZoneInfo:
        """Return the zone in which moments are shown."""
        try:
            return zone_of(self.request.cookies.get(ZONE))
        except InvalidOption:
            return self.board.settings.zone

    @property
    def theme(self) -> str:
        """Return light, dark, or auto for what the browser prefers."""
        theme = self.request.cookies.get(THEME, "")
        return theme if theme in THEMES else THEMES[0]

    @property
    def can_stream(self) -> bool:
        """Return whether pages are told of changes: under WSGI each stream would hold a thread."""
        return "wsgi_environ" not in self.request.scope

    def may(self, right: Right, queue: str | None = None) -> bool:
        """Return whether the visitor has a right: for a queue, or for some queue at least."""
        return self.visitor.may(right, queue)

    def seen(self, right: Right, queues: Mapping[str, T]) -> Mapping[str, T]:
        """Return what there is of queues, without those for which the visitor has no right."""
        if self.visitor.rights.may_everywhere(right):
            return queues
        return {queue: held for queue, held in queues.items() if self.may(right, queue)}

    async def workers(self) -> Sequence[WorkerInfo] | None:
        """Return the workers of queues whose workers the visitor may see.

        None where the broker lists none, or the visitor may see none.
        """
        registered = worker_registry_of(self.board.q.broker) is not None
        if not registered or not self.may(Right.WORKER_READ):
            return None
        return [
            each
            for each in await self.inspector.workers()
            if any(self.may(Right.WORKER_READ, queue) for queue in each.queues)
        ]

    def require(self, right: Right, queue: str) -> None:
        """Raise `NotThere` where the visitor has no right for a queue."""
        if not self.may(right, queue):
            raise NotThere(NOT_THERE)

    def here(self) -> str:
        """Return what leads back to this page, to be given to a form as its field `next`.

        To the first page from the answer to a form, which cannot be asked for by a link.
        """
        if self.request.method == "POST":
            return ""
        query = self.request.scope.get("query_string", b"").decode("latin-1")
        return f"{self.name}?{query}" if query else self.name

    def back(self, default: str = "") -> str:
        """Return the link to the page that a form names as `next`; never one to elsewhere."""
        given = self.form.maybe("next", most=MAX_BACK) or default
        try:
            parts = urlsplit(given) if given.isprintable() and not given.startswith("/") else None
        except ValueError:
            # a host in brackets that is none
            parts = None
        if parts is None or parts.scheme or parts.netloc or parts.path not in self.links.names:
            return self.links.to("")
        try:
            query = dict(parse_qsl(parts.query, max_num_fields=20))
        except ValueError:
            query = {}
        return self.links.to(parts.path, **query)


NOT_THERE: Final = "there is no such page, or you may not see it"
NOT_STORED: Final = (
    "this task is not stored, or not any more: completed tasks are kept for as long as their "
    "retention says"
)
