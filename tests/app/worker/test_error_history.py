"""What is kept of the runs that went wrong."""

import asyncio
import os
import socket
import traceback

import pytest

from qcore import Context, InvalidOption, SkipRetry, Snooze, State, WorkerSettings
from qcore.app.worker.error_context import traceback_text
from qcore.domain.run_details import MAX_ERRORS, MAX_TRACEBACK
from qcore.errors import CannotDecode
from qcore.tasks import AttemptError
from qcore.testing import a_task
from qcore.testing.builders import NOW
from tests.app import process_handlers
from tests.app.kit import Lab


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


async def test_each_failure_says_when_who_and_where(lab: Lab) -> None:
    """The moment, the attempt, the error, the worker and the traceback of the handler alone."""

    @lab.task(max_retry=1)
    async def resize(ctx: Context, path: str) -> None:
        secret = "not to be seen"  # noqa: F841
        raise ValueError(path)

    handle = await resize.enqueue("a.png")
    await lab.worker(burst=True, name="alice").run()
    lab.manual.advance(1_000)
    await lab.worker(burst=True, name="bob").run()
    first, last = await handle.errors()
    assert (first.at, first.attempt, first.error) == (NOW, 1, "ValueError: a.png")
    assert (last.attempt, last.worker, first.worker) == (2, "bob", "alice")
    lines = (last.traceback or "").splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith("in resize")
    assert lines[-1] == "ValueError: a.png"
    assert "executor.py" not in (last.traceback or "")
    assert "not to be seen" not in lines[-1]
    assert await handle.status() is State.ARCHIVED


async def test_the_last_ten_are_kept_until_the_task_is_gone(lab: Lab) -> None:
    """The oldest make room; an operator's `run_now` forgets none of them."""

    @lab.task(max_retry=20)
    async def fail(ctx: Context) -> None:
        raise ValueError(ctx.attempt)

    handle = await fail.enqueue()
    for _ in range(12):
        await lab.run_due()
        lab.manual.advance(1_000_000)
    assert [fault.attempt for fault in await handle.errors()] == list(range(3, 13))
    assert len(await handle.errors()) == MAX_ERRORS
    await lab.inspector.run_now("default", [handle.id])
    assert len(await handle.errors()) == MAX_ERRORS
    await handle.delete()
    assert await handle.errors() == ()


async def test_a_task_that_cannot_be_done_says_who_found_out(lab: Lab) -> None:
    """A payload that does not fit, `SkipRetry`, a result that cannot be kept."""

    @lab.task("skip")
    async def skip(ctx: Context) -> None:
        raise SkipRetry("no")

    @lab.task("keep", retention=60)
    async def keep(ctx: Context) -> object:
        return object()

    skipped, kept = await skip.enqueue(), await keep.enqueue()
    misfit = await lab.client.enqueue(a_task(name="skip", payload=b"[]"))
    late = await lab.client.enqueue(a_task(name="skip", deadline=NOW))
    await lab.worker(burst=True, name="alice").run()
    faults = [(await handle.errors())[0] for handle in (skipped, kept, misfit, late)]
    assert {fault.worker for fault in faults} == {"alice"}
    assert [fault.traceback is not None for fault in faults] == [True, False, False, False]


async def test_what_is_no_error_is_not_among_them(lab: Lab) -> None:
    """A task that was put off, or that succeeds, has none."""

    @lab.task(retention=60)
    async def later(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise Snooze(5)

    handle = await later.enqueue()
    await lab.run_due()
    lab.manual.advance(5)
    await lab.run_due()
    assert await handle.status() is State.COMPLETED
    assert await handle.errors() == ()


async def test_a_run_that_took_too_long_says_where_it_was() -> None:
    """The traceback of the line that was cut short, and the limit."""
    lab = Lab(autojump=True)

    @lab.task(max_retry=0, timeout=5)
    async def wait(ctx: Context) -> None:
        await asyncio.Event().wait()

    handle = await wait.enqueue()
    await lab.worker(burst=True).run()
    [fault] = await handle.errors()
    assert fault.error == "TimeoutError: the handler ran for longer than 5.0 seconds"
    assert "in wait" in (fault.traceback or "")


async def test_an_error_says_which_version_of_the_application_failed() -> None:
    """As its worker was told: of each attempt its own, also where no handler could be called."""
    lab = Lab()

    @lab.task("send", max_retry=1)
    async def send(ctx: Context, to: int) -> None:
        raise ValueError("no")

    handle = await send.enqueue(7)
    misfit = await lab.client.enqueue(a_task(name="send", payload=b'{"to": "x"}'))
    await lab.worker(burst=True, app_version="1.4").run()
    lab.manual.advance(3600)
    await lab.worker(burst=True).run()
    assert [fault.version for fault in await handle.errors()] == ["1.4", None]
    assert [fault.version for fault in await misfit.errors()] == ["1.4"]


async def test_a_process_that_died_says_who_had_it() -> None:
    """Nobody knows where; the worker is named all the same."""
    lab = process_handlers.register(Lab())
    handle = await lab.client.enqueue(a_task(name="kill_itself", max_crashes=1))
    await lab.worker(burst=True, process_pool=1, name="alice", app_version="1.4").run()
    [fault] = await handle.errors()
    assert fault == AttemptError(NOW, 1, fault.error, "alice", None, "1.4")
    assert "SIGKILL" in fault.error


async def test_threads_and_their_causes_are_told(lab: Lab) -> None:
    """What an error came from is part of the traceback."""

    @lab.task(max_retry=0)
    def parse(ctx: Context) -> None:
        try:
            raise CannotDecode("bytes")  # noqa: TRY301
        except CannotDecode as error:
            raise ValueError("no picture") from error

    handle = await parse.enqueue()
    await lab.run_due()
    [fault] = await handle.errors()
    text = fault.traceback or ""
    assert "CannotDecode: bytes" in text
    assert "direct cause" in text
    assert text.splitlines()[-1] == "ValueError: no picture"
    assert "threads.py" not in text


def test_a_traceback_is_bounded_and_storable() -> None:
    """Its last characters, without what UTF-8 or a text column cannot hold."""
    text = traceback_text(ValueError("x" * 10_000 + "\udcff\0 the end")) or ""
    assert len(text) == MAX_TRACEBACK
    assert text.endswith("\\udcff\\0 the end\n")


async def test_an_error_that_cannot_be_formatted_is_kept_all_the_same(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with it, the run is judged; its traceback is that of its frames alone."""

    def broken(*_: object) -> list[str]:
        raise RuntimeError

    monkeypatch.setattr(traceback, "format_exception", broken)

    @lab.task(max_retry=0)
    async def fail(ctx: Context) -> None:
        raise ValueError("no")

    handle = await fail.enqueue()
    await lab.run_due()
    [fault] = await handle.errors()
    assert fault.error == "ValueError: no"
    assert fault.traceback is not None
    assert "in fail\n" in fault.traceback
    assert fault.traceback.endswith("ValueError: no")


def test_a_worker_is_called_after_its_machine_and_process(lab: Lab) -> None:
    """Unless it is given a name; one that is no text is refused."""
    assert WorkerSettings().name == f"{socket.gethostname()}:{os.getpid()}"
    for wrong in ("", "a\nb", 5, "x" * 300):
        with pytest.raises(InvalidOption, match="name is"):
            lab.worker(name=wrong)  # type: ignore[arg-type]
