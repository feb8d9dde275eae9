"""What real workers tell of themselves: alone, below a supervisor, in a burst, without a store."""

import os
import signal
import urllib.request
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from qcore import Handle
from tests.entrypoints.kit_of_metrics import Samples, samples_of
from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer
from tests.system import application
from tests.system.kit import until
from tests.system.supervisor_kit import Plant, SupervisorProcess, planted

pytestmark = pytest.mark.system

RUNS = ("qcore_task_runs_total", "note", "succeeded", "default")


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    """Return a store of its own, closed when its workers have gone."""
    with planted(tmp_path) as plant:
        async with plant.q:
            yield plant


async def port_of(worker: SupervisorProcess) -> int:
    """Return where metrics are served."""
    [served] = await worker.says("metrics are served")
    return int(str(served["port"]))


def scraped(port: int) -> Samples:
    """Return what an endpoint says."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return samples_of(answer.read().decode())


async def noted(plant: Plant, number: int) -> None:
    """Have so many tasks run."""
    for _ in range(number):
        handle = await plant.q.client.enqueue(application.note.call(str(plant.folder)))
        assert isinstance(handle, Handle)
        await handle.result(timeout=60)


async def test_one_endpoint_tells_of_all_workers_also_of_one_that_was_killed(plant: Plant) -> None:
    """What it has counted stays; its slots are gone at once, and the store is told once."""
    supervisor = plant.supervise("--workers", "2", "--metrics-port", "0", "--concurrency", "7")
    first, _ = await supervisor.served_by(2)
    port = await port_of(supervisor)
    await noted(plant, 12)
    await until(lambda: scraped(port).get(RUNS) == 12, "all runs are reported")
    await until(lambda: scraped(port)["qcore_worker_slots",] == 14, "both workers have slots")
    before = scraped(port)
    assert before["qcore_store_up",] == 1
    assert before["qcore_queue_workers", "default"] == 2
    assert before["qcore_tasks", "default", "completed"] == 12

    os.kill(first, signal.SIGSTOP)  # so that what comes is reported by the other one
    os.kill(first, signal.SIGKILL)
    await supervisor.says("worker has died")
    assert scraped(port)["qcore_worker_slots",] == 7
    assert scraped(port)[RUNS] == 12
    await supervisor.served_by(3)
    await noted(plant, 3)
    await until(lambda: scraped(port).get(RUNS) == 15, "the runs of its successor, too")
    await until(lambda: scraped(port)["qcore_worker_slots",] == 14, "the slots of its successor")
    supervisor.send(signal.SIGTERM)
    assert await supervisor.ended() == 0, supervisor.log


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Give a server of our own, as it is to be frozen."""
    with RedisServer(SERVERS[-1]) as server:
        yield server


@pytest.mark.parametrize("options", [[], ["--workers", "1"]], ids=["alone", "supervised"])
async def test_a_scrape_is_answered_while_the_store_hangs(
    tmp_path: Path, server: RedisServer, options: list[str]
) -> None:
    """It says that the store is away; and that it is back."""
    with planted(tmp_path, server.url) as plant:
        worker = plant.supervise("--metrics-port", "0", *options)
        port = await port_of(worker)
        await until(lambda: scraped(port)["qcore_worker_slots",] == 100, "it is reported")
        await until(lambda: scraped(port)["qcore_store_up",] == 1, "the store is up")
        server.freeze()
        frozen = scraped(port)
        assert frozen["qcore_store_up",] == 0
        assert frozen["qcore_worker_slots",] == 100
        assert not [key for key in frozen if key[0] == "qcore_tasks"]
        server.thaw()
        await until(lambda: scraped(port)["qcore_store_up",] == 1, "the store is up again")
        worker.send(signal.SIGTERM)
        assert await worker.ended() == 0, worker.log


class Gateway(BaseHTTPRequestHandler):
    """A Pushgateway that remembers what was pushed last, and from whom."""

    pushed: dict[str, tuple[str, str | None]]

    def do_PUT(self) -> None:
        size = int(self.headers["content-length"])
        text = self.rfile.read(size).decode()
        self.pushed[self.path] = text, self.headers.get("authorization")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def gateway() -> Iterator[ThreadingHTTPServer]:
    """Serve a gateway."""
    handler = type("Remembering", (Gateway,), {"pushed": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("options", [[], ["--workers", "1"]], ids=["alone", "supervised"])
async def test_a_burst_is_pushed_when_it_ends(
    plant: Plant, gateway: ThreadingHTTPServer, options: list[str]
) -> None:
    """All of it, with the name and the password that are in the URL, which no log shows."""
    for _ in range(5):
        await plant.q.client.enqueue(application.note.call(str(plant.folder)))
    url = f"http://ann:s3cret@127.0.0.1:{gateway.server_port}"
    worker = plant.supervise("--burst", "--metrics-push", url, *options)
    assert await worker.ended() == 0, worker.log
    [(path, (text, authorization))] = gateway.RequestHandlerClass.pushed.items()  # type: ignore[attr-defined]
    assert path.startswith("/metrics/job/qcore/instance/")
    assert authorization is not None
    assert authorization.startswith("Basic ")
    assert samples_of(text)[RUNS] == 5
    assert "s3cret" not in worker.log


async def test_a_gateway_that_is_away_costs_a_warning_and_no_task(plant: Plant) -> None:
    """Its tasks are done, and the worker leaves as ever."""
    for _ in range(3):
        await plant.q.client.enqueue(application.note.call(str(plant.folder)))
    worker = plant.supervise("--burst", "--metrics-push", "http://127.0.0.1:1")
    assert await worker.ended() == 0, worker.log
    [warned] = worker.lines("metrics are not pushed")
    assert "refused" in str(warned["error"])
    assert sum(map(len, plant.ran().values())) == 3
