import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from qcore import (
    Context,
    Handle,
    InvalidOption,
    RateLimited,
    Retry,
    Revoke,
    SkipRetry,
    Snooze,
    State,
)
from qcore.backoff import exponential
from qcore.domain.moments import LAST_MOMENT
from qcore.middleware import CircuitBreaker, circuit_breaker, timeouts
from qcore.testing import ManualClock, a_context, a_task, drain
from qcore.testing.builders import NOW
from tests.app.kit import Lab, stored, turn
from tests.middleware import process_handlers


class Away(Exception):
    """What a service's client raises that finds nobody."""


class Service:
    """Something that may be out of order."""

    def __init__(self) -> None:
        self.is_away = True
        self.asked = 0

    async def __call__(self, ctx: Context) -> object:
        self.asked += 1
        if self.is_away:
            raise Away(ctx.name)
        return "answered"


@pytest.fixture
def lab() -> Lab:
    """Return a queue in virtual time, whose dice always roll a half."""
    return Lab()


@pytest.fixture
def service() -> Service:
    """Return a service that is away."""
    return Service()


async def went(mw: CircuitBreaker, run: Any, name: str = "http:get") -> object:
    """Return what came of a run: its value, or what was raised."""
    try:
        return await mw(a_context(task=a_task(name=name)), run)
    except Exception as error:  # noqa: BLE001  (it is what came of it)
        return error


async def opened(mw: CircuitBreaker, times: int = 5, name: str = "http:get") -> None:
    """Fail so many times that a circuit opens."""
    service = Service()
    for _ in range(times):
        assert isinstance(await went(mw, service, name), Away)
    assert not mw.is_closed(name)


def raising(error: BaseException) -> Callable[[Context], Awaitable[object]]:
    """Return a run that raises."""

    async def run(ctx: Context) -> object:
        raise error

    return run


