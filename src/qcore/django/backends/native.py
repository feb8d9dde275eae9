"""`QcoreBackend`, for the tasks that are a part of Django since its version 6.0."""

from typing import ClassVar

try:
    from django.tasks.backends.base import BaseTaskBackend
except ImportError as error:
    raise ImportError(
        "django.tasks is a part of Django 6.0 and newer: install django-tasks and name "
        '"qcore.django.BackportBackend" in TASKS'
    ) from error

from qcore.django.backends.backend import TasksBackend
from qcore.django.backends.worlds import World, world_of


class QcoreBackend(TasksBackend, BaseTaskBackend):
    """Runs tasks of `django.tasks` in a worker: `TASKS = {"default": {"BACKEND": "…"}}`."""

    world: ClassVar[World] = world_of("django.tasks", "InvalidTask")
