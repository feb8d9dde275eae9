"""Django in the process of the tests: it has one set of settings, and one database in a file."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import django
import pytest
from django.conf import settings

if TYPE_CHECKING:
    from qcore.django.testing import InMemoryQueue

FOLDER: Final = tempfile.TemporaryDirectory(prefix="qcore-django-")
FILE: Final = Path(FOLDER.name) / "site.db"
HAS_TASKS: Final = django.VERSION >= (6,)


if not settings.configured:
    settings.configure(
        SECRET_KEY="of the tests",
        ALLOWED_HOSTS=["testserver"],
        ROOT_URLCONF="tests.frameworks.django.urls",
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            *([] if HAS_TASKS else ["django_tasks"]),
            "qcore.django",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(FILE),
                "OPTIONS": {"transaction_mode": "IMMEDIATE"},
            }
        },
        QCORE={"URL": "memory://", "INSTRUMENTS": []},
        TASKS={
            "default": {
                "BACKEND": f"qcore.django.{'QcoreBackend' if HAS_TASKS else 'BackportBackend'}",
                "QUEUES": ["default", "mail"],
                "OPTIONS": {"tags": ["of-django"]},
            },
            "anywhere": {
                "BACKEND": f"qcore.django.{'QcoreBackend' if HAS_TASKS else 'BackportBackend'}",
                "QUEUES": [],
                "OPTIONS": {"max_retry": 2, "retention": 60},
            },
        },
    )
    django.setup()


@pytest.fixture(scope="session")
def _migrated() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


@pytest.fixture
def database(_migrated: None) -> Iterator[Path]:
    """Return the file of Django's database, with the tables of Django; users are removed."""
    from django.contrib.auth.models import User
    from django.db import connections

    yield FILE
    User.objects.all().delete()
    connections.close_all()


@pytest.fixture
def queue() -> "Iterator[InMemoryQueue]":
    """Return the queue of the settings, empty, in memory and in virtual time."""
    from qcore.django.testing import queue_in_memory

    with queue_in_memory() as made:
        yield made
