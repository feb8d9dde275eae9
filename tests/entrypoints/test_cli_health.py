"""`qcore health`, and what a worker alone makes of the options for its process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qcore.entrypoints import process_limits
from qcore.entrypoints.health.server import HealthServer
from qcore.entrypoints.health.vital_signs import Health
from tests.entrypoints.cli_kit import invoke, working_in, write


class Signs:
    """Signs of a process that lives, and cannot claim."""

    def live(self) -> Health:
        return Health(is_well=True, text="the process lives")

    def ready(self) -> Health:
        return Health(is_well=False, text="the worker cannot claim: it is paused")


def test_the_answer_is_one_line_and_the_exit_status() -> None:
    """0 where it is well; 1 where it is not, and where nobody answers."""
    with HealthServer(Signs(), "127.0.0.1", 0) as server:
        port = str(server.port)
        live = invoke("health", "--health-port", port, "--live")
        ready = invoke("health", "--health-port", port)
    gone = invoke("health", "--health-port", port)
    assert (live.exit_code, live.output) == (0, "the process lives\n")
    assert (ready.exit_code, ready.output) == (1, "Error: the worker cannot claim: it is paused\n")
    assert gone.exit_code == 1
    assert f"no answer from 127.0.0.1:{port}: " in gone.output
    assert len(gone.output.splitlines()) == 1


def test_without_a_port_there_is_nobody_to_ask() -> None:
    """The port is the worker's, and no port is everybody's."""
    result = invoke("health")
    assert result.exit_code == 2
    assert "--health-port is missing" in result.output


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the application of a folder in which this process works, and leave no trace of it."""
    write(tmp_path, "alone", "from qcore import Qcore\nq = Qcore('memory://')\n")
    with working_in(tmp_path, monkeypatch):
        yield "alone:q"


def test_a_worker_alone_leaves_when_it_uses_too_much(
    application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within its grace and with 0: who has started it starts it again."""
    sizes = iter([50.0, 50.0, 120.0])
    monkeypatch.setattr(process_limits, "memory_in_mb", lambda: next(sizes))
    monkeypatch.setattr("qcore.entrypoints.oversight.memory_in_mb", lambda: 50.0)
    monkeypatch.setattr(process_limits, "INTERVAL", 0.0)
    result = invoke("worker", application, "--max-memory", "100")
    assert result.exit_code == 0, result.output
    assert "it uses 120 MB" in result.output
    assert "worker stopped" in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-memory", "1"], "max_memory is 1: expected more than the "),
        (["--workers", "0"], "workers is 0: expected a whole number from 1 to 1,000"),
        (["--reload", "--burst"], "reload and burst are both set"),
        (["--health-port", "0", "--health-host", "192.0.2.1"], "cannot listen on 192.0.2.1:0"),
    ],
)
def test_processes_that_cannot_be_are_refused_in_one_line(
    application: str, options: list[str], message: str
) -> None:
    """With the exit status of a wrong argument."""
    result = invoke("worker", application, "--log-level", "error", *options)
    assert result.exit_code == 2, result.output
    assert message in result.output
