"""Arounds run where the handler does, see what comes of it, and provide what it needs."""

import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import pytest

from qcore import Context, InvalidOption, Provided, Router, State
from qcore.testing import a_context
from tests.app import around_handlers
from tests.app.kit import Lab, verdict_on


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


class Session:
    pass


class FakeSession(Session):
    pass


@pytest.mark.parametrize("kind", ["coroutine", "thread", "process"])
class TestWhere:
    async def test_it_runs_where_the_handler_does(self, kind: str) -> None:
        """In the very thread and process, with the same context variables, the first outermost."""
        lab, diary = around_handlers.lab, around_handlers.diary
        diary.clear()
        handler: Any = getattr(around_handlers, f"in_{kind}")
        handle = await handler.using(headers={"tenant": "acme"}).enqueue()
        noted = await around_handlers.diary_of_process.using(priority=-1).enqueue()
        # one after the other, in one process
        await lab.worker(burst=True, concurrency=1).run()
        tenant, pid, thread, session_is_its_own = await handle.result()
        assert tenant == "acme"
        assert session_is_its_own
        names = ["outer begins", "session closed", "outer saw", "outer ends"]
        if kind == "process":
            assert diary == []
            assert (await noted.result())[:4] == names
            return
        assert [what for what, _ in diary if what != "awaited saw"] == names
        assert {where for what, where in diary if "saw" not in what} == {(pid, thread)}
        assert (thread == threading.get_ident()) is (kind == "coroutine")
        assert ("awaited saw" in dict(diary)) is (kind == "coroutine")
        assert dict(diary)["outer saw"] == (tenant, pid, thread, True)

    async def test_it_sees_the_error_of_the_handler(self, kind: str) -> None:
        """The error is raised at its yield, and is the error of the run."""
        diary = around_handlers.diary
        diary.clear()
        handler: Any = getattr(around_handlers, f"in_{kind}")
        handle = await handler.enqueue(fails=True)
        await around_handlers.lab.run_due()
        assert await verdict_on(handle) == (State.ARCHIVED, 0, "LookupError: no such row")
        if kind != "process":
            assert isinstance(dict(diary)["outer saw"], LookupError)


class TestWhatItMayBe:
    @pytest.mark.parametrize("is_async", [True, False])
    async def test_any_context_manager_will_do(self, lab: Lab, *, is_async: bool) -> None:
        """What it returns is entered around the handler; what that returns is provided."""

        @asynccontextmanager
        async def awaited(ctx: Context) -> AsyncIterator[Session]:
            yield FakeSession()

        @contextmanager
        def plain(ctx: Context) -> Iterator[Session]:
            yield FakeSession()

        lab.around(awaited if is_async else plain)

        @lab.task("a", retention=60)
        async def a(ctx: Context) -> str:
            return type(ctx.state(Session)).__name__

        handle = await a.enqueue()
        await lab.run_due()
        assert await handle.result() == "FakeSession"

    async def test_one_that_catches_an_error_lets_the_task_end(self, lab: Lab) -> None:
        """As with any context manager: the run has then no result."""
        lab.around(lambda ctx: suppress(LookupError))

        @lab.task("a", retention=60, max_retry=0)
        def a(ctx: Context) -> int:
            raise LookupError("nothing there")

        handle = await a.enqueue()
        await lab.run_due()
        assert await verdict_on(handle) == (State.COMPLETED, 0, None)

    async def test_its_own_error_is_that_of_the_run(self, lab: Lab) -> None:
        """Before the handler, which is then not called, and after it."""
        called: list[str] = []

        @lab.around
        def picky(ctx: Context) -> Iterator[None]:
            if ctx.name == "before":
                raise ValueError("not today")
            yield
            raise ValueError("too late")

        @lab.task("before", max_retry=0)
        @lab.task("after", max_retry=0)
        def both(ctx: Context) -> None:
            called.append(ctx.name)

        first, second = await both.enqueue(), await both.function.enqueue()  # type: ignore[attr-defined]
        await lab.run_due()
        assert {(await verdict_on(each))[2] for each in (first, second)} == {
            "ValueError: not today",
            "ValueError: too late",
        }
        assert called == ["after"]

    @pytest.mark.parametrize("is_async", [True, False])
    @pytest.mark.parametrize("times", [0, 2])
    async def test_it_yields_once(self, lab: Lab, times: int, *, is_async: bool) -> None:
        """Not at all, or twice, is an error that names it."""

        def plain(ctx: Context) -> Iterator[None]:
            for _ in range(times):
                yield

        async def awaited(ctx: Context) -> AsyncIterator[None]:
            for _ in range(times):
                yield

        lab.around(awaited if is_async else plain)

        @lab.task("a", max_retry=0)
        async def a(ctx: Context) -> None: ...

        handle = await a.enqueue()
        await lab.run_due()
        _, _, error = await verdict_on(handle)
        assert error is not None
        assert ("twice" if times else "without a yield") in error
        assert ("awaited" if is_async else "plain") in error

    @pytest.mark.parametrize("stop", [StopIteration, StopAsyncIteration])
    @pytest.mark.parametrize("kind", ["plain", "async", "thread"])
    async def test_a_stop_of_iteration_is_an_error_like_any_other(
        self, lab: Lab, stop: type[Exception], kind: str
    ) -> None:
        """It does not look as if the around had caught it."""

        def plain(ctx: Context) -> Iterator[None]:
            yield

        async def awaited(ctx: Context) -> AsyncIterator[None]:
            yield

        async def in_coroutine(ctx: Context) -> None:
            raise stop("empty")

        def in_thread(ctx: Context) -> None:
            raise stop("empty")

        lab.around(awaited if kind == "async" else plain)
        function: Any = in_thread if kind == "thread" else in_coroutine
        handle = await lab.task("a", max_retry=0)(function).enqueue()
        await lab.run_due()
        state, _, error = await verdict_on(handle)
        assert state is State.ARCHIVED
        assert error is not None
        assert "empty" in error or "raised StopIteration" in error

    async def test_a_frozen_error_passes(self, lab: Lab) -> None:
        """Its traceback cannot be set, and is not."""

        class Frozen(Exception):
            def __setattr__(self, name: str, value: object) -> None:
                raise AttributeError(name)

        @lab.around
        def plain(ctx: Context) -> Iterator[None]:
            yield

        @lab.task("a", max_retry=0)
        def a(ctx: Context) -> None:
            raise Frozen("cold")

        handle = await a.enqueue()
        await lab.run_due()
        assert (await verdict_on(handle))[2] == "Frozen: cold"

    async def test_a_call_in_a_test_has_none(self, lab: Lab) -> None:
        """A handler that is called as the function that it is runs alone."""

        @lab.around
        def never(ctx: Context) -> Iterator[None]:
            raise AssertionError
            yield

        @lab.task("a")
        def a(ctx: Context, session: Annotated[Session, Provided]) -> Session:
            return session

        session = Session()
        assert a(a_context(), session) is session


