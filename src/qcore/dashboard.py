"""Pages that show what waits, runs and fails in a queue, and move it: in any ASGI or WSGI app.

Needs the extra `dashboard`: pip install 'qcore-queue[dashboard]'.
"""

from qcore.entrypoints.dashboard import dashboard
from qcore.entrypoints.dashboard.authentication import Access
from qcore.entrypoints.dashboard.masking import DEFAULT_MASK
from qcore.entrypoints.dashboard.rights import ALL, READ_ONLY, Grant, Right, Rights, Visitor
from qcore.entrypoints.dashboard.wsgi import wsgi_dashboard

__all__ = [
    "ALL",
    "DEFAULT_MASK",
    "READ_ONLY",
    "Access",
    "Grant",
    "Right",
    "Rights",
    "Visitor",
    "dashboard",
    "wsgi_dashboard",
]
