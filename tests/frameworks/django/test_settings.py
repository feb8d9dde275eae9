"""The setting QCORE."""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from qcore import InvalidOption
from qcore.django import checks
from qcore.django.queue import DjangoQcore
from qcore.django.settings import read_settings, url_of
from qcore.serializers import MessagePackSerializer

SQLITE = "django.db.backends.sqlite3"
POSTGRES = "django.db.backends.postgresql"


@pytest.fixture
def databases(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what sets the settings of the default database."""
    return lambda **given: monkeypatch.setattr(settings, "DATABASES", {"default": given})


def told(error: BaseException) -> None:
    """Be a hook."""
    raise error


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("memory://", "QCORE is 'memory://': expected a dict"),
        ({"url": "memory://"}, "QCORE has 'url': expected some of DASHBOARD, DATABASE"),
        ({"URL": ""}, r'QCORE\["URL"\] is \'\': expected a URL'),
        ({"URL": "memory://", "DATABASE": "default"}, "both URL and DATABASE"),
        ({"DATABASE": "nobody"}, "expected an alias of DATABASES, one of default"),
        ({"ON_COMMIT": "nobody"}, "expected True, False or an alias"),
        ({"SERIALIZER": "no.such"}, r'QCORE\["SERIALIZER"\] is \'no.such\''),
        ({"DASHBOARD": []}, r'QCORE\["DASHBOARD"\] is \[\]: expected a dict'),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(given: Any, said: str) -> None:
    """In one line, which names the setting and what was expected."""
    with override_settings(QCORE=given), pytest.raises(ImproperlyConfigured, match=said):
        read_settings()


def test_settings_name_objects_by_their_dotted_names() -> None:
    """A class is called, as that of a serializer; a function is taken as it is."""
    given = {
        "URL": "memory://",
        "SERIALIZER": "qcore.serializers.MessagePackSerializer",
        "ON_ERROR": "tests.frameworks.django.test_settings.told",
        "DEFAULTS": {"max_retry": 3},
        "INSTRUMENTS": [],
        "MAX_PAYLOAD": 100,
    }
    with override_settings(QCORE=given):
        q = DjangoQcore(read_settings())
    assert q.codec.content_type == MessagePackSerializer().content_type
    assert list(q.error_hooks) == [told]
    assert q.store == "memory://"


@pytest.mark.parametrize(
    ("database", "url"),
    [
        ({"ENGINE": SQLITE, "NAME": "/srv/a b?.db"}, "sqlite:////srv/a%20b%3F.db"),
        ({"ENGINE": SQLITE, "NAME": "site.db"}, "sqlite:///site.db"),
        ({"ENGINE": POSTGRES, "NAME": "shop"}, "postgresql:///shop"),
        (
            {
                "ENGINE": POSTGRES,
                "NAME": "shop",
                "USER": "app",
                "PASSWORD": "p@s/s:&",
                "HOST": "db",
                "PORT": 5433,
                "OPTIONS": {"sslmode": "require", "pool": True, "isolation_level": 3},
            },
            "postgresql:///shop?sslmode=require&user=app&password=p%40s%2Fs%3A%26&host=db&port=5433",
        ),
    ],
)
def test_the_url_is_that_of_a_database_of_django(
    databases: Callable[..., None], database: dict[str, Any], url: str
) -> None:
    """With what says how to connect; other options are Django's own."""
    databases(**database)
    assert url_of("default") == url


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ({"ENGINE": SQLITE, "NAME": ":memory:"}, "is in memory"),
        ({"ENGINE": "django.db.backends.mysql", "NAME": "shop"}, "django.db.backends.mysql"),
    ],
)
def test_a_database_that_holds_no_queue_is_refused(
    databases: Callable[..., None], database: dict[str, Any], said: str
) -> None:
    """With what to do instead."""
    databases(**database)
    with pytest.raises(ImproperlyConfigured, match=f"{said}.*give any other queue a URL"):
        url_of("default")


def test_a_password_is_in_no_error(databases: Callable[..., None]) -> None:
    """Also where libpq refuses the URL."""
    databases(ENGINE=POSTGRES, NAME="shop", PASSWORD="hunter2", PORT="no number")
    with override_settings(QCORE={"DATABASE": "default"}):
        given = read_settings()
        with pytest.raises(InvalidOption) as caught:
            DjangoQcore(given)
    assert "hunter2" not in f"{given}{caught.value}"


def test_the_check_warns_of_transactions_that_begin_as_readers(
    databases: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite ends one that writes after it has read, where another has written meanwhile."""
    assert [each for each in run_checks() if each.id == "qcore.W001"] == []
    with override_settings(QCORE={"DATABASE": "default"}):
        monkeypatch.setattr(checks, "q", DjangoQcore(read_settings()))
        assert list(checks.check_settings()) == []
        databases(ENGINE=SQLITE, NAME="site.db")
        [warning] = checks.check_settings()
    assert "IMMEDIATE" in str(warning.hint)
