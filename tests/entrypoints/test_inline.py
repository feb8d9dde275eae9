"""Tasks that run where they are asked for."""

import asyncio
import contextvars
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated, Any

import pytest

from qcore import (
    Context,
    InvalidOption,
    NewTask,
    Provided,
    Qcore,
    QcoreError,
    Retry,
    Revoke,
    SkipRetry,
    Snooze,
    State,
    chain,
)
from qcore.answers import Refused
from qcore.app.tasks.router_tree import Next
from qcore.testing import ManualClock, Signals, drain_sync

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


class Session:
    """What an around yields."""

    def __init__(self, log: list[str]) -> None:
        self.log = log


class Pool:
    """What a lifespan yields."""


class App:
    """A queue with tasks of all kinds, and what they have said."""

    def __init__(self, url: str = "memory://") -> None:
        self.q = q = Qcore(url, clock=ManualClock(), instruments=[], defaults={"retention": 60})
        self.said = said = list[str]()

        @q.task("plain")
        def plain(ctx: Context, text: str) -> str:
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            said.append(f"{text} in {threading.current_thread().name}")
            return text.upper()

        @q.task("awaits")
        async def awaits(ctx: Context, text: str) -> str:
            await asyncio.sleep(0)
            said.append(f"{text} in {threading.current_thread().name}")
            return text.upper()

        @q.task("fails", max_retry=1)
        def fails(ctx: Context, text: str = "no disk") -> None:
            raise OSError(text)

        self.plain, self.awaits, self.fails = plain, awaits, fails


@pytest.fixture
def app() -> Iterator[App]:
    """Return a queue whose own store is never used."""
    made = App()
    yield made
    assert made.q.blocking_inspector.counts() == {}


THREAD = threading.current_thread().name


@pytest.mark.parametrize("kind", ["plain", "awaits"])
def test_a_task_runs_before_enqueue_sync_returns(app: App, kind: str) -> None:
    """In the same thread; a handle has its state and its result."""
    with app.q.inline():
        handle = getattr(app, kind).enqueue_sync("one")
        assert app.said == [f"one in {THREAD}"]
        assert handle.status() is State.COMPLETED
        assert handle.result() == "ONE"


@pytest.mark.parametrize("kind", ["plain", "awaits"])
async def test_a_task_runs_before_an_awaited_enqueue_returns(app: App, kind: str) -> None:
    """A plain function blocks the loop, and does not see it."""
    with app.q.inline():
        handle = await getattr(app, kind).enqueue("one")
        assert app.said == [f"one in {THREAD}"]
        assert await handle.status() is State.COMPLETED
        assert await handle.result() == "ONE"
        asyncio.get_running_loop()


@pytest.mark.parametrize("kind", ["plain", "awaits"])
async def test_blocking_code_in_an_event_loop_runs_tasks_too(app: App, kind: str) -> None:
    """A coroutine has a loop of its own then, and the one that waits goes on afterwards."""
    with app.q.inline():
        assert getattr(app, kind).enqueue_sync("one").result() == "ONE"
    assert app.said == [f"one in {THREAD}"]
    task = asyncio.current_task()
    await asyncio.sleep(0)
    assert asyncio.current_task() is task is not None


def test_many_tasks_run_in_their_order(app: App) -> None:
    """One that is refused is so as ever."""
    with app.q.inline():
        wrong: Any = app.plain.call
        first, refused, last = app.q.blocking.enqueue_many(
            [app.plain.call("one"), wrong(7), app.awaits.call("two")]
        )
        assert isinstance(refused, Refused)
        assert not isinstance(first, Refused)
        assert not isinstance(last, Refused)
        assert (first.result(), last.result()) == ("ONE", "TWO")
    assert [each.split()[0] for each in app.said] == ["one", "two"]


def test_the_argument_is_what_a_worker_would_decode(app: App) -> None:
    """Arguments travel as bytes, and so do results: a tuple comes as what its annotation says."""
    q = app.q

    @q.task("types")
    def types(ctx: Context, values: list[int]) -> tuple[int, ...]:
        values.append(3)
        return tuple(values)

    given = [1, 2]
    with q.inline():
        assert types.enqueue_sync(given).result() == (1, 2, 3)
    assert given == [1, 2]


