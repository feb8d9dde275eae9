"""All routes, how each is asked for, and what a store holds: for the tests that walk the table."""

from collections.abc import Mapping
from typing import Any

import httpx

from qcore import Qcore
from qcore.dashboard import ALL, READ_ONLY
from qcore.entrypoints.dashboard.rights import GRANTABLE
from qcore.entrypoints.dashboard.routes import Route
from qcore.entrypoints.dashboard.table import TABLE
from tests.entrypoints.dashboard.examples import ALSO, PARAMETERS
from tests.entrypoints.dashboard.hostile import fill
from tests.entrypoints.dashboard.kit import SAME_ORIGIN, Browser, a_queue

LOGIN_ALONE = {"login", "logout"}
"""Routes that are there only where there is a login."""
FOUND = {200, 303}
ROLES: list[Any] = [
    ALL,
    READ_ONLY,
    *({str(right)} for right in GRANTABLE),
    {"*@other"},
    set[str](),
]
ROUTES = [route for route in TABLE.routes if route.name not in LOGIN_ALONE]
DATA = {"complete"}
"""What scripts ask for, which is no page."""
PAGES = [route for route in ROUTES if not route.name.startswith("static/")]
POSTS = [route for route in ROUTES if route.method == "POST"]
EXAMPLES = [
    *((each.method, each.name, PARAMETERS.get((each.method, each.name), {})) for each in PAGES),
    *ALSO,
]


def named(route: Route) -> str:
    """Return how a test is called."""
    return f"{route.method} /{route.name}"


def asked(example: tuple[str, str, Mapping[str, str]]) -> str:
    """Return how a test is called."""
    return f"{example[0]} /{example[1]} {example[2].get('state') or example[2].get('id', '')[:9]}"


async def hostile_store() -> Qcore:
    """Return a queue whose store is full of hostile text."""
    q = a_queue()
    await fill(q)
    return q


async def send(
    at: Browser,
    method: str,
    name: str,
    parameters: Mapping[str, str],
    headers: Mapping[str, str] = SAME_ORIGIN,
) -> httpx.Response:
    """Ask for a route."""
    if method == "POST":
        return await at.post(name, headers, **parameters)
    return await at.get(name, **parameters)


async def ask(at: Browser, route: Route, **headers: str) -> httpx.Response:
    """Ask for a route with the parameters of its example."""
    parameters = PARAMETERS.get((route.method, route.name), {})
    return await send(at, route.method, route.name, parameters, headers or SAME_ORIGIN)


async def everything(q: Qcore) -> Any:
    """Return all that an inspector sees in a store."""
    counts = await q.inspector.counts()
    ids = [
        (queue, task.id)
        for queue, states in counts.items()
        for state in states
        for task in (await q.inspector.browse(queue, state)).tasks
    ]
    return (
        counts,
        [await q.inspector.get(*each) for each in ids],
        [await q.inspector.details(*each) for each in ids],
        [await q.inspector.limits(queue) for queue in counts],
        await q.inspector.workers(),
        await q.entries.list(),
    )
