"""Links from page to page: relative ones, so that they hold under any prefix.

A page never says where the dashboard is mounted: a proxy may take a prefix away and tell nobody. So
links lead from the page that is shown to the one beside it, and the browser, which alone knows the
whole URL, puts the prefix before it. Names of queues and ids of tasks are parameters, never parts
of a path: there `..`, and what a proxy decodes, would lead elsewhere.
"""

from collections.abc import Collection
from urllib.parse import quote, urlencode

from starlette.types import Scope

from qcore.domain.record import record


@record
class Links:
    """Links from one page."""

    names: Collection[str]
    """Of all routes."""
    depth: int = 0
    """How many folders below the mount the page is."""

    def to(self, route: str, /, **parameters: str | int | None) -> str:
        """Return the link to a route, with parameters; those that are None are left out."""
        if route not in self.names:
            raise KeyError(f"no route is called {route!r}")
        given = {key: str(value) for key, value in parameters.items() if value is not None}
        query = urlencode(given, quote_via=quote, safe="", errors="replace")
        path = "../" * self.depth + route
        return (path or "./") + (f"?{query}" if query else "")


def path_of(scope: Scope) -> str:
    """Return the path below the mount, which begins with "/", or is empty at the mount itself."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    # where a proxy has taken the outer prefix away, the path begins with the inner one
    inner = root.removeprefix(str(scope.get("app_root_path", "")))
    for prefix in (root, inner):
        if prefix and (path == prefix or path.startswith(f"{prefix}/")):
            return path[len(prefix) :]
    return path


def with_slash(scope: Scope) -> str:
    """Return the link from the mount without a slash, which is no folder, to the one with it."""
    return quote(str(scope["path"]).rpartition("/")[2] or ".", safe="") + "/"
