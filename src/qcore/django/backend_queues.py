"""The queues that the backends of the settings name, for workers to serve."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.conf import settings

DEFAULT_QUEUES: Final = ("default",)


def queues_of_backends() -> Sequence[str]:
    """Return the queues of the setting TASKS, of those backends that are ours."""
    backends: Mapping[str, Mapping[str, Any]] = getattr(settings, "TASKS", {})
    return [
        queue
        for backend in backends.values()
        if str(backend.get("BACKEND", "")).startswith("qcore.django.")
        for queue in backend.get("QUEUES", DEFAULT_QUEUES)
    ]
