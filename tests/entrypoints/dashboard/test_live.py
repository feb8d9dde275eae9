"""Live pages: who is told of what, over one watch, until the server leaves."""

import asyncio
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import httpx
import pytest
import uvicorn

from qcore import Qcore
from qcore.app.client.store_updates import QueueUpdate, StoreUpdate
from qcore.dashboard import dashboard
from qcore.domain.errors import BrokerUnavailable
from qcore.entrypoints.dashboard import streams as module
from qcore.entrypoints.dashboard.refusals import TooMany
from qcore.entrypoints.dashboard.serve import Server, listen, url_of
from qcore.entrypoints.dashboard.streams import Stream, Streams
from tests.entrypoints.dashboard.kit import a_queue, as_role, browser, put
from tests.entrypoints.dashboard.test_mounting import served


class Watched:
    """An inspector that tells of what a test puts in, and counts who watches."""

    def __init__(self) -> None:
        self.watches = 0
        self.open = 0
        self.updates: asyncio.Queue[StoreUpdate | Exception] = asyncio.Queue()

    async def watch(self) -> AsyncGenerator[StoreUpdate, None]:
        self.watches += 1
        self.open += 1
        try:
            while True:
                update = await self.updates.get()
                if isinstance(update, Exception):
                    raise update
                yield update
        finally:
            self.open -= 1


def changed(*queues: str) -> StoreUpdate:
    """Return an update of some queues."""
    return StoreUpdate(0.0, [QueueUpdate(each, {}) for each in queues])


def begun(streams: Streams, watched: Watched, seen: str = "", **options: Any) -> AsyncIterator[Any]:
    """Return a stream of who may see the queues whose names begin so."""
    inspector = cast("Any", watched)
    return streams.events(inspector, lambda name: name.startswith(seen), **options)


async def test_a_page_is_told_that_something_has_changed() -> None:
    """Over a connection, as server-sent events that no proxy keeps back; not what it was."""
    q = Qcore("memory://", instruments=[])
    async with (
        q,
        served(dashboard(q)) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as http,
        http.stream("GET", "live") as response,
    ):
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["cache-control"] == "no-store"
        told = ""
        lines = response.aiter_text()
        while "event: opened" not in told:
            told += await anext(lines)
        await put(q, queue="secret-name")
        while "event: changed" not in told:
            told += await anext(lines)
        assert "secret-name" not in told


async def test_nobody_is_told_of_a_queue_that_they_may_not_see() -> None:
    """An update of such queues alone is none for them."""
    stream = Stream(lambda name: name.startswith("mail"))
    stream.tell(changed("pay", "pay-2"))
    assert await stream.wait(0) == b""
    stream.tell(changed("pay", "mail-2"))
    assert await stream.wait(0) == module.CHANGED
    assert await stream.wait(0) == b""


async def test_a_right_bounds_the_stream_of_a_page() -> None:
    """A visitor of one queue has a stream, and the queue of another is not there for it."""
    q = a_queue()
    await put(q, queue="mail")
    app = as_role(q, {"*.read@plain"})
    for queue in ("mail", "plain", "nobody"):
        response = await browser(app).get("live", queue=queue, most=1)
        assert response.text == module.OPENED.decode()
    assert (await browser(as_role(q, None)).get("live", most=1)).status_code == 404


async def test_all_streams_share_one_watch() -> None:
    """It begins with the first of them, and ends with the last."""
    streams, watched = Streams(), Watched()
    opened = [begun(streams, watched) for _ in range(5)]
    for each in opened:
        await anext(each)
    waiting = [asyncio.ensure_future(anext(each)) for each in opened]
    await asyncio.sleep(0)
    watched.updates.put_nowait(changed("mail"))
    assert [await each for each in waiting] == [module.CHANGED] * 5
    assert (watched.watches, len(streams)) == (1, 5)
    for each in opened:
        await cast("Any", each).aclose()
    await asyncio.sleep(0)
    assert (watched.open, len(streams)) == (0, 0)
    async with aclosing(cast("Any", begun(streams, watched))) as again:
        await anext(again)
        await asyncio.sleep(0)
        assert watched.watches == 2


async def test_an_outage_is_told_and_a_store_that_is_away_ends_streams() -> None:
    """A browser asks again by itself."""
    streams, watched = Streams(), Watched()
    async with aclosing(cast("Any", begun(streams, watched))) as stream:
        await anext(stream)
        watched.updates.put_nowait(StoreUpdate(0.0, (), outage="no route"))
        assert await anext(stream) == module.AWAY
        watched.updates.put_nowait(BrokerUnavailable("no route"))
        assert [each async for each in stream] == []


