"""Whatever code of users raises: the verdict of the handler stands, and the worker lives."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NoReturn

import attrs
import pytest
from structlog.testing import capture_logs

from qcore import Context, Handle, NewTask, Qcore, State, Task
from qcore.adapters.serializers import JsonSerializer
from qcore.errors import CannotDecode
from qcore.events import BrokerCalled, Event, TaskFinished
from qcore.tasks import Group
from qcore.testing import drain
from qcore.testing.builders import NOW
from tests.app.kit import Lab, stored, verdict_on


class Odd(BaseException):
    """An error of a user's that is no `Exception`."""


EVERYTHING: Final[Sequence[type[BaseException]]] = (
    ValueError,
    asyncio.CancelledError,
    GeneratorExit,
    SystemExit,
    KeyboardInterrupt,
    RecursionError,
    Odd,
)
"""What code may raise: each in a way of its own ends a coroutine, a task of asyncio or a loop."""


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


@pytest.fixture(params=EVERYTHING, ids=lambda kind: kind.__name__)
def odd(request: pytest.FixtureRequest) -> type[BaseException]:
    """Return one of the errors that code may raise."""
    kind: type[BaseException] = request.param
    return kind


def raising(kind: type[BaseException]) -> Callable[..., NoReturn]:
    """Return a function that raises, whatever it is asked."""

    def raises(*_: object, **__: object) -> NoReturn:
        raise kind("odd")

    return raises


async def fail(lab: Lab, error: BaseException, **options: Any) -> Handle[None]:
    """Run a task that raises, and one after it that must be completed all the same."""

    @lab.task("fails", max_retry=0, **options)
    async def fails(ctx: Context) -> None:
        raise error

    @lab.task("next", retention=60)
    async def following(ctx: Context) -> None: ...

    handle, later = await fails.enqueue(), await following.using(delay=1).enqueue()
    await drain(lab)
    assert await later.status() is State.COMPLETED
    return handle


async def test_a_handler_may_raise_anything(lab: Lab, odd: type[BaseException]) -> None:
    """It has failed, and is judged like any other."""
    handle = await fail(lab, odd("odd"))
    assert await verdict_on(handle) == (State.ARCHIVED, 0, f"{odd.__name__}: odd")


@pytest.mark.parametrize("awaits", [False, True])
async def test_a_handler_may_cancel_its_own_task(lab: Lab, *, awaits: bool) -> None:
    """It has failed, and hooks are called of its error and of those after it."""
    told: list[str] = []

    @lab.on_error
    async def hook(ctx: Context, error: BaseException) -> None:
        await asyncio.sleep(0)
        told.append(type(error).__name__)

    @lab.task("cancels", max_retry=0)
    async def cancels(ctx: Context) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if awaits:
            await asyncio.sleep(0)
        raise ValueError("x")

    handle = await cancels.enqueue()
    await drain(lab)
    error = "CancelledError" if awaits else "ValueError: x"
    assert await verdict_on(handle) == (State.ARCHIVED, 0, error)
    await fail(lab, OSError("y"))
    assert told == [error.partition(":")[0], "OSError"]


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_hook_may_raise_anything(
    lab: Lab,
    odd: type[BaseException],
    *,
    is_async: bool,
) -> None:
    """It is logged with the hook's name, the others are called, and the verdict stands."""
    told: list[str] = []

    async def coroutine(ctx: Context, error: BaseException) -> None:
        raise odd("odd")

    lab.on_error(coroutine if is_async else raising(odd))

    @lab.on_error
    def sound(ctx: Context, error: BaseException) -> None:
        told.append(str(error))

    with capture_logs() as logs:
        handle = await fail(lab, ValueError("x"))
    assert await verdict_on(handle) == (State.ARCHIVED, 0, "ValueError: x")
    assert told == ["x"]
    [log] = logs
    assert (log["event"], log["task_id"]) == ("error hook failed", handle.id)
    assert ("coroutine" if is_async else "raises") in log["code"]


async def test_a_hook_may_await_what_somebody_has_cancelled(lab: Lab) -> None:
    """A sender that was stopped raises `CancelledError` in the hook, which nobody has cancelled."""
    sender = asyncio.create_task(asyncio.Event().wait())
    sender.cancel()

    @lab.on_error
    async def report(ctx: Context, error: BaseException) -> None:
        await sender

    handle = await fail(lab, ValueError("x"))
    assert await verdict_on(handle) == (State.ARCHIVED, 0, "ValueError: x")


