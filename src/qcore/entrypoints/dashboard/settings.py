"""How a dashboard is set up: each setting checked when it is made."""

from collections.abc import Collection, Mapping
from typing import Final
from zoneinfo import ZoneInfo

from qcore.domain.errors import InvalidOption
from qcore.domain.record import record
from qcore.domain.text import shown
from qcore.entrypoints.dashboard.authentication import (
    Access,
    Authentication,
    CallbackAuthentication,
    LoopbackAuthentication,
    NoAuthentication,
)
from qcore.entrypoints.dashboard.masking import DEFAULT_MASK, Mask
from qcore.entrypoints.dashboard.moments import zone_of
from qcore.entrypoints.dashboard.origin import origin_of
from qcore.entrypoints.dashboard.rights import ALL, READ_ONLY, Visitor
from qcore.entrypoints.dashboard.sessions import TokenAuthentication

COLOURS: Final = ("grey", "green", "blue", "amber", "red", "purple")
USUAL_COLOURS: Final[Mapping[str, str]] = {
    "prod": "red",
    "live": "red",
    "stag": "amber",
    "test": "blue",
    "dev": "green",
    "local": "green",
}
"""How the name of an environment begins, and the colour that it has unless it is told another."""
MAX_ENVIRONMENT: Final = 40
DEFAULT_LOOK: Final = 2_000
"""Tasks that one page looks at for a query that asks for more than queues and states."""
MAX_LOOK: Final = 100_000


@record
class Environment:
    """Which system this is, in a colour: so that nobody clicks in the wrong one."""

    name: str
    colour: str

    @classmethod
    def of(cls, name: str | None, colour: str | None) -> "Environment | None":
        """Return the badge of a name; raise `InvalidOption` for what is none."""
        if name is None:
            if colour is not None:
                raise InvalidOption("colour is given without environment: expected both")
            return None
        given: object = name
        if not isinstance(given, str) or not given.strip() or len(given) > MAX_ENVIRONMENT:
            raise InvalidOption(
                f"environment is {shown(name)}: expected a name of at most {MAX_ENVIRONMENT} "
                "characters, such as 'production'"
            )
        colour = _usual_colour(given) if colour is None else colour
        if colour not in COLOURS:
            raise InvalidOption(f"colour is {shown(colour)}: expected one of {', '.join(COLOURS)}")
        return cls(given.strip(), colour)


@record
class Settings:
    """The settings of a dashboard, checked."""

    authentication: Authentication
    mask: Mask
    environment: Environment | None
    zone: ZoneInfo
    public_origins: Collection[str]
    look: int = DEFAULT_LOOK
    """Tasks that a page looks at for a query."""


def settings_of(
    *,
    access: Access | None = None,
    token: str | None = None,
    read_only_token: str | None = None,
    environment: str | None = None,
    colour: str | None = None,
    zone: str = "UTC",
    mask: Collection[str] = DEFAULT_MASK,
    public_origins: Collection[str] = (),
    look: int = DEFAULT_LOOK,
    is_open: bool = False,
) -> Settings:
    """Return settings; raise `InvalidOption`, which names the one that is wrong.

    `is_open` lets everybody in: somebody else, such as a proxy, sees to who that is.
    """
    given: object = public_origins
    if isinstance(given, str):
        raise InvalidOption(f"public_origins is {shown(given)}: expected [{shown(given)}]")
    origins = frozenset(origin_of(each) for each in public_origins)
    return Settings(
        NoAuthentication(origins) if is_open else _authentication(access, token, read_only_token),
        Mask(mask),
        Environment.of(environment, colour),
        zone_of(zone),
        origins,
        _look(look),
    )


def _look(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MAX_LOOK:
        raise InvalidOption(
            f"look is {shown(given)}: expected a whole number of tasks from 1 to {MAX_LOOK:,}"
        )
    return given


def _authentication(
    access: Access | None, token: str | None, read_only_token: str | None
) -> Authentication:
    tokens = {
        each: Visitor(rights, name)
        for each, rights, name in (
            (read_only_token, READ_ONLY, "read-only token"),
            (token, ALL, "token"),
        )
        if each is not None
    }
    if access is not None and tokens:
        raise InvalidOption("both access and a token are given: expected one of them")
    if access is not None and not callable(access):
        raise InvalidOption(f"access is {shown(access)}: expected a function of the request")
    if access is not None:
        return CallbackAuthentication(access)
    return TokenAuthentication(tokens) if tokens else LoopbackAuthentication()


def _usual_colour(name: str) -> str:
    known = (
        colour for start, colour in USUAL_COLOURS.items() if name.strip().lower().startswith(start)
    )
    return next(known, "grey")
