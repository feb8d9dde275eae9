"""How tasks of Django are called in a queue: by the dotted name of their function."""

from inspect import iscoroutinefunction
from typing import Any, Final

from django.utils.module_loading import import_string

IN_THREAD: Final = "django:"
IN_LOOP: Final = "django-async:"
"""Prefixes of names, which say where the function runs: one handler has all names of a prefix."""
BACKEND: Final = "django-backend"
"""The header that has the alias of the backend."""


def name_of(task: Any) -> str:
    """Return the name that a task of Django has in a queue."""
    return f"{IN_LOOP if iscoroutinefunction(task.func) else IN_THREAD}{task.module_path}"


def task_of(name: str) -> Any:
    """Return the task of Django of a name, or a plain function that was made a task elsewhere.

    Raises ImportError where there is none.
    """
    return import_string(name.partition(":")[2])