def test_the_context_is_as_in_a_worker(app: App) -> None:
    """Its id, attempt, headers, progress and saved work."""
    q = app.q

    @q.task("looks", max_retry=7)
    def looks(ctx: Context) -> list[Any]:
        ctx.progress(0.5, "half")
        ctx.save_sync(b"part")
        return [ctx.id, ctx.attempt, ctx.headers["who"], ctx.max_retry, ctx.saved_sync() == b"part"]

    with q.inline():
        handle = looks.using(task_id="7", headers={"who": "Ann"}).enqueue_sync()
        assert handle.result() == ["7", 1, "Ann", 7, True]
        progress = handle.progress()
        assert progress is not None
        assert progress.message == "half"


def test_what_follows_a_task_runs_after_it(app: App) -> None:
    """Follow-ups, and what they ask for, before the first call returns; not if it fails."""
    q, said = app.q, app.said

    @q.task("first")
    def first(ctx: Context, *, fail: bool) -> None:
        ctx.then(app.plain.call("then"))
        app.awaits.enqueue_sync("at once")
        said.append("first")
        if fail:
            raise SkipRetry("enough")

    with q.inline():
        first.enqueue_sync(fail=False)
        assert [each.split(" in ")[0] for each in said] == ["at once", "first", "then"]
        said.clear()
        with pytest.raises(SkipRetry, match="enough"):
            first.enqueue_sync(fail=True)
        assert [each.split(" in ")[0] for each in said] == ["at once", "first"]


def test_a_chain_runs_to_its_end(app: App) -> None:
    """Each step has the result of the one before."""
    with app.q.inline():
        chain(app.plain.call("a"), app.awaits.step(), app.plain.step()).enqueue_sync()
    assert [each.split(" in ")[0] for each in app.said] == ["a", "A", "A"]


def test_an_error_is_raised_where_the_task_is_asked_for(app: App) -> None:
    """The very one; its task is settled before, as in a worker."""
    with app.q.inline():
        with pytest.raises(OSError, match="no disk"):
            app.fails.using(task_id="1").enqueue_sync()
        handle = app.fails.handle_sync("1")
        assert handle.status() is State.RETRY
        [error] = handle.errors()
        assert error.error == "OSError: no disk"


async def test_an_error_is_raised_where_the_task_is_awaited(app: App) -> None:
    """In asynchronous code, too."""
    with app.q.inline(), pytest.raises(OSError, match="no disk"):
        await app.fails.enqueue()


def test_a_kept_error_is_told_by_the_handle(app: App) -> None:
    """The task waits for its retry, which comes when time passes and somebody runs it."""
    with app.q.inline(errors="keep"):
        handle = app.fails.enqueue_sync()
        assert handle.status() is State.RETRY
        assert app.fails.using(max_retry=0).enqueue_sync().status() is State.ARCHIVED
        assert drain_sync(app.q) == 1
        assert handle.status() is State.ARCHIVED


def test_of_several_errors_the_first_is_raised_when_all_have_run(app: App) -> None:
    """The others are told by the store."""
    with app.q.inline():
        calls = [app.fails.call("one"), app.plain.call("two"), app.fails.call("three")]
        with pytest.raises(OSError, match="one"):
            app.q.blocking.enqueue_many(calls)
        assert len(app.said) == 1
        assert app.q.blocking_inspector.counts()["default"][State.RETRY] == 2


@pytest.mark.parametrize(
    ("raised", "state"),
    [(Snooze(60), State.SCHEDULED), (Revoke(), State.GONE)],
    ids=["snooze", "revoke"],
)
def test_what_is_no_failure_raises_nothing(app: App, raised: Exception, state: State) -> None:
    """A task that is to run later waits."""
    q = app.q

    @q.task("odd")
    def odd(ctx: Context) -> None:
        raise raised

    with q.inline():
        assert odd.enqueue_sync().status() is state


def test_a_handler_that_asks_for_a_retry_has_failed(app: App) -> None:
    """As in a worker, where that burns one."""
    q = app.q

    @q.task("again", max_retry=3)
    def again(ctx: Context) -> None:
        raise Retry(delay=5)

    with q.inline(), pytest.raises(Retry):
        again.enqueue_sync()


