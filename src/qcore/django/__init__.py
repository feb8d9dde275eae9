"""qcore in Django: the queue of the settings, a backend for Django's tasks, tests, the dashboard.

Add "qcore.django" to INSTALLED_APPS, say in the setting QCORE where tasks wait, and declare tasks
with `q` in the module `tasks` of any application. See docs/how-to/use-with-django.md. Needs the
extra `django`: pip install 'qcore-queue[django]'.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from qcore.django.backends.backport import BackportBackend
    from qcore.django.backends.native import QcoreBackend
    from qcore.django.dashboard import dashboard
    from qcore.django.queue import DjangoQcore, q

_HOMES: Final = {
    "BackportBackend": "qcore.django.backends.backport",
    "DjangoQcore": "qcore.django.queue",
    "QcoreBackend": "qcore.django.backends.native",
    "dashboard": "qcore.django.dashboard",
    "q": "qcore.django.queue",
}
"""Name to module: each is imported when it is asked for, as `q` needs the settings of Django."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Return one of the names above."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)

    def __dir__() -> list[str]:
        """Return the names that are here, and those to be imported."""
        return sorted({*globals(), *_HOMES})


__all__ = ["BackportBackend", "DjangoQcore", "QcoreBackend", "dashboard", "q"]
