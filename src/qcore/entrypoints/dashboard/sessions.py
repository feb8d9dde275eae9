"""Logins by a token: in a form, which leaves a signed cookie, or in the header `Authorization`.

The cookie is signed with a key that is derived from the token. So it holds on every replica and
after a restart, and no longer than the token does.
"""

import base64
import binascii
import hmac
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from qcore.domain.errors import InvalidOption
from qcore.domain.text import is_utf8
from qcore.entrypoints.dashboard.authentication import Tokens
from qcore.entrypoints.dashboard.login_attempts import LoginAttempts
from qcore.entrypoints.dashboard.origin import address_of
from qcore.entrypoints.dashboard.rights import MAX_NAME, Visitor

COOKIE: Final = "qcore_session"
LASTS: Final = 12 * 3_600
"""Seconds for which a login holds."""
SHORTEST: Final = 16
LONGEST: Final = 1_000
FIELDS: Final = 3


def checked_token(token: object) -> str:
    """Return a token; raise `InvalidOption`, without it, for one that can be guessed."""
    if not isinstance(token, str) or not (
        SHORTEST <= len(token) <= LONGEST and token.isascii() and token.isprintable()
    ):
        raise InvalidOption(
            f"the token is too short, or is no line of ASCII: expected {SHORTEST} to {LONGEST:,} "
            "characters, such as those of: python -c 'import secrets; "
            "print(secrets.token_urlsafe())'"
        )
    return token


class TokenAuthentication:
    """Let in who has a token."""

    has_login = True

    def __init__(self, tokens: Tokens, *, now: Callable[[], float] = time.time) -> None:
        self._tokens = {checked_token(token): visitor for token, visitor in tokens.items()}
        self._now = now
        self.attempts = LoginAttempts()

    async def visitor(self, request: Request) -> Visitor | None:
        """Return who has logged in, or sends a token along; raise `TooMany` for who guesses."""
        cookie = request.cookies.get(COOKIE)
        known = None if cookie is None else self._in_session(cookie)
        return known or self._by_header(request)

    def admitted(self, request: Request, token: str, name: str) -> Visitor | None:
        """Return who has a token, None for a wrong one; raise `TooMany` for who guesses."""
        address = address_of(request)
        self.attempts.check(address)
        found = self._with_token(token)
        if found is None:
            self.attempts.failed(address)
            return None
        return Visitor(found.rights, _name(name) or found.name)

    def open_session(self, response: Response, token: str, name: str, *, is_secure: bool) -> None:
        """Leave a cookie that shows the login of a token that is right."""
        fields = f"{int(self._now()) + LASTS}.{_encoded(_name(name))}"
        response.set_cookie(
            COOKIE,
            f"{fields}.{_signature(token, fields)}",
            max_age=LASTS,
            # without a path it holds for the folder that the form is in: the mount, as the browser
            # knows it
            path=None,
            secure=is_secure,
            httponly=True,
            # a link from a chat opens the page; what changes something is checked in another way
            samesite="lax",
        )

    def _in_session(self, cookie: str) -> Visitor | None:
        parts = cookie.split(".")
        if len(parts) != FIELDS or not cookie.isascii():
            return None
        until, name, given = parts
        for token, visitor in self._tokens.items():
            if hmac.compare_digest(given, _signature(token, f"{until}.{name}")):
                # signed by us: the fields are what we have written
                is_over = int(until) < self._now()
                return None if is_over else Visitor(visitor.rights, _decoded(name) or visitor.name)
        return None

    def _by_header(self, request: Request) -> Visitor | None:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        match kind.lower():
            case "bearer":
                return self.admitted(request, given.strip(), "")
            case "basic":
                name, colon, token = _decoded(given.strip()).partition(":")
                return self.admitted(request, token, name) if colon else None
            case _:
                return None

    def _with_token(self, given: str) -> Visitor | None:
        found = None
        for token, visitor in self._tokens.items():
            # of equal length, so that not even that is told by the time
            if hmac.compare_digest(_hash(token), _hash(given)):
                found = visitor
        return found


def _hash(text: str) -> bytes:
    return sha256(text.encode(errors="replace")).digest()


def _signature(token: str, fields: str) -> str:
    key = sha256(b"qcore dashboard session " + token.encode()).digest()
    return hmac.new(key, fields.encode(), sha256).hexdigest()


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decoded(text: str) -> str:
    """Return what is in base64, nothing where it is none."""
    try:
        return base64.b64decode(
            text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True
        ).decode()
    except (ValueError, binascii.Error):
        return ""


def _name(name: str) -> str:
    """Return the name that somebody gives of themselves, without what nobody's name has."""
    short = name.strip()[:MAX_NAME]
    return short if short.isprintable() and is_utf8(short) else ""
