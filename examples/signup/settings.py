"""Where things are: read once from the environment, so that every process agrees."""

import os
from pathlib import Path
from urllib.parse import quote

HOME = Path(os.environ.get("SIGNUP_HOME", "signup-output")).resolve()
"""Everything the service writes is in here."""

PICTURES = HOME / "pictures"
THUMBNAILS = HOME / "thumbnails"
REPORT = HOME / "report.pdf"
USERS_DATABASE = HOME / "users.db"

QUEUE_URL = os.environ.get("QCORE_URL", f"sqlite:///{quote(str(HOME / 'queue.db'))}")
"""Where the tasks wait: `redis://…` in production, without another change."""

SMTP_HOST, SMTP_PORT = os.environ.get("SIGNUP_SMTP", "127.0.0.1:2525").rsplit(":", 1)

SITE = "signup.example.com"
"""The service's own domain: mails come from here and links lead here."""
