import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.typing import EventDict

from qcore import Context
from qcore.middleware import log_runs
from qcore.testing import drain
from qcore.types import Next
from tests.app.kit import Lab


@pytest.fixture
def lines() -> Iterator[list[EventDict]]:
    """Yield what is logged while structlog is set up to merge context variables."""
    before = structlog.get_config()
    caught = structlog.testing.LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, caught])
    yield caught.entries
    structlog.configure(**before)


@pytest.fixture
def lab() -> Lab:
    """Return a queue with the middleware."""
    lab = Lab()
    lab.middleware(log_runs())
    return lab


def facts(line: EventDict) -> tuple[object, ...]:
    """Return which run a line is about."""
    return line["task"], line["task_id"], line["queue"], line["attempt"]


@pytest.mark.parametrize("in_thread", [False, True])
async def test_what_a_library_logs_names_the_run(
    lab: Lab, lines: list[EventDict], *, in_thread: bool
) -> None:
    """Whoever logs in a run, in a coroutine or a thread, has its facts in the line."""

    def library() -> None:
        structlog.get_logger("library").info("posted", status=200)

    async def coroutine(ctx: Context) -> None:
        await asyncio.sleep(0)
        library()

    def plain(ctx: Context) -> None:
        library()

    handler: Any = plain if in_thread else coroutine
    handle = await lab.task("mail", queue="low")(handler).enqueue()
    await lab.run_due()
    [posted] = [line for line in lines if line["event"] == "posted"]
    assert posted["status"] == 200
    assert facts(posted) == ("mail", handle.id, "low", 1)


async def test_runs_at_the_same_time_are_told_apart(lab: Lab, lines: list[EventDict]) -> None:
    """Each run has variables of its own, and none is left where none runs."""
    gate = asyncio.Event()

    @lab.task("mail")
    async def mail(ctx: Context) -> None:
        gate.set()
        await gate.wait()
        structlog.get_logger().info("posted", by=ctx.id)

    handles = [await mail.enqueue() for _ in range(3)]
    await lab.run_due()
    posted = [line for line in lines if line["event"] == "posted"]
    assert {line["task_id"] for line in posted} == {handle.id for handle in handles}
    assert all(line["task_id"] == line["by"] for line in posted)
    assert structlog.contextvars.get_contextvars() == {}


async def test_a_run_that_begins_is_logged_once_as_debug(lab: Lab, lines: list[EventDict]) -> None:
    """Its end is not: an instrument tells of that."""

    @lab.task("mail")
    async def mail(ctx: Context) -> None: ...

    handle = await mail.enqueue()
    await lab.run_due()
    [line] = lines
    assert (line["event"], line["log_level"]) == ("task started", "debug")
    assert facts(line) == ("mail", handle.id, "default", 1)


async def test_the_facts_end_with_a_run_that_fails(lab: Lab, lines: list[EventDict]) -> None:
    """What is logged of the error afterwards is not bound; the next attempt has its number."""

    @lab.task("mail", max_retry=1)
    async def mail(ctx: Context) -> None:
        raise ValueError("x")

    @lab.middleware
    async def inner(ctx: Context, run: Next) -> object:
        structlog.get_logger().info("inside")
        return await run(ctx)

    await mail.enqueue()
    await drain(lab)
    assert [line["attempt"] for line in lines if line["event"] == "inside"] == [1, 2]
    assert structlog.contextvars.get_contextvars() == {}


async def test_it_may_have_a_logger_of_its_own(lines: list[EventDict]) -> None:
    """That begins are told to the logger given."""
    lab = Lab()
    lab.middleware(log_runs(structlog.get_logger().bind(service="mailer")))

    @lab.task("mail")
    async def mail(ctx: Context) -> None: ...

    await mail.enqueue()
    await lab.run_due()
    assert [line["service"] for line in lines] == ["mailer"]
