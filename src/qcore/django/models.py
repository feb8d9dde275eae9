"""No table: the permissions to look at queues and to move tasks, for users and groups of Django."""

from django.db import models


class Queue(models.Model):
    """Stands for all queues: `qcore.view_queue` is to look at them, `qcore.change_queue` to act."""

    class Meta:
        """Permissions are made by `migrate`; there is no table."""

        app_label = "qcore"
        managed = False
        default_permissions = ("view", "change")

    def __str__(self) -> str:
        """Say what it stands for."""
        return "all queues"
