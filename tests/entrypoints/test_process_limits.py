"""When a worker process is replaced, and how it is run."""

import os

import pytest

from qcore import Qcore
from qcore.domain.errors import InvalidOption
from qcore.entrypoints import memory_use, process_limits
from qcore.entrypoints.memory_use import memory_in_mb
from qcore.entrypoints.process_limits import ProcessLimits, watch_limits
from qcore.entrypoints.process_options import ProcessOptions


@pytest.mark.parametrize(
    ("limits", "executed", "memory", "reached"),
    [
        (ProcessLimits(), 10**9, 10.0**9, None),
        (ProcessLimits(max_tasks=1000), 999, 0.0, None),
        (ProcessLimits(max_tasks=1000), 1000, 0.0, "it has run 1,000 tasks"),
        (ProcessLimits(max_memory=512), 0, 512.0, None),
        (ProcessLimits(max_memory=512), 0, 512.6, "it uses 513 MB"),
    ],
)
def test_a_limit_is_reached_in_words(
    limits: ProcessLimits, executed: int, memory: float, reached: str | None
) -> None:
    """The words are for the log: why a worker was replaced."""
    assert limits.reached(executed, memory) == reached


def test_a_limit_that_is_reached_before_the_first_task_is_a_mistake() -> None:
    """Each worker that took the place of another would be beyond it, too."""
    ProcessLimits(max_memory=80).check_at_start(79.9)
    with pytest.raises(InvalidOption, match="max_memory is 50: expected more than the 81 MB"):
        ProcessLimits(max_memory=50).check_at_start(81.2)


async def test_a_limit_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it has been reached; the watch is over then."""
    monkeypatch.setattr(process_limits, "INTERVAL", 0.0)
    sizes = iter([10.0, 90.0, 110.0])
    monkeypatch.setattr(process_limits, "memory_in_mb", lambda: next(sizes))
    told: list[str] = []
    worker = Qcore("memory://").worker()
    await watch_limits(ProcessLimits(max_memory=100), worker, told.append)
    assert told == ["it uses 110 MB"]


def test_memory_is_what_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than on Linux it is the most that it has been, which is no less."""
    before = memory_in_mb()
    held = b"x" * (50 << 20)
    assert memory_in_mb() > before + 40
    monkeypatch.setattr(memory_use, "STATM", memory_use.STATM / "nowhere")
    assert memory_in_mb() > before + 40
    assert held


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"workers": 0}, "workers is 0: expected a whole number from 1 to 1,000"),
        ({"workers": 1001}, "workers is 1001"),
        ({"max_tasks": 0}, "max_tasks is 0: expected None or 1 and more"),
        ({"max_memory": 0}, "max_memory is 0: expected 1 MB or more"),
        ({"hang_timeout": 4.9}, "hang_timeout is 4.9: expected 0 for never, or 5 seconds and more"),
        ({"hang_timeout": float("nan")}, "hang_timeout is nan"),
        ({"reload": True, "burst": True}, "reload and burst are both set: expected one of them"),
    ],
)
def test_processes_that_cannot_be_are_refused(given: dict[str, float], message: str) -> None:
    """Before one is started."""
    with pytest.raises(InvalidOption, match=message):
        ProcessOptions(**given)  # type: ignore[arg-type]


def test_a_supervisor_is_not_for_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands on signals and on descriptors that are inherited."""
    monkeypatch.setattr(os, "name", "nt")
    with pytest.raises(InvalidOption, match="not for Windows"):
        ProcessOptions(workers=2)
    assert not ProcessOptions(health_port=80).is_supervised
