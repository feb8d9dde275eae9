"""Style sheets, scripts and pictures: files beside this one, served under names with hashes."""

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Final

from starlette.responses import Response

from qcore.domain.record import record
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Route
from qcore.entrypoints.dashboard.visit import Visit

PACKAGE: Final = "qcore.entrypoints.dashboard"
FOLDER: Final = "static"
TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
A_YEAR: Final = "public, max-age=31536000, immutable"


@record
class Asset:
    """A file."""

    name: str
    body: bytes
    version: str
    """Part of its link, so that a browser keeps it until it changes."""

    @property
    def media_type(self) -> str:
        """Return what kind of file it is."""
        return TYPES[f".{self.name.rpartition('.')[2]}"]

    async def answer(self, visit: Visit) -> Response:
        """Return the file; it may be kept where its link names this version."""
        is_this = visit.query.maybe("v", most=64) == self.version
        headers = {"cache-control": A_YEAR if is_this else "no-cache"}
        return Response(self.body, media_type=self.media_type, headers=headers)


def _asset(name: str, body: bytes) -> Asset:
    return Asset(name, body, sha256(body).hexdigest()[:16])


ASSETS: Final[Mapping[str, Asset]] = {
    each.name: _asset(each.name, each.read_bytes())
    for each in sorted(files(PACKAGE).joinpath(FOLDER).iterdir(), key=lambda each: each.name)
    if each.name.endswith(tuple(TYPES))
}
"""By name."""

ROUTES: Final = tuple(
    Route("GET", f"{FOLDER}/{each.name}", Right.ANYBODY, each.answer) for each in ASSETS.values()
)
