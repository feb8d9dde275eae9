"""Why a request is not answered as asked: each is a page with a status and what to do."""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from types import MappingProxyType


class Refusal(Exception):
    """A request is refused; its text is shown, and says what was expected."""

    status = HTTPStatus.BAD_REQUEST
    headers: Mapping[str, str] = MappingProxyType({})


class BadRequest(Refusal):
    """A value of the request makes no sense."""


class BadQuery(BadRequest):
    """The query for tasks cannot be read."""

    def __init__(self, text: str, query: str) -> None:
        super().__init__(text)
        self.query = query


class LoginNeeded(Refusal):
    """Nobody is logged in."""

    status = HTTPStatus.UNAUTHORIZED
    # not Basic: a browser would ask for it before it shows the form
    headers = MappingProxyType({"www-authenticate": 'Bearer realm="qcore"'})


class Forbidden(Refusal):
    """The request comes from where none is answered, or was forged."""

    status = HTTPStatus.FORBIDDEN


class NotThere(Refusal):
    """There is no such thing, or the visitor may not see it: nobody can tell which."""

    status = HTTPStatus.NOT_FOUND


class WrongMethod(Refusal):
    """The page is there, and is not asked for in this way."""

    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, text: str, allowed: Collection[str]) -> None:
        super().__init__(text)
        self.headers = {"allow": ", ".join(allowed)}


class TooLarge(Refusal):
    """The form is larger than any of the dashboard's."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class TooMany(Refusal):
    """Too many logins have failed."""

    status = HTTPStatus.TOO_MANY_REQUESTS


class StoreAway(Refusal):
    """The store does not answer."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers = MappingProxyType({"retry-after": "5"})


class NoStoreYet(StoreAway):
    """There is no store: nobody has made it yet."""


class Broken(Refusal):
    """A page could not be made, by a fault of ours or of the application's."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
