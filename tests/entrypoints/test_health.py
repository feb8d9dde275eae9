"""Who answers about health, and what is answered: over real sockets, with a clock of its own."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from qcore import Qcore
from qcore.domain.errors import BrokerUnavailable, BrokerUnusable, InvalidOption
from qcore.entrypoints.health import server as health_server
from qcore.entrypoints.health.ask import ask
from qcore.entrypoints.health.claim_probe import ClaimProbe
from qcore.entrypoints.health.server import MAX_CONNECTIONS, HealthServer
from qcore.entrypoints.health.vital_signs import (
    HUNG,
    STALE,
    ClaimProof,
    Health,
    Pulse,
    WorkerSigns,
)

WELL = Health(is_well=True, text="well")
UNWELL = Health(is_well=False, text="not so well")
PATIENCE = 30.0


class Signs:
    """Signs that are as they are set."""

    def __init__(self) -> None:
        self.is_ready = True

    def live(self) -> Health:
        return WELL

    def ready(self) -> Health:
        return WELL if self.is_ready else UNWELL


@pytest.fixture
def signs() -> Signs:
    """Return what the server is to say."""
    return Signs()


@pytest.fixture
def server(signs: Signs) -> Iterator[HealthServer]:
    """Return a server on a port of its own."""
    with HealthServer(signs, "127.0.0.1", 0) as server:
        yield server


def said(server: HealthServer, request: bytes) -> bytes:
    """Return all that the server answers to these bytes."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(4096), b""))


# --- over the wire ------------------------------------------------------------------------------


def test_a_question_is_answered_with_a_status_and_a_line(
    server: HealthServer, signs: Signs
) -> None:
    """200 where it is well and 503 where not; the reason is in the body."""
    assert ask("127.0.0.1", server.port, "/live", PATIENCE) == WELL
    assert ask("0.0.0.0", server.port, "/ready", PATIENCE) == WELL  # noqa: S104
    signs.is_ready = False
    assert ask("127.0.0.1", server.port, "/ready", PATIENCE) == UNWELL


def test_nobody_there_is_an_answer(server: HealthServer) -> None:
    """Whoever asks is told why there is none."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        answer = ask("127.0.0.1", port, "/live", 0.01)
    assert (answer.is_well, answer.text) == (False, f"no answer from 127.0.0.1:{port}: timed out")
    answer = ask("127.0.0.1", port, "/live", PATIENCE)
    assert not answer.is_well
    assert "refused" in answer.text


def test_somebody_else_there_is_an_answer() -> None:
    """Whose pages are not shown, and who is not taken for a worker that is well."""

    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(b"<!doctype html>")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        threading.Thread(target=stranger.handle_request, daemon=True).start()
        port = stranger.server_port
        answer = ask("127.0.0.1", port, "/ready", PATIENCE)
    told = f"what listens at 127.0.0.1:{port} is no worker: it answers /ready with 200, text/html"
    assert answer == Health(is_well=False, text=told)


@pytest.mark.parametrize(
    ("request_", "begins", "ends"),
    [
        (b"GET /ready?verbose=1 HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200", b"\r\n\r\nwell\n"),
        (b"GET /ready HTTP/1.0\r\n\r\n", b"HTTP/1.1 200", b"\r\n\r\nwell\n"),
        (b"HEAD /ready HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200", b"\r\n\r\n"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 404", b"/live or /ready\n"),
        (b"POST /live HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 405", b"GET or HEAD\n"),
        (b"\x16\x03\x01\r\n\r\n", b"HTTP/1.1 400", b"an HTTP request\n"),
        (b"GET /live HTTP/1.1\r\nX: " + b"x" * 20_000, b"HTTP/1.1 431", b"an HTTP request\n"),
        (b"GET /li", b"HTTP/1.1 400", b"an HTTP request\n"),
        (b"", b"", b""),
    ],
    ids=["query", "1.0", "HEAD", "path", "method", "TLS", "too long", "cut short", "nothing"],
)
def test_what_is_no_such_question_is_refused(
    server: HealthServer, request_: bytes, begins: bytes, ends: bytes
) -> None:
    """Whatever comes in, the answer is one of HTTP, and the server goes on."""
    answer = said(server, request_)
    assert answer.startswith(begins)
    assert answer.endswith(ends)
    assert ask("127.0.0.1", server.port, "/live", PATIENCE) == WELL


def test_slow_clients_keep_nobody_waiting(server: HealthServer) -> None:
    """When all places are taken by those who say nothing, the oldest of them has to go."""
    slow = [
        socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        for _ in range(MAX_CONNECTIONS + 2)
    ]
    try:
        assert ask("127.0.0.1", server.port, "/ready", PATIENCE) == WELL
        assert is_closed(slow[0])
    finally:
        for client in slow:
            client.close()


def is_closed(client: socket.socket) -> bool:
    """Wait until the server has closed a connection, in whichever way."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_client_has_a_limit_of_time(signs: Signs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for ever without an end of the question is left."""
    monkeypatch.setattr(health_server, "CONNECTION_TIMEOUT", 0.05)
    with (
        HealthServer(signs, "127.0.0.1", 0) as server,
        socket.create_connection(("127.0.0.1", server.port), PATIENCE) as slow,
    ):
        slow.sendall(b"GET /live HTTP/1.1\r\n")
        assert is_closed(slow)