def test_a_task_that_is_due_later_waits(app: App) -> None:
    """So do the members of a group; time passes with the clock, and a worker runs them."""
    with app.q.inline():
        handle = app.plain.using(delay=60).enqueue_sync("later")
        assert handle.status() is State.SCHEDULED
        assert app.said == []
        assert drain_sync(app.q) == 1
        assert handle.status() is State.COMPLETED


def test_what_cannot_be_read_or_may_not_start_is_an_error(app: App) -> None:
    """A task without a handler here is left for another service, as by a worker."""
    q = app.q
    with q.inline():
        with pytest.raises(QcoreError, match=r"plain: .*text"):
            q.blocking.enqueue(NewTask("plain", id="1", payload=b"{}"))
        with pytest.raises(QcoreError, match="plain: its deadline passed"):
            app.plain.using(deadline=q.clock.now() - 1).enqueue_sync("late")
        handle = q.blocking.enqueue(NewTask("nobody", id="2", payload=b"{}"))
        assert handle.status() is State.SCHEDULED


def test_middleware_arounds_and_hooks_are_around_it(app: App) -> None:
    """In their order, and what is provided is filled in."""
    q, said = app.q, app.said

    @q.middleware
    async def outer(ctx: Context, run: Next) -> object:
        said.append("middleware")
        await asyncio.sleep(0)
        return await run(ctx)

    @q.around
    def around(ctx: Context) -> Iterator[Session]:
        said.append("around")
        yield Session(said)
        said.append("closed")

    @q.on_error
    def tell(ctx: Context, error: BaseException) -> None:
        said.append(f"told of {error}")

    @q.task("session")
    def session(ctx: Context, session: Annotated[Session, Provided] = Provided) -> None:
        session.log.append("handler")

    with q.inline(errors="keep"):
        session.enqueue_sync()
        assert said == ["middleware", "around", "handler", "closed"]
        said.clear()
        app.fails.enqueue_sync()
        assert said == ["middleware", "around", "told of no disk"]
    other: list[str] = []
    with q.inline(provided={Session: Session(other)}):
        session.enqueue_sync()
    assert other == ["handler"]


def test_a_handler_of_a_process_runs_here(app: App) -> None:
    """There is no other process that could share a transaction."""
    q = app.q
    handler = q.task("process", process=True)(for_a_process)
    with q.inline():
        assert handler.enqueue_sync().result() == threading.get_ident()


def for_a_process(ctx: Context) -> int:
    """Be a handler."""
    return threading.get_ident()


def test_lifespans_are_entered_for_the_block(app: App) -> None:
    """And exited at its end."""
    q, said = app.q, app.said

    @q.lifespan
    async def pool() -> AsyncIterator[Pool]:
        said.append("opened")
        yield Pool()
        said.append("closed")

    @q.task("uses")
    async def uses(ctx: Context) -> None:
        said.append(type(ctx.state(Pool)).__name__)

    with q.inline():
        uses.enqueue_sync()
        uses.enqueue_sync()
    assert said == ["opened", "Pool", "Pool", "closed"]
    said.clear()

    async def main() -> None:
        async with q.inline():
            await uses.enqueue()
        with pytest.raises(InvalidOption, match=r"write `async with q\.inline\(\)`"):
            q.inline().__enter__()
        with q.inline(lifespans=[], provided={Pool: Pool()}):
            await uses.enqueue()

    asyncio.run(main())
    assert said == ["opened", "Pool", "closed", "Pool"]


def test_context_variables_are_the_callers_and_end_with_the_run(app: App) -> None:
    """A handler sees what its caller has set, and the caller nothing of what the handler sets."""
    q, seen = app.q, app.said

    @q.task("sets")
    def sets(ctx: Context) -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set("the handler's")

    async def main() -> None:
        await sets.enqueue()
        seen.append(VARIABLE.get())

    def run() -> None:
        VARIABLE.set("the caller's")
        with q.inline():
            sets.enqueue_sync()
            seen.append(VARIABLE.get())
            asyncio.run(main())

    contextvars.copy_context().run(run)
    assert seen == ["the caller's"] * 4