@pytest.mark.parametrize("what", ["retry", "is_failure"])
async def test_a_policy_may_raise_anything(lab: Lab, odd: type[BaseException], what: str) -> None:
    """The failure burns a retry, and the usual curve says when the next run is."""
    options: dict[str, Any] = {what: raising(odd)}

    @lab.task("fails", max_retry=1, **options)
    async def fails(ctx: Context) -> None:
        raise ValueError("x")

    handle = await fails.enqueue()
    with capture_logs() as logs:
        await lab.run_due()
    task = await stored(handle)
    assert (task.state, task.failures, task.error) == (State.RETRY, 1, "ValueError: x")
    assert task.due == NOW + 15 + 0.5 * 30
    assert [log["event"] for log in logs] == ["retry policy failed"]


class Undecided:
    """An answer that is neither true nor false, and no number."""

    def __bool__(self) -> bool:
        raise SystemExit(3)


@pytest.mark.parametrize("what", ["retry", "is_failure"])
@pytest.mark.parametrize("answer", [None, "5", Undecided(), [], 1j], ids=repr)
async def test_a_policy_may_return_anything(lab: Lab, what: str, answer: object) -> None:
    """The failure is retried, and the worker lives."""
    options: dict[str, Any] = {what: lambda *_: answer}

    @lab.task("fails", max_retry=1, **options)
    async def fails(ctx: Context) -> None:
        raise ValueError("x")

    handle = await fails.enqueue()
    with capture_logs():
        await lab.run_due()
    task = await stored(handle)
    assert (task.state, task.error) == (State.RETRY, "ValueError: x")


@pytest.mark.parametrize("method", ["__str__", "__repr__", "__eq__", "__hash__", "__bool__"])
async def test_an_error_may_raise_anything_when_it_is_asked(
    lab: Lab, odd: type[BaseException], method: str
) -> None:
    """It is stored by its kind, and instruments and hooks are told of it."""
    broken = type("Broken", (Exception,), {method: raising(odd)})
    told: list[BaseException] = []

    @lab.on_error
    def hook(ctx: Context, error: BaseException) -> None:
        told.append(error)

    handle = await fail(lab, broken("said"))
    text = "Broken" if method == "__str__" else "Broken: said"
    assert await verdict_on(handle) == (State.ARCHIVED, 0, text)
    assert [type(each) for each in told] == [broken]
    [error] = await handle.errors()
    assert error.traceback is not None
    assert "fails" in error.traceback


@pytest.mark.parametrize("runs", ["on the loop", "in a thread"])
@pytest.mark.parametrize(
    "attribute",
    ["__class__", "__traceback__", "__cause__", "__context__", "__suppress_context__", "__dict__"],
)
async def test_an_error_may_refuse_its_attributes(
    lab: Lab, odd: type[BaseException], attribute: str, runs: str
) -> None:
    """It is judged by its name and text; hooks are given one like it, which they can ask."""
    broken = type("Broken", (Exception,), {attribute: property(raising(odd))})
    told: list[BaseException] = []
    lab.on_error(lambda ctx, error: told.append(error))
    error = broken("said")

    def in_thread(ctx: Context) -> None:
        raise error

    async def on_loop(ctx: Context) -> None:
        raise error

    handler = on_loop if runs == "on the loop" else in_thread
    handle = await lab.task("fails", max_retry=0)(handler).enqueue()
    with capture_logs() as logs:
        await drain(lab, until=NOW)
    assert not logs
    assert await verdict_on(handle) == (State.ARCHIVED, 0, "Broken: said")
    assert [type(each).__name__ for each in told] == ["Broken"]
    assert getattr(told[0], attribute, None) is not error
    [kept] = await handle.errors()
    assert kept.traceback is not None


async def test_an_error_may_say_that_it_is_of_another_class(lab: Lab) -> None:
    """What counts is what an `except` clause would take it for."""
    liar = type("Liar", (Exception,), {"__class__": property(lambda _: StopIteration)})
    assert await verdict_on(await fail(lab, liar("x"))) == (State.ARCHIVED, 0, "Liar: x")


async def test_a_class_of_errors_may_refuse_its_name(lab: Lab) -> None:
    """Its metaclass is not asked."""

    class Meta(type):
        def __getattribute__(cls, name: str) -> Any:
            if name in {"__name__", "__qualname__", "__module__"}:
                raise RuntimeError(name)
            return super().__getattribute__(name)

    error = Meta("Nameless", (Exception,), {})("x")
    assert await verdict_on(await fail(lab, error)) == (State.ARCHIVED, 0, "Nameless: x")