class TestWhose:
    async def test_routers_and_tasks_have_their_own(self, lab: Lab) -> None:
        """Those of the queue are outermost, then the router's, then the task's."""
        diary: list[str] = []

        def noting(what: str) -> Callable[[Context], Iterator[None]]:
            def around(ctx: Context) -> Iterator[None]:
                diary.append(what)
                yield

            return around

        router = Router()
        router.around(noting("router"))
        lab.around(noting("queue"))

        @router.task("a", around=[noting("first"), noting("second")])
        async def a(ctx: Context) -> None:
            diary.append("handler")

        @lab.task("b")
        async def b(ctx: Context) -> None:
            diary.append("other")

        lab.include(router)
        await a.enqueue()
        await lab.run_due()
        await b.enqueue()
        await lab.run_due()
        assert diary == ["queue", "router", "first", "second", "handler", "queue", "other"]

    async def test_an_async_one_around_a_plain_handler_is_refused(self, lab: Lab) -> None:
        """When the worker is made: which handlers there are is not known before."""

        @lab.around
        async def session(ctx: Context) -> AsyncIterator[None]:
            yield

        @lab.task("report")
        def report(ctx: Context) -> None: ...

        with pytest.raises(InvalidOption, match=r"session is async.*'report' runs in a thread"):
            lab.worker()

    def test_of_one_task_it_is_refused_at_once(self, lab: Lab) -> None:
        """It is known what it is put around."""

        async def session(ctx: Context) -> AsyncIterator[None]:
            yield

        with pytest.raises(InvalidOption, match="runs in a process"):
            lab.task("dig", process=True, around=session)(around_handlers.bare_process.function)

    @pytest.mark.parametrize("wrong", [None, 5, "text"])
    def test_what_is_no_function_is_refused(self, lab: Lab, wrong: Any) -> None:
        """Where it is declared."""
        with pytest.raises(InvalidOption, match="is no around"):
            lab.task("a", around=[wrong])(lambda ctx: None)

    def test_a_coroutine_function_is_refused(self, lab: Lab) -> None:
        """It has nothing to yield."""

        async def session(ctx: Context) -> None: ...

        with pytest.raises(InvalidOption, match="is no around"):
            lab.around(session)  # type: ignore[call-overload]

    @pytest.mark.parametrize("only", ["thread,process", "async", 5, []])
    def test_a_kind_that_is_none_is_refused(self, lab: Lab, only: Any) -> None:
        """The error lists those that there are."""
        with pytest.raises(InvalidOption, match="'coroutine', 'thread', 'process'"):
            lab.around(only=only)(lambda ctx: suppress(LookupError))

    async def test_one_that_a_process_cannot_find_is_an_error(self) -> None:
        """The handler is not called without it."""
        lab = around_handlers.bare

        @lab.around
        def late(ctx: Context) -> Iterator[None]:
            yield

        handle = await around_handlers.bare_process.enqueue()
        await lab.run_due()
        state, _, error = await verdict_on(handle)
        assert state is State.ARCHIVED
        assert error is not None
        assert "late" in error
        assert "has found none" in error


@pytest.mark.system
def test_a_script_has_its_arounds_in_its_child_processes(tmp_path: Path) -> None:
    """There its module is called otherwise than in the worker."""
    (tmp_path / "script.py").write_text(
        "import os\n"
        "from qcore import Qcore\n"
        "from qcore.testing import ManualClock, drain_sync\n"
        "q = Qcore('memory://', clock=ManualClock(), instruments=[])\n"
        "@q.around\n"
        "def pid(ctx):\n"
        "    yield os.getpid()\n"
        "@q.task('pid', process=True, retention=60, max_retry=0)\n"
        "def look(ctx): return ctx.state(int)\n"
        "if __name__ == '__main__':\n"
        "    handle = look.enqueue_sync()\n"
        "    drain_sync(q)\n"
        "    print(handle.result(timeout=0) != os.getpid())\n"
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "True\n", done.stderr
