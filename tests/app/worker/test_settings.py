from typing import Any, get_type_hints

import pytest
from attrs import fields, resolve_types

from qcore import InvalidOption
from qcore.app.worker.settings import WorkerOptions, WorkerSettings
from tests.app.kit import Lab


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"app_version": ""}, r"app_version is '': expected 1 to 64 printable characters"),
        ({"app_version": "1.4\n"}, "app_version"),
        ({"app_version": "x" * 65}, "app_version"),
        ({"app_version": 1.4}, "app_version"),
        ({"queues": {"a": 0}}, "'a' is 0"),
        ({"queues": {"a": 1.5}}, r"1\.5"),
        ({"queues": {}}, "at least one queue"),
        ({"queues": []}, "at least one queue"),
        ({"queues": [], "strict": True}, "at least one queue"),
        ({"queues": "a"}, r"'a'.*\['a'\]"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"concurrency": 1.5}, r"1\.5"),
        ({"threads": 0}, "threads is 0"),
        ({"process_pool": -1}, "process_pool is -1"),
        ({"lease": 0}, "lease is 0"),
        ({"lease": float("nan")}, "nan"),
        ({"grace": -1}, "grace is -1"),
        ({"sweep_every": 0}, "sweep_every is 0"),
        ({"queues": ["a{b}"]}, "a{b}"),
    ],
)
def test_what_no_worker_can_do_is_refused(settings: dict[str, Any], named: str) -> None:
    """A wrong setting is an error that names it, before anything is claimed."""
    with pytest.raises((InvalidOption, ValueError), match=named):
        Lab().worker(**settings)


def test_options_and_settings_are_the_same_fields() -> None:
    """What `q.worker` takes as keywords is what `WorkerSettings` has, of the same types."""
    settings = {each.name: each.type for each in fields(resolve_types(WorkerSettings))}
    assert get_type_hints(WorkerOptions) == settings