def test_a_task_of_the_callers_transaction_runs_within_it(app: App) -> None:
    """What it writes is undone with the transaction."""
    q, db = app.q, sqlite3.connect(":memory:", isolation_level=None)
    db.execute("CREATE TABLE orders (id)")

    @q.task("writes")
    def writes(ctx: Context) -> None:
        db.execute("INSERT INTO orders VALUES (1)")

    with q.inline():
        db.execute("BEGIN")
        q.within(db).enqueue(writes.call())
        assert db.execute("SELECT count(*) FROM orders").fetchone() == (1,)
        db.execute("ROLLBACK")
    assert db.execute("SELECT count(*) FROM orders").fetchone() == (0,)
    db.close()


async def test_callers_that_run_beside_each_other_have_their_own_errors(app: App) -> None:
    """Each awaits its own task."""
    with app.q.inline():
        answers = await asyncio.gather(
            app.fails.enqueue("one"),
            app.awaits.enqueue("two"),
            app.fails.enqueue("three"),
            return_exceptions=True,
        )
    assert [str(each) for each in (answers[0], answers[2])] == ["one", "three"]
    assert [each.split()[0] for each in app.said] == ["two"]


async def test_a_caller_that_is_cancelled_ends_its_task(app: App) -> None:
    """The run fails with the cancellation, which goes on."""
    q, began = app.q, asyncio.Event()

    @q.task("waits")
    async def waits(ctx: Context) -> None:
        began.set()
        await asyncio.Event().wait()

    with q.inline(errors="keep"):
        calling = asyncio.create_task(waits.using(task_id="1").enqueue())
        await began.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling


def test_instruments_hear_of_it_as_of_a_workers_run(app: App) -> None:
    """Logs, metrics and traces are the same."""
    signals = Signals()
    app.q.add_instrument(signals)
    with app.q.inline():
        app.plain.enqueue_sync("one")
    story = signals.story()
    for word in ("TasksClaimed", "TaskStarted", "TasksSettled", "TaskFinished"):
        assert word in story


def test_instruments_hear_of_what_has_expired(app: App) -> None:
    """It is ended by the claim of the next call, and is run by nobody."""
    signals = Signals()
    app.q.add_instrument(signals)
    with app.q.inline():
        app.plain.using(delay=1, expires=2).enqueue_sync("stale")
        assert isinstance(app.q.clock, ManualClock)
        app.q.clock.advance(60)
        app.plain.enqueue_sync("good")
    [told] = signals.swept.seen
    assert [(task.name, task.state) for task in told.swept.tasks] == [("plain", State.DEAD)]


def test_the_queues_own_store_is_used_again_after_the_block() -> None:
    """Even where the block ends with an error."""
    app = App()
    app.q.task("divides")(divides)
    with pytest.raises(ZeroDivisionError), app.q.inline():
        app.q.blocking.enqueue(NewTask("divides", id="1", payload=b"{}"))
    app.plain.enqueue_sync("one")
    app.plain.enqueue_sync("two")
    assert app.said == []
    assert app.q.blocking_inspector.counts() == {"default": {"pending": 2}}


def divides(ctx: Context) -> float:
    """Be a handler that fails."""
    return 1 / 0


def test_a_queue_that_is_not_configured_runs_tasks_inline() -> None:
    """As `swapped` does."""
    q, said = Qcore.later(), list[str]()

    @q.task("note")
    def note(ctx: Context, text: str) -> None:
        said.append(text)

    with q.inline():
        note.enqueue_sync("one")
    assert said == ["one"]


def test_a_wrong_choice_of_errors_is_refused(app: App) -> None:
    """It names both."""
    wrong: Any = "ignore"
    with pytest.raises(InvalidOption, match="errors is 'ignore': expected 'raise' or 'keep'"):
        app.q.inline(errors=wrong)


def test_a_block_is_entered_once(app: App) -> None:
    """Another is made for another time."""
    block = app.q.inline()
    with block:
        with pytest.raises(InvalidOption, match=r"entered already: make another, q\.inline\(\)"):
            block.__enter__()
        assert app.plain.enqueue_sync("one").result() == "ONE"


def test_an_enqueue_middleware_is_outside_of_the_run(app: App) -> None:
    """It sees the answers when the tasks have run."""
    q, said = app.q, app.said

    @q.enqueue_middleware
    async def note(tasks: Sequence[NewTask], send: Any) -> Any:
        said.append("sends")
        answers = await send(tasks)
        said.append("sent")
        return answers

    with q.inline():
        app.plain.enqueue_sync("one")
    assert [each.split()[0] for each in said] == ["sends", "one", "sent"]
