"""What a page says of the move before it: in a cookie that it reads once, as there are no sessions.

Its text is cut and shown as text; it is not signed, so it is for telling and never for deciding.
"""

import base64
import json
from typing import Final, cast

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from qcore.domain.record import record
from qcore.entrypoints.dashboard.visit import Done

COOKIE: Final = "qcore_said"
LASTS: Final = 60
"""Seconds within which the next page is to come."""
LONGEST: Final = 600
LARGEST: Final = 3_500
"""Characters of a cookie that browsers keep."""
FIELDS: Final = 2


@record
class Said:
    """A message, and whether it is a good one."""

    text: str
    is_good: bool


def redirect(done: Done) -> Response:
    """Return what leads a browser to a page with a message."""
    # relative, as all links are
    response = RedirectResponse(done.to, status_code=303)
    row = [done.said[:LONGEST], done.is_good]
    value = base64.urlsafe_b64encode(json.dumps(row).encode()).decode().rstrip("=")
    response.set_cookie(
        COOKIE, value[:LARGEST], max_age=LASTS, path=None, httponly=True, samesite="lax"
    )
    return response


def said_to(request: Request) -> Said | None:
    """Return the message for this request; None where there is none that can be read."""
    value = request.cookies.get(COOKIE, "")[:LARGEST]
    try:
        row: object = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
    except (ValueError, RecursionError):
        return None
    match row:
        case [str(text), bool(is_good)]:
            return Said(text[:LONGEST], is_good)
        case _:
            return None


def forget(response: Response) -> None:
    """Take the message back, as it was shown."""
    response.delete_cookie(COOKIE, path=cast("str", None), httponly=True, samesite="lax")
