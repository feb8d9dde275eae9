"""The application "qcore.django": it finds the tasks of the others."""

from typing import Any, Final

from django.apps import AppConfig
from django.core import checks, mail
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.module_loading import autodiscover_modules

from qcore.app.client.inline import run_inline

TASKS: Final = "tasks"
"""The module of an application in which its tasks are declared."""


class QcoreConfig(AppConfig):
    """Imports `tasks` of every installed application, so that a worker knows their tasks."""

    name = "qcore.django"
    label = "qcore"
    verbose_name = "Queues"

    def ready(self) -> None:
        """Find tasks, and check the settings with `manage.py check`."""
        from qcore.django.backend_queues import queues_of_backends
        from qcore.django.backends.running import register as register_handlers
        from qcore.django.checks import check_settings
        from qcore.django.queue import q

        checks.register(check_settings, "qcore")
        if queues_of_backends():
            register_handlers(q)
        autodiscover_modules(TASKS)
        pre_migrate.connect(_use_memory_in_tests, sender=self, dispatch_uid="qcore")
        post_migrate.connect(_make_tables, sender=self, dispatch_uid="qcore")


def _make_tables(*, using: str, **_: Any) -> None:
    """Make the tables of the queue with those of the application, where they are in one database.

    Its user may be the only one that may do so, and a request is not to wait for another's tables.
    """
    from qcore.django.queue import q

    if using == q.settings.database and not q.is_swapped:
        run_inline(q.blocking.inner.open())
        # a connection of its own, that nobody needs any more
        q.blocking.close()


def _use_memory_in_tests(**_: Any) -> None:
    """Have no test write into the store of the settings.

    A test runner has put an outbox in the place of e-mail before it makes the test database.
    """
    if hasattr(mail, "outbox"):
        from qcore.django.testing import keep_in_memory

        keep_in_memory()
