"""The setting QCORE: where tasks wait, and all else that a `Qcore` is given."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

from attrs import field
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS
from django.utils.module_loading import import_string

from qcore.domain.record import record
from qcore.domain.text import shown

NAME: Final = "QCORE"
POSTGRES: Final = "django.db.backends.postgresql"
SQLITE: Final = "django.db.backends.sqlite3"
PARTS: Final = {"USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
"""Keys of a database's settings to parameters of libpq."""


@record
class QueueSettings:
    """What the setting QCORE says."""

    url: str | None = field(repr=False)
    """Where tasks wait; None leaves it to the environment."""
    database: str | None
    """The alias of Django's database in which they wait, if they do."""
    on_commit: str | None
    """The alias of the database whose commit is waited for; None for nobody's."""
    options: Mapping[str, Any]
    """Keywords of `Qcore`."""
    dashboard: Mapping[str, Any]
    """Keywords of `dashboard`."""


def read_settings() -> QueueSettings:
    """Return what QCORE says; raise `ImproperlyConfigured` for what makes no sense."""
    given: object = getattr(settings, NAME, {})
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(
            f'{NAME} is {shown(given)}: expected a dict, such as {{"URL": "sqlite:///queue.db"}}'
        )
    named = cast("Mapping[str, Any]", given)
    for name in named:
        if name not in KNOWN:
            raise ImproperlyConfigured(
                f"{NAME} has {shown(name)}: expected some of {', '.join(sorted(KNOWN))}"
            )
    database, url = _database(named.get("DATABASE")), _url(named.get("URL"))
    if database is not None and url is not None:
        raise ImproperlyConfigured(f"{NAME} has both URL and DATABASE: expected one of them")
    return QueueSettings(
        url if database is None else url_of(database),
        database,
        _on_commit(named.get("ON_COMMIT", True)),
        {OPTIONS[name]: _option(name, value) for name, value in named.items() if name in OPTIONS},
        _mapping("DASHBOARD", named.get("DASHBOARD", {})),
    )


def url_of(alias: str) -> str:
    """Return the URL of one of Django's databases; raise `ImproperlyConfigured` where none fits."""
    database: dict[str, Any] = settings.DATABASES[alias]
    engine, name = database.get("ENGINE"), str(database.get("NAME") or "")
    if engine == SQLITE and name and ":memory:" not in name and "mode=memory" not in name:
        return f"sqlite:///{quote(name)}"
    if engine == POSTGRES:
        return _postgres_url(name, database)
    what = "is in memory" if engine == SQLITE else f"has the engine {shown(engine)}"
    raise ImproperlyConfigured(
        f'{NAME}["DATABASE"] is {alias!r}, which {what}: expected a database of PostgreSQL or a '
        "file of SQLite; give any other queue a URL"
    )


def _postgres_url(name: str, database: Mapping[str, Any]) -> str:
    options = {
        key: str(value)
        for key, value in database.get("OPTIONS", {}).items()
        if isinstance(value, str | int) and key in LIBPQ
    }
    options |= {there: str(database[here]) for here, there in PARTS.items() if database.get(here)}
    return f"postgresql:///{quote(name, safe='')}?{urlencode(options, quote_via=quote)}".rstrip("?")


LIBPQ: Final = frozenset(
    {
        "channel_binding",
        "connect_timeout",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "passfile",
        "service",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslpassword",
        "sslrootcert",
        "target_session_attrs",
        "tcp_user_timeout",
    }
)
"""Options of a database that say how to connect; others, such as `pool`, are Django's own."""


def _database(given: object) -> str | None:
    if given is not None and given not in settings.DATABASES:
        known = ", ".join(settings.DATABASES)
        raise ImproperlyConfigured(
            f'{NAME}["DATABASE"] is {shown(given)}: expected an alias of DATABASES, one of {known}'
        )
    return None if given is None else str(given)


def _url(given: object) -> str | None:
    if given is not None and (not isinstance(given, str) or not given):
        raise ImproperlyConfigured(
            f'{NAME}["URL"] is {shown(given)}: expected a URL, such as "sqlite:///queue.db"'
        )
    return given


def _on_commit(given: object) -> str | None:
    if given is True:
        return DEFAULT_DB_ALIAS
    if given is False:
        return None
    if isinstance(given, str) and given in settings.DATABASES:
        return given
    raise ImproperlyConfigured(
        f'{NAME}["ON_COMMIT"] is {shown(given)}: expected True, False or an alias of DATABASES'
    )


def _mapping(name: str, given: object) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(f'{NAME}["{name}"] is {shown(given)}: expected a dict')
    return cast("Mapping[str, Any]", given)


def _imported(name: str, given: object) -> Any:
    """Return the object of a dotted name, what a class makes, or what is no name."""
    if isinstance(given, list | tuple):
        return [_imported(name, each) for each in cast("Sequence[object]", given)]
    if not isinstance(given, str):
        return given
    try:
        found = import_string(given)
    except ImportError as error:
        raise ImproperlyConfigured(f'{NAME}["{name}"] is {given!r}: {error}') from error
    return found() if isinstance(found, type) and name in MADE else found


def _option(name: str, value: object) -> Any:
    return _imported(name, value) if name in NAMED else value


OPTIONS: Final[Mapping[str, str]] = {
    "DEFAULTS": "defaults",
    "INSTRUMENTS": "instruments",
    "IS_FAILURE": "is_failure",
    "MAX_PAYLOAD": "max_payload",
    "MAX_RESULT": "max_result",
    "ON_ERROR": "on_error",
    "RETRY": "retry",
    "SERIALIZER": "serializer",
}
"""Key to the keyword of `Qcore`."""
MADE: Final = frozenset({"INSTRUMENTS", "SERIALIZER"})
"""Of those below the keys for which a class is called without arguments."""
NAMED: Final = MADE | {"IS_FAILURE", "ON_ERROR", "RETRY"}
"""Keys whose values may be dotted names."""
KNOWN: Final = frozenset({"URL", "DATABASE", "ON_COMMIT", "DASHBOARD", *OPTIONS})
