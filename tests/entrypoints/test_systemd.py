"""Messages to systemd, as a socket of ours receives them."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from qcore.entrypoints.systemd import ServiceNotifier

PATIENCE = 30.0


@pytest.fixture(params=["abstract", "path"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Return an address as systemd gives it, and the socket that is bound to it."""
    name = f"qcore-{token_hex(8)}"
    address = f"@{name}" if request.param == "abstract" else str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(f"\0{name}" if request.param == "abstract" else address)
        bound.settimeout(PATIENCE)
        yield address, bound


def heard(manager: socket.socket) -> list[str]:
    """Return the lines of the next message."""
    return manager.recv(4096).decode().split("\n")


def test_each_message_is_a_datagram_of_lines(manager: tuple[str, socket.socket]) -> None:
    """Abstract sockets are reached as well as those in the file system."""
    address, bound = manager
    notifier = ServiceNotifier(address, 1.0)
    notifier.ready("4 workers")
    assert heard(bound) == ["READY=1", "STATUS=4 workers"]
    notifier.reloading()
    reloading, moment = heard(bound)
    assert reloading == "RELOADING=1"
    assert moment.startswith("MONOTONIC_USEC=")
    assert moment.partition("=")[2].isdigit()
    notifier.alive()
    notifier.stopping()
    assert [heard(bound), heard(bound)] == [["WATCHDOG=1"], ["STOPPING=1"]]


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "30000000"}, 15.0),
        ({"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        (
            {"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())},
            2.0,
        ),
        ({"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "soon"}, None),
        ({"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "0"}, None),
        ({"NOTIFY_SOCKET": "@a"}, None),
        ({"WATCHDOG_USEC": "30000000"}, None),
        ({}, None),
    ],
    ids=[
        "asked",
        "another process",
        "this process",
        "no number",
        "zero",
        "no",
        "nobody",
        "nothing",
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_bites(
    environment: dict[str, str], interval: float | None
) -> None:
    """Where it is this process's; and nothing is left for processes that are started from here."""
    assert ServiceNotifier.from_environment(environment).watchdog_interval == interval
    assert environment == {}


@pytest.mark.parametrize(
    "address", [None, "", "/nowhere/socket", "vsock:2:1234", "@nobody-is-here"]
)
def test_a_manager_that_cannot_be_told_is_no_reason_to_fail(address: str | None) -> None:
    """A service works without one."""
    notifier = ServiceNotifier(address)
    notifier.ready("so what")
    notifier.stopping()


APPLICATION = """
import os
from qcore import Qcore
assert "NOTIFY_SOCKET" not in os.environ, "a worker is not the service"
q = Qcore("sqlite:///tasks.db")
"""


@pytest.mark.system
@pytest.mark.parametrize("options", [(), ("--workers", "1")], ids=["a worker", "a supervisor"])
def test_a_service_says_when_it_is_ready_and_when_it_stops(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """With a watchdog in between; a supervisor that renews its workers says that, too."""
    (tmp_path / "service.py").write_text(
        APPLICATION if options else APPLICATION.replace("assert", "#")
    )
    address = f"qcore-{token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(f"\0{address}")
        bound.settimeout(PATIENCE)
        process = subprocess.Popen(
            [sys.executable, "-m", "qcore", "worker", "service:q", *options],
            cwd=tmp_path,
            env=os.environ | {"NOTIFY_SOCKET": f"@{address}", "WATCHDOG_USEC": "200000"},
        )
        try:
            assert "READY=1" in until_heard(bound, "READY=1")
            assert until_heard(bound, "WATCHDOG=1")
            if options:
                process.send_signal(signal.SIGUSR2)
                assert until_heard(bound, "RELOADING=1")
                assert "STATUS=1 workers" in until_heard(bound, "READY=1")
            process.send_signal(signal.SIGTERM)
            assert until_heard(bound, "STOPPING=1")
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.wait()


def until_heard(manager: socket.socket, line: str) -> list[str]:
    """Return the first message that has a line."""
    while line not in (lines := heard(manager)):
        pass
    return lines
