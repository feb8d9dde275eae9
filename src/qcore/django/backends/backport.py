"""`BackportBackend`, for the tasks of the distribution django-tasks, with any Django."""

from typing import ClassVar

try:
    from django_tasks.backends.base import BaseTaskBackend
except ImportError as error:
    raise ImportError("qcore.django.BackportBackend needs django-tasks: install it") from error

from qcore.django.backends.backend import TasksBackend
from qcore.django.backends.worlds import World, world_of


class BackportBackend(TasksBackend, BaseTaskBackend):
    """Runs tasks of `django_tasks` in a worker: `TASKS = {"default": {"BACKEND": "…"}}`."""

    world: ClassVar[World] = world_of("django_tasks", "InvalidTaskError")
