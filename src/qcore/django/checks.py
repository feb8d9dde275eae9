"""What `manage.py check` says of the settings."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning  # noqa: A004  (Django's own name)

from qcore.django.queue import q
from qcore.django.settings import NAME, SQLITE

IMMEDIATE = "IMMEDIATE"


def check_settings(**_: Any) -> Sequence[CheckMessage]:
    """Return what may go wrong; what is wrong was raised when `q` was made."""
    alias = q.settings.database
    if alias is None:
        return []
    database = settings.DATABASES[alias]
    if database["ENGINE"] != SQLITE:
        return []
    if database.get("OPTIONS", {}).get("transaction_mode") == IMMEDIATE:
        return []
    return [
        Warning(
            f"Transactions of the database {alias!r} begin as readers: one that enqueues "
            "after it has read fails, as the database is locked, where another has written "
            "meanwhile.",
            hint=f'Add "OPTIONS": {{"transaction_mode": "{IMMEDIATE}"}} to it, or give {NAME} a '
            "URL.",
            id="qcore.W001",
        )
    ]
