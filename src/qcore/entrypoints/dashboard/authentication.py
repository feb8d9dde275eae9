"""Who is let in: this machine alone, whoever has a token, or whom the host application names."""

import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, Protocol, TypeAlias
from urllib.parse import urlsplit

from starlette.requests import Request

from qcore.app.client.auditing import default_operator
from qcore.domain.errors import InvalidOption
from qcore.entrypoints.dashboard.origin import (
    address_of,
    host_of,
    is_address,
    is_loopback,
    is_passed_on,
)
from qcore.entrypoints.dashboard.refusals import Forbidden
from qcore.entrypoints.dashboard.rights import ALL, Admitted, Visitor, visitor_of

Access: TypeAlias = Callable[[Request], Admitted | Awaitable[Admitted]]
"""A callback of the host application: what a request may, None for nothing at all."""


INSTEAD: Final = "qcore dashboard has --token-file, and dashboard(q, …) has access= and token="


class Authentication(Protocol):
    """Say who asks, and what they may."""

    @property
    def has_login(self) -> bool:
        """Return whether there is a form where a token can be given."""
        ...

    async def visitor(self, request: Request) -> Visitor | None:
        """Return who asks, None for nobody known; raise `Forbidden` for who never will be."""
        ...


class LoopbackAuthentication:
    """Let in who sits at this machine, with all rights.

    A name that leads here from elsewhere, as by DNS rebinding, is refused, and so is what a proxy
    passes on: whom that lets in is not known.
    """

    has_login = False

    async def visitor(self, request: Request) -> Visitor | None:
        """Return the visitor from this machine; raise `Forbidden` for any other."""
        host = host_of(request)
        if not is_loopback(host):
            raise Forbidden(
                f"this dashboard was asked for as {host!r}: without a login it answers this "
                f"machine alone, as localhost or 127.0.0.1; {INSTEAD}"
            )
        # what comes over a socket in the file system has no address: a proxy is behind it
        if is_passed_on(request) or not is_loopback(address_of(request)):
            raise Forbidden(
                "this request comes from another machine, or through a proxy: without a login this "
                f"dashboard answers this machine alone; {INSTEAD}"
            )
        return Visitor(ALL, default_operator())


class CallbackAuthentication:
    """Let in whom a callback of the host application names."""

    has_login = False

    def __init__(self, access: Access) -> None:
        self._access = access

    async def visitor(self, request: Request) -> Visitor | None:
        """Return who asks; raise `TypeError` for an answer of the callback that makes no sense."""
        given = self._access(request)
        try:
            return visitor_of(await given if inspect.isawaitable(given) else given)
        except InvalidOption as error:
            # a fault of the application, and none of the visitor's
            raise TypeError(f"access of the dashboard: {error}") from None


class NoAuthentication:
    """Let in everybody, with all rights: somebody else, such as a proxy, sees to who that is.

    Under a name that nobody has said it has, nothing is answered: a page elsewhere could have its
    own name lead here.
    """

    has_login = False

    def __init__(self, public_origins: Collection[str]) -> None:
        self._hosts = {urlsplit(each).hostname for each in public_origins}

    async def visitor(self, request: Request) -> Visitor | None:
        """Return the visitor; raise `Forbidden` under a name that is not known."""
        host = host_of(request)
        if not (host in self._hosts or is_loopback(host) or is_address(host)):
            raise Forbidden(
                f"this dashboard was asked for as {host!r}, a name that is not known here: "
                f"--public-origin https://{host} makes it known"
            )
        return Visitor(ALL)


Tokens: TypeAlias = Mapping[str, Visitor]
"""Token to who has it."""