async def test_a_hook_is_told_of_an_error_that_cannot_be_changed(lab: Lab) -> None:
    """A frozen dataclass refuses a traceback, too."""

    @dataclass(frozen=True)
    class Frozen(Exception):
        user: int

    told: list[BaseException] = []
    lab.on_error(lambda ctx, error: told.append(error))
    with capture_logs() as logs:
        await fail(lab, Frozen(7))
    assert told == [Frozen(7)]
    assert not logs


class Text(str):
    """A text whose methods do not work."""

    __slots__ = ()
    __format__ = encode = replace = None  # type: ignore[assignment]


@pytest.mark.parametrize("said", [7, None, b"bytes", Text("x")], ids=type)
async def test_an_error_may_say_what_is_no_text(lab: Lab, said: object) -> None:
    """What it says counts if it is text, of whatever class."""
    broken = type("Broken", (Exception,), {"__str__": lambda _: said})
    handle = await fail(lab, broken())
    text = "Broken: x" if isinstance(said, str) else "Broken"
    assert await verdict_on(handle) == (State.ARCHIVED, 0, text)


async def test_an_instrument_may_raise_anything(odd: type[BaseException]) -> None:
    """Also when it is asked for the events that it wants, and when the log asks for its name."""

    class Broken:
        wants = frozenset({TaskFinished})
        __call__ = __repr__ = raising(odd)

    class Worse:
        wants = property(raising(odd))

        def __call__(self, event: Event) -> None: ...

    lab = Lab()
    lab.instruments = (Broken(), Worse(), lab.signals)
    with capture_logs() as logs:
        handle = await fail(lab, ValueError("x"))
    assert await verdict_on(handle) == (State.ARCHIVED, 0, "ValueError: x")
    assert {log["event"] for log in logs} == {"instrument failed"}
    assert f"<Broken, whose repr raises {odd.__name__}>" in {log["code"] for log in logs}


async def test_an_instrument_may_raise_anything_when_it_is_asked_for_its_lists(
    odd: type[BaseException],
) -> None:
    """Of the times of calls: then it is told by events, and whoever calls hears nothing."""

    class Broken:
        wants = frozenset({BrokerCalled})
        call_times: Any = staticmethod(raising(odd))

        def __init__(self) -> None:
            self.verbs: list[str] = []

        def __call__(self, event: Event) -> None:
            assert isinstance(event, BrokerCalled)
            self.verbs.append(event.verb)

    class Worse(Broken):
        call_times = property(raising(odd))

    class Strange(Broken):
        @staticmethod
        def call_times(verb: str) -> Any:
            return verb

    class Unwilling(list[float]):
        append: Any = raising(odd)

    class Sly(Broken):
        @staticmethod
        def call_times(verb: str) -> Any:
            return Unwilling()

    for broken in (Broken(), Worse(), Strange(), Sly()):
        with capture_logs() as logs:
            q = Qcore("memory://", instruments=[broken])
            await q.client.enqueue(NewTask("a", id="1"))
        assert broken.verbs == ["open", "enqueue"]
        assert {log["event"] for log in logs} <= {"instrument failed"}


async def test_middleware_may_raise_anything(lab: Lab, odd: type[BaseException]) -> None:
    """It is a part of the run, which has failed."""

    @lab.middleware
    async def broken(ctx: Context, run: Callable[..., Any]) -> object:
        value = await run(ctx)
        if ctx.name == "fails":
            raise odd("odd")
        return value

    @lab.task("fails", max_retry=0)
    async def fails(ctx: Context) -> None: ...

    handle = await fails.enqueue()
    await drain(lab)
    assert await verdict_on(handle) == (State.ARCHIVED, 0, f"{odd.__name__}: odd")


