"""The dashboard as a view: `path("queues/", include("qcore.django.urls"))`.

It is behind the login of the admin, or else that of LOGIN_URL. Who is of the staff and has the
permission `qcore.view_queue` looks, who has `qcore.change_queue` moves tasks, too.
"""

import io
from collections.abc import Callable, Iterable
from typing import Any, Final
from wsgiref.util import setup_testing_defaults

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import NoReverseMatch, reverse
from django.views.decorators.csrf import csrf_exempt
from starlette.requests import Request

from qcore.dashboard import ALL, READ_ONLY, Visitor, wsgi_dashboard
from qcore.django.queue import q

VIEW: Final = "qcore.view_queue"
CHANGE: Final = "qcore.change_queue"
VISITOR: Final = "qcore.visitor"
"""The key of the environment of WSGI under which the view says who asks."""


def visitor_of(user: Any) -> Visitor | None:
    """Return what a user of Django may do; None for nothing."""
    if not (user.is_active and user.is_staff):
        return None
    if user.has_perm(CHANGE):
        return Visitor(ALL, user.get_username())
    return Visitor(READ_ONLY, user.get_username()) if user.has_perm(VIEW) else None


def _access(request: Request) -> Visitor | None:
    visitor: Visitor | None = request.scope["wsgi_environ"][VISITOR]
    return visitor


_options: Final[dict[str, Any]] = {"access": _access, **q.settings.dashboard}
pages: Final = wsgi_dashboard(q, **_options)


@csrf_exempt  # the pages have checks of their own, by where a form comes from
def dashboard(request: HttpRequest, page: str = "") -> HttpResponseBase:
    """Answer a request for a page of the dashboard, of a user whom the login has let in."""
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return redirect_to_login(request.get_full_path(), _login_url())
    visitor = visitor_of(user)
    if visitor is None:
        raise PermissionDenied
    return _answer(_environ(request, page, visitor))


def _login_url() -> str:
    try:
        return reverse("admin:login")
    except NoReverseMatch:
        return str(settings.LOGIN_URL)


def _environ(request: HttpRequest, page: str, visitor: Visitor) -> dict[str, Any]:
    """Return the environment of WSGI for a page, also where the request is one of ASGI."""
    environ = {key: value for key, value in request.META.items() if isinstance(value, str)}
    # a part of a path may hold an escaped slash or question mark: the pages take it as it was sent
    prefix = (
        request.path[: len(request.path) - len(page)].rstrip("/")
        if page
        else request.path.rstrip("/")
    )
    environ |= {
        "SCRIPT_NAME": prefix.encode().decode("latin-1"),
        "PATH_INFO": f"/{page}".encode().decode("latin-1"),
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.url_scheme": request.scheme or "http",
    }
    made: dict[str, Any] = {**environ, "wsgi.input": io.BytesIO(request.body), VISITOR: visitor}
    setup_testing_defaults(made)
    return made


def _answer(environ: dict[str, Any]) -> HttpResponse:
    started: list[Any] = []

    def start(
        status: str, headers: Iterable[tuple[str, str]], _error: Any = None
    ) -> Callable[[bytes], object]:
        started[:] = [status, headers]
        return lambda _: None

    body = b"".join(pages(environ, start))
    status, headers = started
    code, _, reason = status.partition(" ")
    response = HttpResponse(body, status=int(code), reason=reason)
    del response["Content-Type"]
    for name, value in headers:
        if name.lower() == "set-cookie":
            response.cookies.load(value)
        else:
            response[name] = value
    return response
