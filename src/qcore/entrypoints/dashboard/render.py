"""Pages become HTML: Jinja2 escapes all that is put in, wherever it came from."""

import shlex
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Final, cast
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from qcore.app.client.query_terms import quoted
from qcore.domain.moments import Moment
from qcore.domain.queue_limits import Rate
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.domain.text import escaped
from qcore.entrypoints.dashboard.assets import ASSETS, FOLDER, PACKAGE
from qcore.entrypoints.dashboard.flash import forget, said_to
from qcore.entrypoints.dashboard.moments import Shown, show
from qcore.entrypoints.dashboard.pretty import in_one_line, tokens
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import RouteTable
from qcore.entrypoints.dashboard.visit import THEMES, Page, Visit
from qcore.entrypoints.written_times import duration, short

INVISIBLE: Final = {"Cc", "Cf"}
"""Unicode categories of what is not seen, but may turn the text after it round."""
LAYOUT: Final = frozenset("\n\t")
JOINERS: Final = frozenset("\u200c\u200d")
"""Scripts and emoji are written with them, and nothing else is changed by them."""
LARGE: Final = 10_000
SIZES: Final = ((1e9, "B"), (1e6, "M"), (1e3, "k"))


def visible(value: Any) -> Any:
    """Return a text without what a page cannot have, or a reader cannot see; escaped instead."""
    if type(value) is Markup or not isinstance(value, str) or value.isprintable():
        return value
    return "".join(map(_visible, escaped(value)))


def _visible(character: str) -> str:
    if character in LAYOUT or character in JOINERS:
        return character
    if unicodedata.category(character) not in INVISIBLE:
        return character
    return character.encode("unicode_escape").decode()


def number(value: float) -> str:
    """Return a number with commas; a large one short, such as 1.2M."""
    if abs(value) < LARGE:
        return f"{value:,.0f}"
    size, unit = next((size, unit) for size, unit in SIZES if abs(value) >= size)
    return f"{value / size:.3g}{unit}"


def rate(limit: Rate) -> str:
    """Return a rate such as 600/min, or 5 in 0.5 s."""
    unit = {1: "s", 60: "min", 3_600: "h", 86_400: "day"}.get(int(limit.per))
    if unit is None or limit.per != int(limit.per):
        return f"{limit.count:,} in {limit.per:g} s"
    return f"{limit.count:,}/{unit}"


def command(words: Sequence[str]) -> str:
    """Return the command line of `qcore` with some arguments."""
    return shlex.join(["qcore", *words])


def capitalise(text: str) -> str:
    """Return a sentence with a capital at its beginning, unless that is a name, such as a URL.

    So is what a colon follows, as of a queue: the doctor says "mail: 3 tasks wait".
    """
    is_word = text.partition(" ")[0].rstrip(",").isalpha()
    return text[:1].upper() + text[1:] if is_word else text


def pair(task: Task) -> str:
    """Return what a form says of a task that is ticked: its queue and its id."""
    return urlencode({"queue": task.queue, "id": task.id}, errors="replace")


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "number": number,
    "duration": duration,
    "short": short,
    "tokens": tokens,
    "one_line": in_one_line,
    "command": command,
    "capitalise": capitalise,
    "quoted": quoted,
    "pair": pair,
    "rate": rate,
}


@cache
def templates() -> Environment:
    """Return the templates, which every dashboard of a process shares: each is compiled once."""
    made = Environment(
        loader=PackageLoader(PACKAGE, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=visible,
    )
    filters: dict[str, Any] = made.filters
    filters.update(FILTERS)
    globals_: dict[str, Any] = cast("Any", made.globals)
    globals_.update(Right=Right, State=State, themes=THEMES)
    return made


class Renderer:
    """Make pages of templates."""

    def __init__(self, table: RouteTable) -> None:
        self._table = table

    def response(self, page: Page, visit: Visit, *, is_let_in: bool = True) -> Response:
        """Return a page; for somebody who is not let in, without what leads to others."""
        said = said_to(visit.request)
        template = templates().get_template(page.template)
        html = template.render(
            **page.values, **self._common(page, visit, is_let_in=is_let_in), said=said
        )
        response = HTMLResponse(html, status_code=page.status)
        if said is not None:
            forget(response)
        return response

    def _common(self, page: Page, visit: Visit, *, is_let_in: bool) -> dict[str, Any]:
        """Return what every template has."""
        board = visit.board
        zone, now = visit.zone, visit.now

        def moment(value: Moment) -> Shown:
            return show(value, now, zone)

        def asset(name: str) -> str:
            return visit.links.to(f"{FOLDER}/{name}", v=ASSETS[name].version)

        return {
            "page": page,
            "visit": visit,
            "link": visit.links.to,
            "may": visit.may,
            "may_open": partial(self._table.may_open, visit),
            "moment": moment,
            "asset": asset,
            "navigation": self._table.navigation(visit) if is_let_in else (),
            "environment": board.settings.environment,
            "store": board.q.store if is_let_in else "",
            "has_login": board.settings.authentication.has_login,
            "is_let_in": is_let_in,
            "zone": zone,
            "now": now,
        }
