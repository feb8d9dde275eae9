"""A queue, and a worker, in the lifespan of an ASGI application."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from litestar import Litestar, post
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from qcore import BrokerUnavailable, Context, InvalidOption, Qcore
from qcore.asgi import lifespan
from qcore.brokers import MemoryBroker
from qcore.testing import FaultyBroker
from tests.frameworks.asgi_kit import serving

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


class Notes(MemoryBroker):
    """A broker that notes when it is opened and closed."""

    def __init__(self, notes: list[str]) -> None:
        super().__init__()
        self._notes = notes

    async def open(self) -> None:
        self._notes.append("open")
        await super().open()

    async def close(self) -> None:
        self._notes.append("close")
        await super().close()


@pytest.fixture
def notes() -> list[str]:
    """Return what has happened, in order."""
    return []


@pytest.fixture
def q(notes: list[str]) -> Qcore:
    """Return a queue with a task that says that it ran."""
    made = Qcore(broker=Notes(notes), instruments=[])

    @made.task("greet", retention=60)
    async def greet(ctx: Context, name: str) -> str:
        notes.append("ran")
        return f"hello {name}"

    return made


def fastapi(q: Qcore, within: Lifespan) -> Any:
    """Return an application of FastAPI that enqueues a task and waits for it."""
    app = FastAPI(lifespan=within)

    @app.post("/greetings/{name}", status_code=201)
    async def greet(name: str) -> dict[str, Any]:
        handle = await q.handlers()[0].enqueue(name)
        return {"text": await handle.result(timeout=30)}

    return app


def starlette(q: Qcore, within: Lifespan) -> Any:
    """Return the same of Starlette."""

    async def greet(request: Request) -> JSONResponse:
        handle = await q.handlers()[0].enqueue(request.path_params["name"])
        return JSONResponse({"text": await handle.result(timeout=30)}, 201)

    routes = [Route("/greetings/{name}", greet, methods=["POST"])]
    return Starlette(routes=routes, lifespan=within)


def litestar(q: Qcore, within: Lifespan) -> Any:
    """Return the same of Litestar, which has a list of lifespans."""

    @post("/greetings/ann")
    async def greet() -> dict[str, Any]:
        handle = await q.handlers()[0].enqueue("ann")
        return {"text": await handle.result(timeout=30)}

    return Litestar([greet], lifespan=[within])


@pytest.mark.parametrize("app_of", [fastapi, starlette, litestar])
async def test_a_worker_runs_for_the_life_of_an_application(
    q: Qcore, notes: list[str], app_of: Callable[[Qcore, Lifespan], Any]
) -> None:
    """The store is open before it, and closed after it."""
    async with serving(app_of(q, lifespan(q, worker={"concurrency": 3}))) as client:
        assert notes[0] == "open"
        assert (await client.post("/greetings/ann")).json() == {"text": "hello ann"}
        assert "close" not in notes
    assert notes.index("ran") < notes.index("close")


async def test_without_a_worker_tasks_wait(q: Qcore, notes: list[str]) -> None:
    """For one of another process."""
    app = FastAPI(lifespan=lifespan(q))

    @app.post("/greetings/{name}", status_code=202)
    async def greet(name: str) -> dict[str, str]:
        handle = await q.handlers()[0].enqueue(name)
        return {"state": await handle.status()}

    async with serving(app) as client:
        assert (await client.post("/greetings/ann")).json() == {"state": "pending"}
    assert "ran" not in notes


async def test_the_applications_own_lifespan_is_inside(q: Qcore, notes: list[str]) -> None:
    """Around the worker, whose tasks may need what it makes; requests have what it yields."""

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, int]]:
        notes.append(f"own of {app.title}")
        yield {"answer": 42}
        notes.append("own ends")

    @q.lifespan
    async def workers() -> AsyncIterator[None]:
        notes.append("worker")
        yield
        notes.append("worker ends")

    app = FastAPI(title="shop", lifespan=lifespan(q, own, worker=True))

    @app.get("/answer")
    async def answer(request: Request) -> int:
        return int(request.state.answer)

    async with serving(app) as client:
        assert (await client.get("/answer")).json() == 42
    order = list(dict.fromkeys(notes))
    assert order == ["open", "own of shop", "worker", "worker ends", "own ends", "close"]


async def test_an_application_does_not_start_while_the_store_is_away() -> None:
    """Rather than answer each request with an error; what runs it tries again."""
    broker = FaultyBroker(MemoryBroker())
    app = FastAPI(lifespan=lifespan(Qcore(broker=broker, instruments=[])))
    with broker.down(), pytest.raises(BrokerUnavailable):
        async with serving(app):
            pass


@pytest.mark.parametrize("worker", [{"threads": 0}, {"max_tasks": 0}, {"thread": 3}])
def test_settings_of_a_worker_are_checked_where_they_are_given(q: Qcore, worker: Any) -> None:
    """And not when the application starts."""
    with pytest.raises((InvalidOption, TypeError), match=r"thread|max_tasks"):
        lifespan(q, worker=worker)


async def test_two_queues_are_one_in_the_other(q: Qcore, notes: list[str]) -> None:
    """As the inner one is an application's own lifespan, too."""
    other = Qcore(broker=Notes(notes), instruments=[])
    async with serving(FastAPI(lifespan=lifespan(q, lifespan(other)))):
        assert notes == ["open", "open"]
