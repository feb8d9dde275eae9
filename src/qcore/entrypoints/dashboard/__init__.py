"""The dashboard: pages that show what waits, runs and fails in a queue, and move it.

To add a page:

1. Write `pages/NAME.py` with an `async def` that takes a `Visit` and returns a `Page` (a template
   with its values), a `Done` (something was done: go there, and say so), or a `Response`. Ask the
   store through `visit.inspector`, which sees no more than a page may show (`board.mask` reads
   arguments, and what writes back what it has read asks `board.q` instead); take values from
   `visit.query` or, of a form, `visit.form`, each by a method that bounds it; make links by
   `visit.links.to(name, queue=…)`. Names of queues and ids are parameters, not parts of a path.
2. Declare it in the module's `ROUTES`: `Route("GET", "name", Right.QUEUE_READ, handler)`, with
   `per_queue=True` where the parameter `queue` says which queue it is about (the right is then
   asked for that queue before the handler is called), and `nav="Name"` to stand in the navigation.
   Without it the page shows no more than `visit.may(right, queue)` lets, and
   `visit.visitor.rights.query(right)` is the query that narrows a list to the queues that somebody
   may see. `GET` changes nothing; what does is a `POST`, which gives the inspector's methods
   `**who(visit)` of audit.py, so that it is known who did it and why. A new kind of action gets a
   member of `Right`.
3. Write `templates/NAME.html`, which extends layout.html and imports macros.html for moments,
   states, bars and data. All that is put in is escaped; `|safe` and `Markup` are for nobody, and
   neither are `style="…"`, `<script>` with text and `on…=` attributes, which the policy refuses.
4. Add the module to `table.py`. Tests walk the table: every route without a login, as each role,
   from another site, with hostile text in every field of the store. Say in
   `tests/entrypoints/dashboard/examples.py` with which parameters a route is asked for, and test
   what it says in `test_NAME.py` with `tests/entrypoints/dashboard/kit.py`.
"""

from collections.abc import Collection
from typing import TypedDict, Unpack

from qcore.entrypoints.dashboard.app import Dashboard
from qcore.entrypoints.dashboard.authentication import Access
from qcore.entrypoints.dashboard.board import Board
from qcore.entrypoints.dashboard.settings import settings_of
from qcore.entrypoints.dashboard.table import TABLE
from qcore.entrypoints.facade import Qcore


class Options(TypedDict, total=False):
    """How a dashboard is set up."""

    access: Access | None
    token: str | None
    read_only_token: str | None
    environment: str | None
    colour: str | None
    zone: str
    mask: Collection[str]
    public_origins: Collection[str]
    look: int


def dashboard(q: Qcore, **options: Unpack[Options]) -> Dashboard:
    """Return an ASGI application with pages that show a queue and move its tasks.

    Mount it anywhere: `app.mount("/queues", dashboard(q))`. Without `access` and tokens it answers
    this machine alone. `access` is a function of the request, which may be a coroutine, and returns
    what the visitor may do: `ALL`, `READ_ONLY`, rights such as {"*.read", "task.move@mail*"}, a
    `Visitor` with rights and a name, or None for nothing. `token` lets in whoever has it, with all
    rights, `read_only_token` to look only.

    `environment` is a badge on each page, such as "production", in a `colour` (grey, green, blue,
    amber, red or purple). Moments are shown in `zone`, by default "UTC", unless a visitor chooses
    another. Fields of arguments, results and headers whose names fit a pattern of `mask` (by
    default `DEFAULT_MASK`) are never sent to a browser. `public_origins`, such as
    ["https://ops.example.com"], are where browsers find it behind a proxy that changes the host.
    For a query, a page looks at `look` tasks, by default 2,000.

    Raises `InvalidOption` for a setting that makes no sense.
    """
    return Dashboard(Board(q, settings_of(**options)), TABLE)
