"""The two ends of the socket between a supervisor and its worker, and what is made of it."""

import os
import socket
import sys
import threading
from collections.abc import Iterator
from queue import Queue

import pytest

from qcore.domain.errors import InvalidOption
from qcore.entrypoints.health.vital_signs import Health, Pulse
from qcore.entrypoints.supervisor import link as link_module
from qcore.entrypoints.supervisor.code_changes import check_installed
from qcore.entrypoints.supervisor.fleet import Member
from qcore.entrypoints.supervisor.fleet_signs import FleetSigns
from qcore.entrypoints.supervisor.link import (
    Order,
    SupervisorLink,
    Word,
    follow_supervisor,
    supervisor_link,
)
from qcore.entrypoints.supervisor.worker_process import described_end

PATIENCE = 30.0


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return what is set when this process is to leave, which it does not."""
    asked = threading.Event()
    monkeypatch.setattr(link_module, "ask_to_leave", asked.set)
    return asked


@pytest.fixture
def ends(asked: threading.Event) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return the supervisor's end and the worker's; both are closed, as its thread is to end."""
    supervisors, workers = socket.socketpair()
    supervisors.settimeout(PATIENCE)
    with supervisors, workers:
        yield supervisors, workers
        supervisors.close()
        for thread in threading.enumerate():
            if thread.name == "qcore-supervised":
                thread.join(PATIENCE)


def test_orders_come_in_their_order(ends: tuple[socket.socket, socket.socket]) -> None:
    """In pieces or together, without unknown ones; the last is that nobody is there."""
    supervisors, workers = ends
    orders: Queue[Order] = Queue()
    SupervisorLink(workers).follow(orders.put)
    supervisors.sendall(b"pau")
    supervisors.sendall(b"se\nresume\ndance\nstop\nstop at once\n")
    supervisors.close()
    assert [orders.get(timeout=PATIENCE) for _ in range(5)] == [
        Order.PAUSE,
        Order.RESUME,
        Order.STOP,
        Order.STOP_AT_ONCE,
        Order.ORPHANED,
    ]


def test_a_pause_is_kept_until_there_is_a_worker(
    ends: tuple[socket.socket, socket.socket], asked: threading.Event
) -> None:
    """A stop ends the process while it is imported; a pause has to wait."""
    supervisors, workers = ends
    link = SupervisorLink(workers)
    supervisors.sendall(b"pause\nstop\n")
    assert asked.wait(PATIENCE)
    asked.clear()
    supervisors.sendall(b"pause\n")
    orders: Queue[Order] = Queue()
    while orders.empty():
        link.follow(orders.put)
    assert orders.get() is Order.PAUSE
    link.follow(lambda _: None)


def test_words_are_lines(ends: tuple[socket.socket, socket.socket]) -> None:
    """A reason is one line, whatever an error says; who does not read keeps nobody waiting."""
    supervisors, workers = ends
    link = SupervisorLink(workers)
    link.tell(Word.SERVING)
    link.tell(Word.CANNOT_CLAIM, "no\nroute \ud800")
    assert supervisors.recv(4096) == b"serving\ncannot-claim no route ?\n"
    for _ in range(10_000):
        link.tell(Word.CANNOT_CLAIM, "x" * 1000)


def test_a_process_without_a_supervisor_has_no_link() -> None:
    """Most have none."""
    follow_supervisor()
    assert supervisor_link() is None


def test_what_handlers_start_does_not_have_the_link(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the descriptor nor its number."""
    _, workers = ends
    number = os.dup(workers.fileno())
    os.set_inheritable(number, True)  # noqa: FBT003  (it takes no keywords)
    monkeypatch.setenv(link_module.VARIABLE, str(number))
    monkeypatch.setattr(link_module, "_link", None)
    follow_supervisor()
    assert supervisor_link() is not None
    assert not os.get_inheritable(number)
    assert link_module.VARIABLE not in os.environ


@pytest.mark.parametrize(
    ("status", "said"), [(0, "exit status 0"), (-9, "SIGKILL"), (-40, "signal 40")]
)
def test_an_end_is_said_in_words(status: int, said: str) -> None:
    """For whoever reads the log."""
    assert described_end(status) == said


def test_a_fleet_is_ready_while_one_can_claim() -> None:
    """The line says how many can, and why one cannot."""
    signs = FleetSigns(2, Pulse())
    first, second = Member(0, 0, 0.0), Member(1, 0, 0.0)
    assert signs.ready() == Health(is_well=False, text="0 of 2 workers can claim")
    signs.serves(first)
    signs.note(second, None)
    assert signs.ready().text == "0 of 2 workers can claim: it has not started yet"
    signs.note(first, None)
    assert signs.ready() == Health(is_well=True, text="1 of 2 workers can claim")
    signs.serves(second)
    signs.note(second, "it is paused")
    assert signs.ready() == Health(is_well=True, text="1 of 2 workers can claim: it is paused")
    signs.forget(first)
    assert not signs.ready().is_well
    assert signs.live().is_well


def test_changes_of_code_need_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the message names."""
    check_installed()
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(InvalidOption, match=r"qcore-queue\[reload\]"):
        check_installed()
