"""What a handler raises in a process is judged as in a thread, whatever it is made of."""

import pickle
from typing import Any

from qcore import Context, Handle
from qcore.app.worker.pools.error_record import MAX_DEPTH, recorded
from qcore.app.worker.pools.error_stand_in import rebuilt
from qcore.errors import RemoteError
from tests.app import odd_errors
from tests.app.kit import Lab


async def verdict(handle: Handle[Any]) -> list[object]:
    """Return what is stored of a task whose handler raised."""
    task = await handle.task()
    if task is None:
        return ["gone"]
    traces = [each.traceback for each in await handle.errors()]
    return [task.state, task.failures, task.crashes, task.due, task.error, *traces]


async def test_every_error_has_the_verdict_that_it_has_in_a_thread() -> None:
    """State, budgets, the next moment, error and traceback are the same."""
    lab = Lab()
    told: dict[str, dict[str, str]] = {"thread": {}, "process": {}}

    @lab.on_error
    def hook(ctx: Context, error: BaseException) -> None:
        told[ctx.name][ctx.headers["how"]] = type(error).__name__

    thread, process = (lab.task(name, process=name == "process")(odd_errors.fail) for name in told)
    handles = {
        how: [await each.using(headers={"how": how}).enqueue(how) for each in (thread, process)]
        for how in odd_errors.ODD
    }
    await lab.worker(burst=True, process_pool=1).run()
    for how, (here, elsewhere) in handles.items():
        assert await verdict(elsewhere) == await verdict(here), how
    assert told["process"] == told["thread"]


async def test_causes_and_notes_are_in_the_traceback() -> None:
    """It is that of a thread: the cause, what was handled meanwhile, and the notes."""
    lab = Lab()
    thread, process = (
        lab.task(name, process=name == "process")(odd_errors.fail_with_cause)
        for name in ("thread", "process")
    )
    handles = [await thread.enqueue(), await process.enqueue()]
    await lab.worker(burst=True, process_pool=1).run()
    here, elsewhere = [await verdict(each) for each in handles]
    assert elsewhere == here
    trace = str(here[-1])
    for said in ("GET /a failed", "Local: local", "ValueError: noted", "another"):
        assert said in trace


async def test_whoever_wants_the_error_gets_one_of_its_class() -> None:
    """A predicate, a hook and a middleware see the class, its attributes and its causes."""
    lab = Lab()
    seen: list[BaseException] = []

    def is_failure(error: BaseException) -> bool:
        return not (type(error) is odd_errors.Frozen and error.user == 7)

    @lab.middleware
    async def middleware(ctx: Context, run: Any) -> object:
        try:
            return await run(ctx)
        except odd_errors.Frozen as error:
            seen.append(error)
            raise

    fail = lab.task("fail", process=True, is_failure=is_failure)(odd_errors.fail)
    handle = await fail.enqueue("frozen")
    await lab.worker(burst=True, process_pool=1).run()
    task = await handle.task()
    assert task is not None
    assert task.failures == 0
    assert len(seen) == 1


async def test_an_error_raised_from_one_of_a_process_has_the_traceback_of_both() -> None:
    """A middleware that translates errors does not hide where in the handler they were raised."""
    lab = Lab()

    @lab.middleware
    async def translate(ctx: Context, run: Any) -> object:
        try:
            return await run(ctx)
        except odd_errors.Wrapped as error:
            raise LookupError("translated") from error

    fail = lab.task("fail", process=True)(odd_errors.fail)
    handle = await fail.enqueue("wrapped")
    await lab.worker(burst=True, process_pool=1).run()
    [error] = await handle.errors()
    trace = error.traceback or ""
    assert trace.index("in fail") < trace.index("direct cause") < trace.index("in translate")


class TestRebuilt:
    def test_an_error_of_a_class_that_cannot_be_found_is_of_its_nearest_base(self) -> None:
        """It has the name of its own class, and is a `RemoteError` too."""

        class Local(LookupError):
            pass

        error = rebuilt(recorded(Local("here")))
        assert isinstance(error, LookupError)
        assert isinstance(error, RemoteError)
        assert f"{type(error).__name__}: {error}" == "Local: here"

    def test_attributes_that_can_travel_do(self) -> None:
        """Those that cannot are absent, and an argument that cannot looks the same."""
        error = odd_errors.Wrapped("/a")
        error.status, error.call = 404, lambda: None  # type: ignore[attr-defined]
        error.args = (1, error.call)  # type: ignore[attr-defined]
        again = rebuilt(recorded(error))
        assert type(again) is odd_errors.Wrapped
        assert vars(again)["status"] == 404
        assert "call" not in vars(again)
        assert again.args[0] == 1
        assert repr(again.args[1]) == repr(error.args[1])

    def test_attributes_without_proper_names_do_not_hinder_the_rest(self) -> None:
        """What says nothing of class and text is left out."""

        class Name(str):
            __slots__ = ()

        error = odd_errors.Wrapped("/a")
        vars(error)[Name("local")] = 1
        again = rebuilt(pickle.loads(pickle.dumps(recorded(error))))  # noqa: S301
        assert (type(again), str(again)) == (odd_errors.Wrapped, "GET /a failed")

    def test_a_chain_without_end_has_one(self) -> None:
        """Errors that lead to each other many times over are each recorded once, to some depth."""
        error = ValueError("first")
        for _ in range(100):
            cause, error = error, ValueError("next")
            error.__cause__ = error.__context__ = cause
        error.__cause__.__context__ = error
        link: BaseException | None = rebuilt(recorded(error))
        count = 0
        while link is not None:
            assert link.__context__ is link.__cause__ or count == 1
            link, count = link.__cause__, count + 1
        assert count == MAX_DEPTH + 1