def test_a_port_that_is_taken_is_named(server: HealthServer, signs: Signs) -> None:
    """Before anything has started."""
    with pytest.raises(InvalidOption, match=rf"127.0.0.1:{server.port} .*in use"):
        HealthServer(signs, "127.0.0.1", server.port)
    with pytest.raises(InvalidOption, match=r"192.0.2.1:1 "):
        HealthServer(signs, "192.0.2.1", 1)


# --- what is said -------------------------------------------------------------------------------


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_a_proof_does_not_count_for_long() -> None:
    """A loop that is blocked proves nothing; when it turns again, the next proof counts."""
    watch = Watch()
    proof = ClaimProof(watch)
    signs = WorkerSigns(Pulse(watch), proof)
    assert signs.ready() == Health(
        is_well=False, text="the worker cannot claim: it has not started yet"
    )
    proof.note(None)
    assert signs.ready() == Health(is_well=True, text="the worker can claim")
    watch.time += STALE
    assert signs.ready().is_well
    watch.time += 0.1
    assert signs.ready().text == (
        "the worker cannot claim: its event loop has been blocked for 12 s"
    )
    proof.note("it is paused")
    assert signs.ready().text == "the worker cannot claim: it is paused"
    proof.note(None)
    assert signs.ready().is_well


def test_a_worker_is_unready_within_15_seconds_of_its_last_proof() -> None:
    """However unlucky the moment: this is what an orchestrator is promised."""
    assert STALE < 15


def test_a_loop_that_is_blocked_for_a_while_is_not_hung() -> None:
    """A handler may compute for a minute; a process that is killed for it would run it again."""
    watch = Watch()
    pulse = Pulse(watch)
    signs = WorkerSigns(pulse, ClaimProof(watch))
    watch.time += HUNG
    assert signs.live().is_well
    watch.time += 1
    assert signs.live() == Health(is_well=False, text="the event loop has been blocked for 61 s")
    pulse.beat()
    assert signs.live().is_well


# --- what is found out --------------------------------------------------------------------------


class Reports(list[str | None]):
    """What a probe reports; the first report ends it."""

    def __call__(self, obstacle: str | None) -> None:
        self.append(obstacle)
        raise StopProbing


class StopProbing(Exception):
    pass


async def probed(q: Qcore, *queues: str) -> str | None:
    """Return the first report of a probe."""
    reports = Reports()
    with pytest.raises(StopProbing):
        await ClaimProbe(q.broker, q.clock, reports).serve(q.worker(), queues)
    return reports[0]


async def test_a_broker_that_answers_a_claim_is_no_obstacle() -> None:
    """And no task is taken by the question."""
    q = Qcore("memory://")
    assert await probed(q, "default") is None


async def test_what_a_claim_raises_is_the_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words of the error."""
    q = Qcore("memory://")

    async def claim(*_: object, **__: object) -> None:
        raise BrokerUnavailable("gone")

    monkeypatch.setattr(q.broker, "claim", claim)
    assert await probed(q, "default") == "BrokerUnavailable: gone"


async def test_a_queue_that_cannot_be_served_is_no_obstacle_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker serves those; it cannot claim only where none is left."""
    q = Qcore("memory://")

    async def claim(demand: object, **_: object) -> None:
        if "bad" in demand.quotas:  # type: ignore[attr-defined]
            raise BrokerUnusable("newer")

    monkeypatch.setattr(q.broker, "claim", claim)
    assert await probed(q, "bad", "good") is None
    assert await probed(q, "bad") == "BrokerUnusable: newer"
