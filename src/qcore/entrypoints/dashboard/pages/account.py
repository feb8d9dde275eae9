"""What belongs to the visitor: the login, how pages look, and the keys."""

from typing import Final

from starlette.responses import Response

from qcore.domain.errors import InvalidOption
from qcore.entrypoints.dashboard.flash import redirect
from qcore.entrypoints.dashboard.moments import MAX_ZONE, zone_names, zone_of
from qcore.entrypoints.dashboard.refusals import BadRequest, NotThere
from qcore.entrypoints.dashboard.rights import MAX_NAME, Right
from qcore.entrypoints.dashboard.routes import Route
from qcore.entrypoints.dashboard.sessions import COOKIE, LONGEST, TokenAuthentication
from qcore.entrypoints.dashboard.visit import NOT_THERE, THEME, THEMES, ZONE, Done, Page, Visit
from qcore.log.logger import get_logger

A_YEAR: Final = 365 * 86_400
MAX_NEXT: Final = 8_000
KEYS: Final = (
    ("?", "these keys"),
    ("/", "to the field for a query"),
    ("g o", "to the overview"),
    ("g t", "to the tasks, and so to any page by its first letter"),
    ("j  k", "to the next row, and to the one before"),
    ("Enter", "open the row"),
    ("x", "tick the row, to move it with others"),
    ("n  p", "to the next page of a list, and to the first"),
    ("r", "load this page again"),
    ("c", "copy the command that does the same in a terminal"),
)


async def login_form(visit: Visit) -> Page:
    """Ask for a token."""
    _authentication(visit)
    back = visit.query.text("next", most=MAX_NEXT, default="")
    return Page("login.html", "Log in", {"text": "", "next": back})


async def login(visit: Visit) -> Page | Response:
    """Log in whoever has a token."""
    authentication = _authentication(visit)
    token = visit.form.text("token", most=LONGEST)
    name = visit.form.text("name", most=MAX_NAME, default="")
    visitor = authentication.admitted(visit.request, token, name)
    if visitor is None:
        get_logger().warning("a login to the dashboard has failed", name=name)
        values = {
            "text": "This token is not right.",
            "next": visit.form.text("next", most=MAX_NEXT, default=""),
        }
        return Page("login.html", "Log in", values, status=401)
    response = redirect(Done(visit.back(), f"You are logged in as {visitor.name}."))
    authentication.open_session(response, token, name, is_secure=_is_secure(visit))
    return response


async def logout(visit: Visit) -> Response:
    """End the session of this browser."""
    _authentication(visit)
    response = redirect(Done(visit.links.to("login"), "You are logged out."))
    response.set_cookie(COOKIE, max_age=0, path=None, httponly=True, samesite="lax")
    return response


async def preferences(visit: Visit) -> Page:
    """Show how pages look."""
    back = visit.query.text("next", most=MAX_NEXT, default="")
    return Page("preferences.html", "How pages look", {"zones": zone_names(), "next": back})


async def prefer(visit: Visit) -> Response:
    """Change how pages look, in this browser."""
    theme = visit.form.one_of("theme", THEMES, visit.theme)
    zone = visit.form.text("zone", most=MAX_ZONE, default=visit.zone.key)
    try:
        zone_of(zone)
    except InvalidOption as error:
        raise BadRequest(str(error)) from None
    response = (
        redirect(Done(visit.back(), f"Times are shown in {zone}."))
        if zone != visit.zone.key
        else _back(visit)
    )
    for name, value in ((THEME, theme), (ZONE, zone)):
        response.set_cookie(
            name,
            value,
            max_age=A_YEAR,
            path=None,
            secure=_is_secure(visit),
            httponly=True,
            samesite="lax",
        )
    return response


def _back(visit: Visit) -> Response:
    return Response(status_code=303, headers={"location": visit.back()})


async def keys(visit: Visit) -> Page:  # noqa: ARG001  (every page is asked so)
    """Show the keys."""
    return Page("keys.html", "Keys", {"keys": KEYS})


def _authentication(visit: Visit) -> TokenAuthentication:
    authentication = visit.board.settings.authentication
    if not isinstance(authentication, TokenAuthentication):
        raise NotThere(NOT_THERE)
    return authentication


def _is_secure(visit: Visit) -> bool:
    origins = visit.board.settings.public_origins
    return visit.request.url.scheme == "https" or any(each.startswith("https:") for each in origins)


ROUTES: Final = (
    Route("GET", "login", Right.ANYBODY, login_form),
    Route("POST", "login", Right.ANYBODY, login),
    Route("POST", "logout", Right.VISITOR, logout),
    Route("GET", "preferences", Right.VISITOR, preferences),
    Route("POST", "preferences", Right.VISITOR, prefer),
    Route("GET", "keys", Right.VISITOR, keys),
)