class TestClosed:
    async def test_so_many_failures_open_it(self, lab: Lab, service: Service) -> None:
        """The fifth within a minute does, and from then on nobody is asked."""
        mw = CircuitBreaker(lab)
        for _ in range(5):
            assert mw.is_closed("http:get")
            assert isinstance(await went(mw, service), Away)
        assert not mw.is_closed("http:get")
        assert isinstance(await went(mw, service), Snooze)
        assert service.asked == 5

    async def test_failures_far_between_do_not(self, lab: Lab, service: Service) -> None:
        """Four a minute are borne for ever."""
        mw = CircuitBreaker(lab)
        for _ in range(40):
            await went(mw, service)
            lab.manual.advance(15.1)
        assert service.asked == 40

    async def test_how_many_and_how_soon_may_be_chosen(self, lab: Lab, service: Service) -> None:
        """Durations are seconds or timedeltas."""
        mw = CircuitBreaker(lab, failures=2, within=timedelta(hours=1), open_for=timedelta(days=1))
        await went(mw, service)
        lab.manual.advance(3600)
        await opened(mw, 1)
        lab.manual.advance(86_399)
        assert isinstance(await went(mw, service), Snooze)

    async def test_two_names_do_not_disturb_each_other(self, lab: Lab, service: Service) -> None:
        """Each has a circuit of its own."""
        mw = CircuitBreaker(lab)
        await opened(mw, name="http:get")
        assert isinstance(await went(mw, service, "http:put"), Away)
        service.is_away = False
        assert await went(mw, service, "http:put") == "answered"
        assert isinstance(await went(mw, service, "http:get"), Snooze)

    @pytest.mark.parametrize("names", ["http:", ["mail", "http:"], ("http:get",), ""])
    async def test_it_is_for_the_names_given(self, lab: Lab, names: Any, service: Service) -> None:
        """Exact names and prefixes, as a router's; the others go on whatever happens."""
        mw = CircuitBreaker(lab, names)
        await opened(mw, name="http:get")
        for _ in range(10):
            await went(mw, service, "mailing")
        assert mw.is_closed("mailing") is (names != "")

    async def test_a_circuit_may_be_anything_of_a_run(self, lab: Lab, service: Service) -> None:
        """With `by`, a host has one circuit for all tasks that ask it."""
        mw = CircuitBreaker(lab, by=lambda ctx: ctx.headers["host"], failures=2)
        here = a_context(task=a_task(name="get", headers={"host": "a"}))
        same = a_context(task=a_task(name="put", headers={"host": "a"}))
        there = a_context(task=a_task(name="get", headers={"host": "b"}))
        for each in (here, same, there):
            with pytest.raises(Away):
                await mw(each, service)
        with pytest.raises(Snooze):
            await mw(here, service)
        assert (mw.is_closed("a"), mw.is_closed("b")) == (False, True)

    @pytest.mark.parametrize(
        "error",
        [
            Snooze(1),
            RateLimited(1),
            Retry(),
            SkipRetry(),
            Revoke(),
            asyncio.CancelledError(),
            SystemExit(1),
        ],
        ids=repr,
    )
    async def test_words_and_cancellations_are_no_failures(
        self, lab: Lab, error: BaseException
    ) -> None:
        """They reach the worker as they are, and however many there are change nothing."""
        mw = CircuitBreaker(lab, failures=1)
        for _ in range(3):
            with pytest.raises(type(error)):
                await mw(a_context(task=a_task(name="http:get")), raising(error))
        assert mw.is_closed("http:get")

    async def test_what_counts_may_be_chosen(self, lab: Lab) -> None:
        """An error that does not count is as good as an answer."""
        mw = CircuitBreaker(lab, failures=1, counts=lambda error: isinstance(error, Away))
        assert isinstance(await went(mw, raising(ValueError())), ValueError)
        assert mw.is_closed("http:get")
        await opened(mw, 1)

    async def test_a_predicate_that_fails_says_nothing(self, lab: Lab, service: Service) -> None:
        """The handler's error is raised, and a probe that met it does not block the next."""

        def counts(error: BaseException) -> bool:
            if isinstance(error, Away):
                return True
            raise RuntimeError("cannot say") from error

        mw = CircuitBreaker(lab, failures=1, counts=counts)
        await opened(mw, 1)
        lab.manual.advance(30)
        with capture_logs() as logs:
            for _ in range(2):
                assert isinstance(await went(mw, raising(ValueError())), ValueError)
        assert [log["event"] for log in logs] == ["circuit breaker failed"] * 2
        service.is_away = False
        assert await went(mw, service) == "answered"

    async def test_forgotten_names_are_not_kept_for_ever(
        self, lab: Lab, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So many circuits are remembered: the oldest makes room."""
        monkeypatch.setattr(circuit_breaker, "MAX_CIRCUITS", 3)
        mw = CircuitBreaker(lab, failures=1)
        for name in "abcd":
            await went(mw, service, name)
        assert [mw.is_closed(name) for name in "abcd"] == [True, False, False, False]
        service.is_away = False
        for name in "efg":
            await went(mw, service, name)
        assert [mw.is_closed(name) for name in "bcd"] == [False] * 3

    @pytest.mark.parametrize(
        ("option", "bad"),
        [("failures", 0), ("within", 0), ("within", "5"), ("open_for", 0), ("open_for", -1)],
    )
    def test_a_number_that_makes_no_sense_is_refused(self, lab: Lab, option: str, bad: Any) -> None:
        """The message names it."""
        with pytest.raises(InvalidOption, match=f"{option} is {bad!r}"):
            CircuitBreaker(lab, **{option: bad})


class TestOpen:
    @pytest.mark.parametrize(("roll", "moment"), [(0.0, 30.0), (0.5, 31.5), (0.99, 32.97)])
    async def test_who_waits_comes_back_spread_after_its_end(
        self, roll: float, moment: float
    ) -> None:
        """Dice spread them over a tenth of the pause; none comes too early."""
        lab = Lab(dice=lambda: roll)
        mw = CircuitBreaker(lab)
        await opened(mw)
        lab.manual.advance(10)
        snooze = await went(mw, Service())
        assert isinstance(snooze, Snooze)
        assert snooze.moment(lab.clock.now()) == pytest.approx(NOW + moment)

    async def test_what_began_before_changes_nothing_now(self, lab: Lab) -> None:
        """A run that ends while the circuit is open neither opens it again nor closes it."""
        mw, gate, service = CircuitBreaker(lab, failures=1), asyncio.Event(), Service()

        async def late(ctx: Context) -> object:
            await gate.wait()
            return await service(ctx)

        failing = [asyncio.create_task(went(mw, late)) for _ in range(2)]
        await turn()
        await opened(mw, 1)
        lab.manual.advance(20)
        gate.set()
        assert [type(each) for each in await asyncio.gather(*failing)] == [Away, Away]
        lab.manual.advance(10)
        service.is_away = False
        assert await went(mw, service) == "answered"

    async def test_a_late_success_does_not_close_it(self, lab: Lab) -> None:
        """Only a probe does: what began before may have asked before."""
        mw, gate = CircuitBreaker(lab, failures=1), asyncio.Event()

        async def late(ctx: Context) -> object:
            return await gate.wait()

        succeeding = asyncio.create_task(went(mw, late))
        await turn()
        await opened(mw, 1)
        gate.set()
        assert await succeeding is True
        assert not mw.is_closed("http:get")

    async def test_it_says_so_in_the_log(self, lab: Lab, service: Service) -> None:
        """Which, for how long and for which time in a row; and when it is over."""
        mw = CircuitBreaker(lab, failures=1)
        with capture_logs() as logs:
            await opened(mw, 1)
            lab.manual.advance(30)
            await went(mw, service)
            lab.manual.advance(30)
            service.is_away = False
            await went(mw, service)
        warning = {"event": "circuit opened", "log_level": "warning", "circuit": "http:get"}
        assert logs == [
            {**warning, "seconds": 30.0, "times": 1},
            {**warning, "seconds": 30.0, "times": 2},
            {"event": "circuit closed", "log_level": "info", "circuit": "http:get"},
        ]


class TestHalfOpen:
    async def test_one_probe_that_goes_well_closes_it(self, lab: Lab, service: Service) -> None:
        """All go on from then, and the failures of before are forgotten."""
        mw = CircuitBreaker(lab, failures=2)
        await opened(mw, 2)
        lab.manual.advance(30)
        service.is_away = False
        assert await went(mw, service) == "answered"
        assert mw.is_closed("http:get")
        service.is_away = True
        assert isinstance(await went(mw, service), Away)
        assert mw.is_closed("http:get")

    async def test_an_error_that_does_not_count_closes_it_too(self, lab: Lab) -> None:
        """Somebody has answered."""
        mw = CircuitBreaker(lab, failures=1, counts=lambda error: isinstance(error, Away))
        await opened(mw, 1)
        lab.manual.advance(30)
        assert isinstance(await went(mw, raising(ValueError())), ValueError)
        assert mw.is_closed("http:get")

    async def test_one_probe_that_fails_opens_it_again(self, lab: Lab, service: Service) -> None:
        """One is enough, for as long as before."""
        mw = CircuitBreaker(lab)
        await opened(mw)
        lab.manual.advance(30)
        assert isinstance(await went(mw, service), Away)
        lab.manual.advance(29.9)
        assert isinstance(await went(mw, service), Snooze)
        lab.manual.advance(0.1)
        assert isinstance(await went(mw, service), Away)
        assert service.asked == 2

    async def test_its_pauses_may_grow(self, lab: Lab, service: Service) -> None:
        """A curve is given how many times in a row it has opened before."""
        mw = CircuitBreaker(lab, failures=1, open_for=exponential(10, cap=40, jitter=False))
        pauses = []
        for _ in range(4):
            assert isinstance(await went(mw, service), Away)
            snooze = await went(mw, service)
            assert isinstance(snooze, Snooze)
            pauses.append(snooze.moment(0.0))
            lab.manual.advance(pauses[-1])
        assert pauses == pytest.approx([10.5, 21, 42, 42])
        service.is_away = False
        await went(mw, service)
        service.is_away = True
        await went(mw, service)
        lab.manual.advance(10)
        assert isinstance(await went(mw, service), Away)

    @pytest.mark.parametrize(
        ("curve", "pause"), [(0.0, 0.1), (float("nan"), 0.1), (LAST_MOMENT, 86_400.0)]
    )
    async def test_whatever_a_curve_says_the_pause_is_one(
        self, lab: Lab, curve: float, pause: float
    ) -> None:
        """Not nothing, which would be a busy loop, and not more than a day."""
        mw = CircuitBreaker(lab, failures=1, open_for=lambda _times, _roll: curve)
        await opened(mw, 1)
        snooze = await went(mw, Service())
        assert isinstance(snooze, Snooze)
        assert snooze.delay == pytest.approx(pause * 1.05)

    async def test_the_others_wait_for_the_probe(self, lab: Lab) -> None:
        """They are snoozed for a little more: a tenth of the pause, or two."""
        mw, gate = CircuitBreaker(lab), asyncio.Event()
        await opened(mw)
        lab.manual.advance(30)

        async def slow(ctx: Context) -> object:
            return await gate.wait()

        probe = asyncio.create_task(went(mw, slow))
        await turn()
        snooze = await went(mw, Service())
        assert isinstance(snooze, Snooze)
        assert snooze.delay == pytest.approx(4.5)
        gate.set()
        assert await probe is True
        assert mw.is_closed("http:get")

    @pytest.mark.parametrize(
        "error", [Snooze(1), RateLimited(1), SkipRetry(), asyncio.CancelledError()], ids=repr
    )
    async def test_a_probe_that_says_nothing_is_followed_by_another(
        self, lab: Lab, error: BaseException, service: Service
    ) -> None:
        """It neither closes nor opens it, and does not stand in the way of the next."""
        mw = CircuitBreaker(lab)
        await opened(mw)
        lab.manual.advance(30)
        for _ in range(2):
            with pytest.raises(type(error)):
                await mw(a_context(task=a_task(name="http:get")), raising(error))
            assert not mw.is_closed("http:get")
        service.is_away = False
        assert await went(mw, service) == "answered"


class TestWithAWorker:
    async def test_nothing_is_burned_while_it_is_open(self, lab: Lab) -> None:
        """After five failures the others are snoozed, their budgets whole, until it is well."""
        lab.middleware(CircuitBreaker(lab, "http:"))
        service = Service()

        @lab.task("http:get", max_retry=0, retention=60)
        async def get(ctx: Context) -> object:
            return await service(ctx)

        handles = [await get.enqueue() for _ in range(5)]
        await lab.run_due()
        assert [await handle.status() for handle in handles] == [State.ARCHIVED] * 5
        waiting = [await get.enqueue() for _ in range(20)]
        await lab.run_due()
        for handle in waiting:
            task = await stored(handle)
            assert (task.state, task.failures, task.crashes) == (State.SCHEDULED, 0, 0)
            assert NOW + 30 <= task.due < NOW + 33
        assert service.asked == 5
        service.is_away = False
        await drain(lab)
        assert [await handle.status() for handle in waiting] == [State.COMPLETED] * 20
        assert service.asked == 25

    @pytest.mark.parametrize("is_well", [True, False])
    async def test_of_a_hundred_that_wait_one_is_the_probe(
        self, lab: Lab, *, is_well: bool
    ) -> None:
        """At a concurrency of a hundred one handler runs; what it finds is true for all of them."""
        lab.middleware(CircuitBreaker(lab))
        service, gate, probing = Service(), asyncio.Event(), asyncio.Event()
        gate.set()

        @lab.task("http:get", max_retry=0, retention=600)
        async def get(ctx: Context) -> object:
            probing.set()
            await gate.wait()
            return await service(ctx)

        for _ in range(5):
            await get.enqueue()
        await lab.run_due()
        handles = [await get.enqueue() for _ in range(100)]
        await lab.run_due()
        assert service.asked == 5
        gate.clear()
        probing.clear()
        lab.manual.advance(33)
        await lab.signals.settled.wait(105)
        async with lab.working(concurrency=100):
            await probing.wait()
            await lab.signals.settled.wait(99)
            states = [await handle.status() for handle in handles]
            assert sorted(states) == sorted([State.ACTIVE] + [State.SCHEDULED] * 99)
            assert service.asked == 5
            service.is_away = not is_well
            gate.set()
            await lab.signals.settled.next()
        assert service.asked == 6
        lab.manual.advance(6)
        await lab.run_due()
        states = [await handle.status() for handle in handles]
        if is_well:
            assert states == [State.COMPLETED] * 100
        else:
            assert sorted(states) == sorted([State.ARCHIVED] + [State.SCHEDULED] * 99)
            assert service.asked == 6

    async def test_it_is_around_threads(self, lab: Lab) -> None:
        """What a thread raises is counted, and while it is open none is begun."""
        mw = CircuitBreaker(lab, failures=2)
        lab.middleware(mw)
        ran: list[str] = []
        is_away = True

        @lab.task("http:get", max_retry=1, retention=60)
        def get(ctx: Context) -> None:
            ran.append(threading.current_thread().name)
            if is_away:
                raise Away

        handles = [await get.enqueue() for _ in range(6)]
        async with lab.working(threads=1):
            await lab.signals.settled.wait(6)
        assert len(ran) == 2
        assert not mw.is_closed("http:get")
        tasks = [await stored(handle) for handle in handles]
        assert sorted(task.failures for task in tasks) == [0, 0, 0, 0, 1, 1]
        is_away = False
        await drain(lab)
        assert [await handle.status() for handle in handles] == [State.COMPLETED] * 6
        assert all(name.startswith("qcore-handler") for name in ran)

    async def test_it_is_around_processes(self, lab: Lab, tmp_path: Path) -> None:
        """What a process raises is counted, and while it is open none is asked."""
        mw = CircuitBreaker(lab, failures=2)
        lab.middleware(mw)
        lab.route("http:get", process_handlers.work, process=True)
        path = tmp_path / "well"
        payload = f'{{"path":"{path}"}}'.encode()

        async def enqueue() -> Handle[Any]:
            task = a_task(name="http:get", payload=payload, retention=600, max_retry=1)
            return await lab.client.enqueue(task)

        handles = [await enqueue() for _ in range(4)]
        async with lab.working(process_pool=1):
            await lab.signals.settled.wait(4)
        tasks = [await stored(handle) for handle in handles]
        assert sorted(task.failures for task in tasks) == [0, 0, 1, 1]
        assert not mw.is_closed("http:get")
        path.touch()
        await drain(lab)
        assert [await handle.result() for handle in handles] == ["done"] * 4

    @pytest.mark.parametrize("where", ["own", "outside", "inside"])
    @pytest.mark.parametrize("in_thread", [False, True])
    async def test_a_run_that_is_cut_short_by_its_timeout_has_failed(
        self, where: str, *, in_thread: bool
    ) -> None:
        """Whoever cuts it short: a service that does not answer at all is out of order too."""
        lab = Lab(autojump=not in_thread)
        mw, limits = CircuitBreaker(lab, failures=1), timeouts(lab, {"http:get": 10})
        around: dict[str, list[Any]] = {
            "own": [mw],
            "outside": [limits, mw],
            "inside": [mw, limits],
        }
        for each in around[where]:
            lab.middleware(each)
        begun, told = threading.Event(), threading.Event()

        async def hang(ctx: Context) -> None:
            await asyncio.Event().wait()

        def hang_in_thread(ctx: Context) -> None:
            begun.set()
            assert told.wait(30)

        handler: Any = hang_in_thread if in_thread else hang
        task = lab.task("http:get", timeout=10 if where == "own" else None)(handler)
        await task.enqueue()
        async with lab.working():
            if in_thread:
                assert await asyncio.to_thread(begun.wait, 30)
                lab.manual.advance(10)
                await turn()
                told.set()
            await lab.signals.settled.next()
        assert not mw.is_closed("http:get")

    @pytest.mark.parametrize("is_probe", [False, True])
    async def test_a_run_that_its_worker_gives_back_says_nothing(
        self, lab: Lab, *, is_probe: bool
    ) -> None:
        """A worker that leaves is no trouble of the service, and no sign that it is well."""
        mw, begun = CircuitBreaker(lab, failures=1), asyncio.Event()
        lab.middleware(mw)
        if is_probe:
            await opened(mw, 1)
            lab.manual.advance(30)

        @lab.task("http:get", timeout=10)
        async def get(ctx: Context) -> None:
            begun.set()
            await asyncio.Event().wait()

        handle = await get.enqueue()
        async with lab.working():
            await begun.wait()
        assert (await stored(handle)).state is State.PENDING
        assert mw.is_closed("http:get") is not is_probe

    async def test_another_clock_counts_when_it_is_swapped_in(self, lab: Lab) -> None:
        """A test that swaps the clock of a queue has its circuits in that time."""
        lab.middleware(CircuitBreaker(lab, failures=1))
        service = Service()

        @lab.task("http:get", max_retry=0, retention=60)
        async def get(ctx: Context) -> object:
            return await service(ctx)

        with lab.swapped(clock=ManualClock(NOW + 500)):
            await get.enqueue()
            await drain(lab)
            handle = await get.enqueue()
            service.is_away = False
            assert await drain(lab) == 2
            assert await handle.status() is State.COMPLETED
            assert NOW + 530 <= lab.clock.now() < NOW + 533


@pytest.mark.parametrize("kind", [ValueError, asyncio.CancelledError, SystemExit, GeneratorExit])
class TestFunctionsOfItsUser:
    """What is given to a circuit breaker may raise anything."""

    @pytest.mark.parametrize("name", ["by", "counts", "open_for"])
    async def test_one_that_raises_does_not_replace_what_came_of_the_run(
        self, lab: Lab, service: Service, kind: type[BaseException], name: str
    ) -> None:
        """It is logged with its name, and the run counts for nothing."""

        def raises(*_: object) -> Any:
            raise kind("odd")

        options: dict[str, Any] = {name: raises}
        mw = CircuitBreaker(lab, failures=1, **options)
        with capture_logs() as logs:
            assert isinstance(await went(mw, service), Away)
            assert isinstance(await went(mw, service), Away)
            service.is_away = False
            assert await went(mw, service) == "answered"
        assert {log["event"] for log in logs} == {"circuit breaker failed"}
        assert "raises" in logs[0]["code"] or name == "open_for"

    async def test_a_key_that_has_no_hash_is_no_key(
        self, lab: Lab, service: Service, kind: type[BaseException]
    ) -> None:
        """The run goes on."""

        class Key:
            def __hash__(self) -> int:
                raise kind("odd")

        mw = CircuitBreaker(lab, by=lambda _: Key())
        service.is_away = False
        assert await went(mw, service) == "answered"


async def test_a_group_of_control_flow_says_nothing_of_the_service(lab: Lab) -> None:
    """As what is in it says nothing."""

    async def run(ctx: Context) -> object:
        raise ExceptionGroup("of a task group", [SkipRetry("x"), Snooze(5)])

    mw = CircuitBreaker(lab, failures=1)
    await went(mw, run)
    assert mw.is_closed("http:get")
