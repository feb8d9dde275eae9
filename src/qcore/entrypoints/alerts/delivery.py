"""Tell an alert: to a URL, or to a function."""

from base64 import b64encode
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from msgspec import json

from qcore.domain.control import SkipRetry
from qcore.domain.errors import InvalidOption
from qcore.entrypoints.alerts.alert import Alert
from qcore.entrypoints.url_users import without_user

TIMEOUT: Final = 10.0
"""Seconds that each step of a request may take: to connect, to send, to be answered."""
LATER: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
"""Answers that ask for another attempt, besides those of a server that has failed itself."""


class _NoRedirects(HTTPRedirectHandler):
    """Take a redirect for an answer: to follow it would make a GET of a POST."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Return no other request."""
        return


class Webhook:
    """Post alerts to a URL as JSON; a name and a password in it are sent as basic authentication.

    Only its scheme and host are ever said in errors and logs: many a path is a secret. Raises
    `InvalidOption` for a URL that is not of HTTP.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            # a port that is no number is refused when it is asked for
            host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
        except ValueError:
            parts, host = urlsplit(""), None
        if parts.scheme not in {"http", "https"} or not host:
            raise InvalidOption(
                "the URL of alerts cannot be used: expected one such as https://host/path, or a "
                "function"
            )
        self.shown: Final = f"{parts.scheme}://{host}"
        """What of it may be shown."""
        self._url, user = without_user(url)
        self._headers = {"Content-Type": "application/json", "User-Agent": "qcore"}
        if user is not None:
            secret = b64encode(":".join(user).encode()).decode()
            self._headers["Authorization"] = f"Basic {secret}"

    def __repr__(self) -> str:
        """Show where it posts to, without secrets."""
        return f"<Webhook {self.shown}>"

    def __call__(self, alert: Alert) -> None:
        """Post an alert.

        Raises `ConnectionError` for what may go better later: no answer, or one of 5xx, 408, 425 or
        429; `SkipRetry` for any other refusal.
        """
        failure = self._post(json.encode(alert.body()))
        if failure is not None:
            # raised out here, so that no traceback has the URL among its causes
            raise failure

    def _post(self, body: bytes) -> Exception | None:
        request = Request(self._url, body, self._headers, method="POST")  # noqa: S310  (checked)
        try:
            with build_opener(_NoRedirects).open(request, timeout=TIMEOUT):
                return None
        except HTTPError as error:
            error.close()
            said = f"{self.shown} has answered {error.code} to an alert"
            if error.code in LATER or error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return ConnectionError(said)
            return SkipRetry(f"{said}: it is given up")
        except URLError as error:
            reason = error.reason
            return ConnectionError(f"{self.shown} cannot be reached: {_kind(reason)}")
        except Exception as error:  # noqa: BLE001  (http.client has errors of its own, with URLs)
            return ConnectionError(f"{self.shown} cannot be reached: {_kind(error)}")


def _kind(reason: object) -> str:
    """Return what went wrong, without text that may have the URL in it."""
    told = getattr(reason, "strerror", None)
    return told if isinstance(told, str) else type(reason).__name__


def receiver_of(to: str | Callable[[Alert], Any]) -> Callable[[Alert], Any]:
    """Return what is called with alerts; raise `InvalidOption` for what is neither."""
    if isinstance(to, str):
        try:
            return Webhook(to)
        finally:
            # a traceback that shows variables is not to show a secret
            del to
    if not callable(to):
        raise InvalidOption(f"to is a {type(to).__name__}: expected a URL or a function")
    return to