async def test_a_stream_that_says_nothing_sends_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments, which a page does not see."""
    monkeypatch.setattr(module, "HEARTBEAT", 0.0)
    monkeypatch.setattr(module, "TICK", 0.001)
    async with aclosing(cast("Any", begun(Streams(), Watched()))) as stream:
        assert await anext(stream) == module.OPENED
        assert await anext(stream) == module.BEAT
        assert module.BEAT.startswith(b":")


async def test_a_stream_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rights are asked for again then."""
    monkeypatch.setattr(module, "LIFE", -1.0)
    assert [each async for each in begun(Streams(), Watched())] == [module.OPENED]


async def test_more_streams_than_a_server_bears_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With 429; the page is still there to be reloaded."""
    monkeypatch.setattr(module, "MOST", 1)
    streams, watched = Streams(), Watched()
    async with aclosing(cast("Any", begun(streams, watched))) as stream:
        await anext(stream)
        with pytest.raises(TooMany, match="reloaded"):
            begun(streams, watched)


async def test_closed_streams_end_at_once() -> None:
    """And those that are asked for later say hello and no more."""
    streams, watched = Streams(), Watched()
    stream = begun(streams, watched)
    await anext(stream)
    streams.close()
    assert [each async for each in stream] == []
    assert [each async for each in begun(streams, watched)] == [module.OPENED]
    assert len(streams) == 0


async def test_a_signal_ends_open_streams() -> None:
    """The server of `qcore dashboard` waits for none of them, and a browser sees a whole answer."""
    listening = listen("127.0.0.1", 0)
    app = dashboard(a_queue())
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none")
    server = Server(config, app.close)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    async with (
        httpx.AsyncClient(timeout=30) as http,
        http.stream("GET", f"{url_of(listening)}live") as response,
    ):
        lines = response.aiter_text()
        await anext(lines)
        signal.raise_signal(signal.SIGTERM)
        # cut off, it would raise
        assert "event: opened" not in "".join([each async for each in lines])
    # without the end of the streams it would wait for ever
    await task


async def told_to_stop(handler_is_of_the_loop: bool) -> list[str]:  # noqa: FBT001
    """Return what a server that takes a signal sees of it while a stream is open."""
    loop, seen = asyncio.get_running_loop(), list[str]()
    if handler_is_of_the_loop:
        loop.add_signal_handler(signal.SIGTERM, seen.append, "signal")
    else:
        signal.signal(signal.SIGTERM, lambda *_: seen.append("signal"))
    handler = signal.getsignal(signal.SIGTERM)
    streams, watched = Streams(), Watched()
    opened = [begun(streams, watched) for _ in range(2)]
    for each in opened:
        await anext(each)
    signal.raise_signal(signal.SIGTERM)
    seen += ["stream" for each in opened if [event async for event in each] == []]
    async with aclosing(cast("Any", begun(streams, watched, most=2))) as later:
        # of a server that has not stopped
        await anext(later)
        await asyncio.sleep(0)
        watched.updates.put_nowait(changed("mail"))
        seen += ["later" async for _ in later]
    assert signal.getsignal(signal.SIGTERM) == handler
    return seen


@pytest.mark.parametrize("handler_is_of_the_loop", [True, False])
async def test_a_signal_that_any_server_takes_ends_open_streams(
    monkeypatch: pytest.MonkeyPatch,
    handler_is_of_the_loop: bool,  # noqa: FBT001
) -> None:
    """The server's handler is called as before, and is there again when no stream is open."""
    monkeypatch.setattr(module, "TICK", 0.001)
    before = signal.getsignal(signal.SIGTERM)
    try:
        seen = await told_to_stop(handler_is_of_the_loop)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)
    assert seen == ["signal", "stream", "stream", "later"]


async def test_a_server_that_leaves_without_a_signal_ends_open_streams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One of uvicorn, whose handler is a method: it has had as many requests as it was to have."""
    monkeypatch.setattr(module, "TICK", 0.001)
    server = uvicorn.Server(uvicorn.Config(dashboard(a_queue()), log_config=None))
    before = signal.signal(signal.SIGTERM, server.handle_exit)
    try:
        stream = begun(Streams(), Watched())
        await anext(stream)
        server.should_exit = True
        assert [each async for each in stream] == []
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("page", "parameters"),
    [
        ("", {}),
        ("tasks", {}),
        ("errors", {}),
        ("workers", {}),
        ("periodic", {}),
        ("queue", {"queue": "mail"}),
    ],
)
async def test_pages_name_their_stream(page: str, parameters: dict[str, str]) -> None:
    """By a link as any other; that of a queue is told of no other."""
    q = a_queue()
    await put(q, queue="mail")
    html = await browser(dashboard(q)).page(page, **parameters)
    assert html.body is not None
    query = "?queue=mail" if parameters else ""
    assert html.body.attributes["data-stream"] == f"live{query}"
    assert html.css_first("script[src^='static/live.js']") is not None