class TestSerializers:
    async def test_one_may_raise_anything_when_it_reads(self, odd: type[BaseException]) -> None:
        """The task is dead with that as its reason, as with any payload that does not fit."""
        serializer: Any = JsonSerializer()
        lab = Lab(serializer=serializer)

        @lab.task("fails")
        async def fails(ctx: Context) -> None: ...

        handle = await fails.enqueue()
        serializer.loads = raising(odd)
        await drain(lab)
        text = f"CannotDecode: the serializer raised {odd.__name__}: odd"
        assert await verdict_on(handle) == (State.DEAD, 0, text)

    async def test_one_may_raise_anything_when_it_writes(self, odd: type[BaseException]) -> None:
        """A result that cannot be written makes its task dead."""
        serializer: Any = JsonSerializer()
        lab = Lab(serializer=serializer)

        @lab.task("fails", retention=60)
        async def fails(ctx: Context) -> int:
            return 7

        handle = await fails.enqueue()
        serializer.dumps = raising(odd)
        await drain(lab)
        text = f"its result cannot be kept: the serializer raised {odd.__name__}: odd"
        assert await verdict_on(handle) == (State.DEAD, 0, text)

    async def test_whoever_waits_for_a_result_is_told(self, odd: type[BaseException]) -> None:
        """`CannotDecode`, whatever was raised."""
        serializer: Any = JsonSerializer()
        lab = Lab(serializer=serializer)

        @lab.task("seven", retention=60)
        async def seven(ctx: Context) -> int:
            return 7

        handle = await seven.enqueue()
        await drain(lab)
        serializer.loads = raising(odd)
        with pytest.raises(CannotDecode, match=odd.__name__):
            await handle.result()


@pytest.mark.parametrize(
    "method", ["__eq__", "__hash__", "__repr__", "__str__", "__bool__", "__len__"]
)
async def test_a_result_may_raise_anything_when_it_is_asked(
    lab: Lab, odd: type[BaseException], method: str
) -> None:
    """It is kept, or its task is dead with a reason; another task is completed."""
    raises = {method: raising(odd)}
    results = {"plain": type("Odd", (), raises)(), "text": type("Odd", (str,), raises)("x")}

    @lab.task("returns", retention=60)
    async def returns(ctx: Context, what: str) -> Any:
        return results.get(what)

    handles = [await returns.enqueue(what) for what in (*results, "nothing")]
    await drain(lab)
    states = [await verdict_on(each) for each in handles]
    assert states[-1] == (State.COMPLETED, 0, None)
    for state, crashes, error in states:
        assert (state, crashes) in {(State.COMPLETED, 0), (State.DEAD, 0)}
        assert state is State.COMPLETED or (error or "").startswith("its result cannot be kept: ")


@attrs.define(eq=False)
class Address:
    """An argument whose class raises something once it is told to."""

    town: str
    at_birth: ClassVar[type[BaseException] | None] = None
    when_compared: ClassVar[type[BaseException] | None] = None

    def __attrs_post_init__(self) -> None:
        """Raise."""
        if self.at_birth is not None:
            raise self.at_birth("odd")

    def __eq__(self, other: object) -> bool:
        """Raise."""
        if self.when_compared is not None:
            raise self.when_compared("odd")
        return type(other) is Address and self.town == other.town

    __hash__ = None  # type: ignore[assignment]


async def test_an_argument_may_raise_anything_when_it_is_decoded(
    lab: Lab, odd: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its class did not when the task was enqueued: the task is dead, with a reason."""

    @lab.task("mail")
    async def mail(ctx: Context, to: Address) -> None: ...

    handle = await mail.enqueue(Address("Ely"))
    monkeypatch.setattr(Address, "at_birth", odd)
    await drain(lab)
    state, crashes, error = await verdict_on(handle)
    assert (state, crashes) == (State.DEAD, 0)
    assert "odd" in (error or "")


async def test_an_argument_is_not_compared_by_its_own_equality(
    lab: Lab, odd: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether an argument was given is seen by identity."""

    @lab.task("mail", retention=60)
    async def mail(ctx: Context, to: Address, cc: Address | None = None) -> None: ...

    handle = await mail.enqueue(Address("Ely"), Address("Rye"))
    monkeypatch.setattr(Address, "when_compared", odd)
    await drain(lab)
    assert await handle.status() is State.COMPLETED


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_aggregator_may_raise_anything(
    odd: type[BaseException], *, is_async: bool
) -> None:
    """Its group is tried again later, and the worker lives."""
    lab = Lab(autojump=True)

    @lab.task("note")
    async def note(ctx: Context) -> None: ...

    def plain(group: Group, tasks: Sequence[Task]) -> NewTask:
        raise odd("odd")

    async def coroutine(group: Group, tasks: Sequence[Task]) -> NewTask:
        raise odd("odd")

    lab.aggregator(grace=1)(coroutine if is_async else plain)
    await note.using(group="g").enqueue()
    async with lab.working():
        for _ in range(2):
            failed = await lab.signals.aggregation_failed.next()
            assert odd.__name__ in repr(failed.error)
