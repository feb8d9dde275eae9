"""What differs from one installation to another: read once, from the environment.

Where tasks wait is said by QCORE_URL, and what a worker serves by QCORE_QUEUES, QCORE_CONCURRENCY
and the like: qcore reads those itself.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from zoneinfo import ZoneInfo

from qcore import InvalidOption


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the API and of the worker."""

    database_url: str
    """BANK_DATABASE_URL, as SQLAlchemy reads it. Not the file of the queue: both write."""
    smtp: tuple[str, int] | None
    """BANK_SMTP, host and port. Without it, e-mails are lines of the log."""
    site: str
    """BANK_SITE: where links in e-mails lead."""
    sender: str
    """BANK_SENDER: whom e-mails are from."""
    reports_to: str
    """BANK_REPORTS_TO: who is sent the reports."""
    time_zone: ZoneInfo
    """BANK_TIME_ZONE: whose days and months reports are about."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Return the settings; raise `InvalidOption`, which names the variable that is wrong."""
        return cls(
            database_url=environment.get("BANK_DATABASE_URL", "sqlite:///bank.db"),
            smtp=_host_and_port(environment.get("BANK_SMTP", "")),
            site=environment.get("BANK_SITE", "http://127.0.0.1:8000").rstrip("/"),
            sender=environment.get("BANK_SENDER", "hello@bank.example.com"),
            reports_to=environment.get("BANK_REPORTS_TO", "office@bank.example.com"),
            time_zone=_zone(environment.get("BANK_TIME_ZONE", "UTC")),
        )


def _host_and_port(text: str) -> tuple[str, int] | None:
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise InvalidOption(f"BANK_SMTP is {text!r}: expected host:port, such as localhost:25")
    return host, int(port)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidOption(
            f"BANK_TIME_ZONE is {name!r}: expected the name of a zone, such as Europe/Berlin"
        ) from error


SETTINGS = Settings.read(os.environ)
