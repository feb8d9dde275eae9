import asyncio
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from qcore import (
    Context,
    InvalidOption,
    InvalidTask,
    NewTask,
    NoResult,
    Qcore,
    Revoke,
    SkipRetry,
    State,
    chain,
)
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.sealing import EncryptedSerializer, SignedSerializer
from qcore.adapters.serializers import JsonSerializer, MessagePackSerializer
from qcore.app.calls.call import Call
from qcore.app.calls.chain_steps import CHAIN_HEADER, position_in
from qcore.app.tasks.chains import MAX_STEPS
from qcore.domain.ids import next_id
from qcore.errors import CannotEncode
from qcore.ports import Serializer
from qcore.testing import FaultyBroker, assert_enqueued, drain
from qcore.testing.builders import NOW
from qcore.types import Step
from tests.app.kit import Lab, stored


@attrs.define
class Box:
    """An object that holds a set."""

    names: set[str]


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab(autojump=True)


@attrs.define
class Image:
    path: str
    taken: datetime
    raw: bytes


TAKEN = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Shop:
    """Three tasks that go hand in hand, and what became of them."""

    def __init__(self, lab: Qcore) -> None:
        self.lab = lab
        self.log: list[Any] = []

        @lab.task("fetch")
        async def fetch(ctx: Context, url: str) -> Image:
            self.log.append(("fetch", dict(ctx.headers)))
            return Image(url, TAKEN, b"\x00\xff")

        @lab.task("resize", queue="slow")
        def resize(ctx: Context, image: Image, width: int, *, sharp: bool = False) -> int:
            self.log.append(("resize", image, width, sharp))
            return width * 2

        @lab.task("store", retention=60)
        async def store(ctx: Context, size: int) -> str:
            self.log.append(("store", size))
            return f"stored {size}"

        self.fetch, self.resize, self.store = fetch, resize, store


class TestChain:
    async def test_each_result_is_passed_on(self, lab: Lab) -> None:
        """As the first argument, by the annotations of who gets it; the others are given before."""
        shop = Shop(lab)
        whole = chain(shop.fetch.call("a.jpg"), shop.resize.step(100, sharp=True), shop.store)
        handle = await whole.enqueue()
        assert await drain(lab) == 3
        image = Image("a.jpg", TAKEN, b"\x00\xff")
        assert shop.log == [("fetch", {}), ("resize", image, 100, True), ("store", 200)]
        assert await handle.result() == "stored 200"

    async def test_a_complete_call_takes_no_result(self, lab: Lab) -> None:
        """It is only done after the one before."""
        shop = Shop(lab)
        await chain(shop.fetch.call("a.jpg"), shop.store.call(5)).enqueue()
        assert await drain(lab) == 2
        assert shop.log[1:] == [("store", 5)]

    async def test_nothing_is_passed_on_as_nothing(self, lab: Lab) -> None:
        """A step that returns None passes None on."""
        got: list[object] = []

        @lab.task("first")
        async def first(ctx: Context) -> None: ...

        @lab.task("second")
        async def second(ctx: Context, nothing: None) -> None:
            got.append(nothing)

        await chain(first.call(), second).enqueue()
        assert await drain(lab) == 2
        assert got == [None]

    async def test_a_step_has_its_own_options(self, lab: Lab) -> None:
        """Those of its handler and of `using`; a duration begins when the step is enqueued."""
        shop = Shop(lab)
        later = shop.store.using(
            queue="late", delay=timedelta(minutes=1), expires=120, priority=7, headers={"a": "b"}
        )
        await chain(shop.fetch.using(delay=1000).call("a"), later.call(1)).enqueue()
        await drain(lab, until=NOW + 1000)
        step = assert_enqueued(shop.store, size=1)
        spec = step.spec
        assert (spec.queue, spec.priority, spec.headers["a"]) == ("late", 7, "b")
        assert step.origin is not None
        assert (step.origin.kind, step.origin.queue) == ("after", "default")
        assert (spec.due, spec.expires) == (NOW + 1060, NOW + 1120)
        assert (spec.retention, spec.timeout) == (60, 1800)

    async def test_moments_stay_moments(self, lab: Lab) -> None:
        """`at`, `deadline` and an absolute `expires` mean what they say, whenever its turn is."""
        shop = Shop(lab)
        at = datetime.fromtimestamp(NOW + 500, UTC)
        soon = datetime.fromtimestamp(NOW + 900, UTC)
        step = shop.store.using(at=at, deadline=soon, expires=soon)
        await chain(shop.fetch.call("a"), step.call(1)).enqueue()
        await lab.run_due()
        spec = assert_enqueued(shop.store).spec
        assert (spec.due, spec.deadline, spec.expires) == (NOW + 500, NOW + 900, NOW + 900)
        assert spec.timeout is None

    async def test_a_step_that_comes_too_late_expires(self, lab: Lab) -> None:
        """It took until after its moment to get there: it is dead, as any other would be."""
        shop = Shop(lab)
        soon = datetime.fromtimestamp(NOW + 900, UTC)
        step = shop.store.using(delay=500, expires=soon)
        handle = await chain(shop.fetch.using(delay=600).call("a"), step.call(1)).enqueue()
        assert await drain(lab) == 1
        with pytest.raises(NoResult, match=r"dead: expired"):
            await handle.result()

    async def test_a_unique_step_is_unique(self, lab: Lab) -> None:
        """By its name and all of its arguments, the result among them."""
        ran: list[int] = []

        @lab.task("first")
        async def first(ctx: Context, number: int) -> int:
            return number

        @lab.task("second", unique_for=None, delay=60)
        async def second(ctx: Context, number: int, other: str) -> None:
            ran.append(number)

        for number in (1, 1, 2):
            await chain(first.call(number), second.step(other="x")).enqueue()
        await second.using(delay=0).enqueue(2, "x")
        await drain(lab)
        assert sorted(ran) == [1, 2]

    async def test_a_unique_step_is_the_same_task_as_one_by_itself(self, lab: Lab) -> None:
        """Though a set among its arguments, or an object, is plain data until its turn."""
        ran: list[set[str]] = []

        @lab.task("first")
        async def first(ctx: Context) -> set[str]:
            return set("abc")

        @lab.task("second", unique_for=None, delay=60)
        async def second(ctx: Context, found: set[str], wanted: set[str], box: Box) -> None:
            ran.append(found)

        wanted = {f"{number}" for number in range(50)}
        await chain(first.call(), second.step(wanted, Box({"x", "y"}))).enqueue()
        await drain(lab, until=NOW + 1)
        alone = await second.enqueue(set("cba"), set(wanted), Box({"y", "x"}))
        assert not alone.is_new
        await drain(lab)
        assert ran == [set("abc")]

    async def test_a_result_that_would_change_is_not_passed_on(self, lab: Lab) -> None:
        """A step gets what the one before it returned, or is not run."""
        shop = Shop(lab)

        @lab.task("first")
        async def first(ctx: Context) -> Any:
            return (1, 2)

        steps = await chain(first.call(), shop.store).enqueue()
        await lab.run_due()
        task = await stored(steps.handles[0])
        assert task.state is State.DEAD
        assert "cannot be passed on: it would arrive changed" in str(task.error)
        await chain(first.call(), shop.store.call(1)).enqueue()
        await lab.run_due()
        assert shop.log == [("store", 1)]

    async def test_a_step_may_ask_for_more(self, lab: Lab) -> None:
        """What it asks for by `then` goes beside the next step."""
        shop = Shop(lab)

        @lab.task("first")
        async def first(ctx: Context) -> int:
            ctx.then(shop.store.call(1))
            return 2

        await chain(first.call(), shop.store).enqueue()
        assert await drain(lab) == 3
        assert shop.log == [("store", 1), ("store", 2)]

    async def test_a_worker_need_not_know_the_next_step(self, lab: Lab) -> None:
        """It is enqueued for another one to run."""
        shop = Shop(lab)
        handle = await chain(shop.fetch.call("a"), shop.resize.step(100)).enqueue()
        other = Lab(lab.broker, clock=lab.manual)
        other.route("fetch", fetch_elsewhere)
        await other.worker(burst=True, queues=["default"]).run()
        assert await handle.handles[1].status() is State.PENDING

    async def test_ids_are_known_from_the_start(self, lab: Lab) -> None:
        """They follow one from the other, unless a step was given its own."""
        shop = Shop(lab)
        handle = await chain(
            shop.fetch.using(task_id="one").call("a"),
            shop.resize.step(100),
            shop.store.using(task_id="three"),
        ).enqueue()
        assert [each.id for each in handle.handles] == ["one", next_id("default", "one"), "three"]
        assert [each.queue for each in handle.handles] == ["default", "slow", "default"]
        for each in handle.handles:
            assert await each.status() is State.PENDING
            await lab.worker(burst=True, max_tasks=1, queues=["default", "slow"]).run()

    async def test_a_plain_task_pays_nothing(self, lab: Lab) -> None:
        """Only the tasks of a chain have the header."""
        shop = Shop(lab)
        handle = await shop.fetch.enqueue("a")
        assert not (await stored(handle)).spec.headers

    async def test_many_may_be_enqueued_together(self, lab: Lab) -> None:
        """The first call of a chain is a call as any other, with the chain behind it."""
        shop = Shop(lab)
        calls = [chain(shop.fetch.call("a"), shop.store.call(each)).call for each in range(3)]
        await lab.client.enqueue_many(calls)
        assert await drain(lab) == 6

    def test_it_shows_its_steps(self, lab: Lab) -> None:
        """For a log."""
        shop = Shop(lab)
        assert repr(chain(shop.fetch.call("a"), shop.store.call(1))) == "<Chain fetch > store>"


class TestWaiting:
    async def test_a_result_is_waited_for(self, lab: Lab) -> None:
        """Through all steps, though the last is not stored before its turn."""
        shop = Shop(lab)
        slow = shop.store.using(delay=50)
        handle = await chain(
            shop.fetch.using(delay=30).call("a"), shop.resize.step(1), slow
        ).enqueue()
        async with lab.working():
            assert await handle.result(timeout=1000) == "stored 2"

    async def test_it_is_given_up_in_time(self, lab: Lab) -> None:
        """Whichever step it is at."""
        shop = Shop(lab)
        handle = await chain(shop.fetch.call("a"), shop.store.call(1)).enqueue()
        with pytest.raises(TimeoutError, match="still at step 1"):
            await handle.result(timeout=2.5)
        assert lab.clock.now() == NOW + 2.5
        assert await lab.run_due() == 2
        assert await handle.result(timeout=0) == "stored 1"

    async def test_it_is_given_up_in_time_at_the_last_step(self, lab: Lab) -> None:
        """What is left of the time is for the last step."""
        shop = Shop(lab)
        handle = await chain(shop.fetch.call("a"), shop.store.using(delay=99).call(1)).enqueue()
        await lab.run_due()
        with pytest.raises(TimeoutError):
            await handle.result(timeout=2.5)

    @pytest.mark.parametrize("error", [SkipRetry("no such page"), ValueError("no such page")])
    async def test_a_step_that_fails_for_good_ends_the_chain(
        self, lab: Lab, error: Exception
    ) -> None:
        """Who waits is told which step it was, and why; what is after it is not done."""
        shop = Shop(lab)

        @lab.task("fails", max_retry=0)
        async def fails(ctx: Context, size: int) -> int:
            raise error

        handle = await chain(shop.fetch.call("a"), shop.resize.step(3), fails, shop.store).enqueue()
        assert await drain(lab) == 3
        with pytest.raises(NoResult, match=r"step 3 of 4, <Handle fails .*no such page"):
            await handle.result()

    async def test_a_cancelled_step_ends_the_chain(self, lab: Lab) -> None:
        """So does an operator."""
        shop = Shop(lab)
        handle = await chain(shop.fetch.call("a"), shop.store.call(1)).enqueue()
        await lab.inspector.cancel("default", [handle.handles[0].id])
        with pytest.raises(NoResult, match=r"step 1 of 2, .* is dead: cancelled"):
            await handle.result()

    async def test_a_revoked_step_ends_the_chain(self, lab: Lab) -> None:
        """It is gone, and so is what would have come after it."""
        shop = Shop(lab)

        @lab.task("unwanted")
        async def unwanted(ctx: Context) -> int:
            raise Revoke

        handle = await chain(unwanted.call(), shop.store).enqueue()
        assert await drain(lab) == 1
        with pytest.raises(NoResult, match="a step before it was revoked"):
            await handle.result()

    async def test_a_last_step_that_keeps_nothing_has_no_result(self, lab: Lab) -> None:
        """That is told at once, and what to do about it."""
        shop = Shop(lab)
        handle = await chain(shop.fetch.call("a"), shop.resize.step(1)).enqueue()
        with pytest.raises(NoResult, match="retention="):
            await handle.result()

    async def test_the_second_to_ask_waits_for_the_first_ones_chain(self, lab: Lab) -> None:
        """A live task of the id or the unique key is the first step; the ids follow from it."""
        shop = Shop(lab)
        whole = chain(shop.fetch.using(unique_for=None).call("a"), shop.store.call(4))
        first, second = await whole.enqueue(), await whole.enqueue()
        assert (first.is_new, second.is_new) == (True, False)
        assert [each.id for each in first.handles] == [each.id for each in second.handles]
        assert await drain(lab) == 2
        assert await second.result() == "stored 4"

    def test_code_that_blocks_can_wait_too(self, lab: Lab) -> None:
        """`enqueue_sync` does what `enqueue` does, with a handle that blocks."""
        shop = Shop(lab)
        handle = chain(shop.fetch.call("a"), shop.store.call(6)).enqueue_sync()
        assert handle.is_new
        asyncio.run(drain(lab))
        assert handle.result(timeout=1) == "stored 6"
        assert handle.handles[1].result() == "stored 6"
        assert repr(handle).startswith("<BlockingChainHandle <BlockingHandle fetch default/")

    async def test_a_handle_shows_its_ends(self, lab: Lab) -> None:
        """For a log."""
        shop = Shop(lab)
        handle = await chain(shop.fetch.call("a"), shop.store.call(6)).enqueue(lab.client)
        ends = [f"<Handle {each.name} default/{each.id}>" for each in handle.handles]
        assert repr(handle) == f"<ChainHandle {ends[0]} … {ends[1]}>"


class TestRepeated:
    async def test_a_crash_after_the_handler_adds_nothing_twice(self) -> None:
        """The repeated step has the same step after it, under the same id."""
        broker = FaultyBroker(MemoryBroker())
        lab = Lab(broker, autojump=True)
        shop = Shop(lab)
        handle = await chain(shop.fetch.call("a"), shop.store.call(1)).enqueue()
        broker.fail("settle", times=10**6)
        running = asyncio.create_task(lab.worker(lease=10).run())
        await lab.signals.finished.next()
        running.cancel()
        await asyncio.wait([running])
        assert await handle.handles[1].status() is State.GONE
        lab.manual.advance(60)
        await broker.inner.sweep(["default"], 10, now=lab.clock.now())
        with lab.swapped(broker=broker.inner):
            await lab.worker(burst=True).run()
        assert [each[0] for each in shop.log] == ["fetch", "fetch", "store"]
        assert await handle.result() == "stored 1"


class TestSealed:
    @pytest.mark.parametrize(
        "serializer",
        [
            JsonSerializer(),
            MessagePackSerializer(),
            SignedSerializer(keys={"k": b"s" * 32}),
            EncryptedSerializer(keys={"k": b"s" * 32}),
            EncryptedSerializer(MessagePackSerializer(), keys={"k": b"s" * 32}),
        ],
        ids=lambda each: each.content_type,
    )
    async def test_every_serializer_passes_on(self, serializer: Serializer) -> None:
        """Results and arguments given before come as they were."""
        lab = Lab(serializer=serializer)
        shop = Shop(lab)
        handle = await chain(
            shop.fetch.call("a.jpg"), shop.resize.step(width=3), shop.store
        ).enqueue()
        assert await drain(lab) == 3
        assert shop.log[1] == ("resize", Image("a.jpg", TAKEN, b"\x00\xff"), 3, False)
        assert await handle.result() == "stored 6"

    async def test_nothing_can_be_read_where_arguments_are_encrypted(self) -> None:
        """Neither the arguments of the steps to come nor what they are."""
        broker = MemoryBroker()
        lab = Lab(broker, serializer=EncryptedSerializer(keys={"k": b"s" * 32}))

        @lab.task("a")
        async def a(ctx: Context) -> str:
            return "the result"

        @lab.task("b")
        async def b(ctx: Context, value: str, password: str) -> None: ...

        handle = await chain(a.call(), b.step("secret")).enqueue()
        header = (await stored(handle.handles[0])).spec.headers[CHAIN_HEADER]
        for word in ("secret", "password"):
            assert word not in header
            assert b64encode(word.encode()).decode().rstrip("=")[:-1] not in header
        await lab.worker(burst=True, max_tasks=1).run()
        spec = (await stored(handle.handles[1])).spec
        assert b"the result" not in spec.payload

    async def test_a_worker_without_the_key_does_not_begin(self) -> None:
        """What it could not pass on it does not do: the task is dead, with the reason."""
        broker = MemoryBroker()
        lab = Lab(broker, serializer=SignedSerializer(keys={"k": b"s" * 32}))
        shop = Shop(lab)
        handle = await chain(shop.fetch.call("a"), shop.store.call(1)).enqueue()
        task = await stored(handle.handles[0])
        other = Lab(serializer=SignedSerializer(keys={"k": b"t" * 32}))
        other_shop = Shop(other)
        forged = attrs.evolve(
            task.spec,
            payload=other.codec.dumps({"url": "a"}),
            content_type=other.codec.content_type,
        )
        stolen = await other.client.enqueue(forged)
        await other.run_due()
        assert (await stored(stolen)).state is State.DEAD
        assert not other_shop.log

    @pytest.mark.parametrize(
        "header",
        [
            "nothing of the kind",
            "application/json !!!",
            "application/json " + b64encode(b'{"steps":[]}').decode(),
            "application/json " + b64encode(b'{"steps":[{"task":{}}]}').decode(),
            "application/json " + b64encode(b"{}").decode(),
        ],
    )
    async def test_a_header_that_cannot_be_read_is_told_before_anything_is_done(
        self, lab: Lab, header: str
    ) -> None:
        """The task is dead, as one with arguments that cannot be read."""
        shop = Shop(lab)
        handle = await shop.fetch.using(headers={CHAIN_HEADER: header}).enqueue("a")
        await lab.run_due()
        assert (await stored(handle)).state is State.DEAD
        assert not shop.log

    async def test_each_step_tells_which_it_is(self, lab: Lab) -> None:
        """The last one, too, which carries no others."""

        @lab.task("a", retention=60)
        async def a(ctx: Context) -> None: ...

        await chain(a.call(), a.call(), a.using(headers={"trace": "1"}).call()).enqueue()
        await lab.run_due()
        tasks = (await lab.inspector.browse("default", State.COMPLETED)).tasks
        positions = sorted(filter(None, (position_in(each.spec.headers) for each in tasks)))
        assert positions == [(1, 3), (2, 3), (3, 3)]

    async def test_headers_that_are_handed_on_do_not_hand_on_the_chain(self, lab: Lab) -> None:
        """A handler sees its headers without it."""
        shop = Shop(lab)

        @lab.task("first")
        async def first(ctx: Context) -> int:
            assert ctx.headers == {"trace": "1"}
            await shop.fetch.using(headers=ctx.headers).enqueue("x")
            return 1

        await chain(first.using(headers={"trace": "1"}).call(), shop.store).enqueue()
        assert await drain(lab) == 3


class TestRefused:
    async def test_whatever_is_wrong_is_told_before_anything_is_written(self, lab: Lab) -> None:
        """A wrong argument or option of any step."""
        shop = Shop(lab)
        first = shop.fetch.call("a")
        with pytest.raises(InvalidTask, match="width is 'wide'"):
            await chain(first, shop.resize.step("wide")).enqueue()  # type: ignore[arg-type]
        with pytest.raises(InvalidTask, match=r"resize: .*missing"):
            await chain(first, shop.resize).enqueue()  # type: ignore[arg-type]
        with pytest.raises(InvalidTask, match="image"):
            await chain(first, shop.resize.step(1, image=2)).enqueue()  # type: ignore[call-arg]
        with pytest.raises(InvalidTask, match="priority"):
            await chain(first, shop.store.using(priority=9999).call(1)).enqueue()
        with pytest.raises(CannotEncode):
            await chain(first, shop.store.call(object())).enqueue()  # type: ignore[arg-type]
        assert await lab.inspector.counts() == {}

    def test_what_is_no_step_is_refused(self, lab: Lab) -> None:
        """Said when the chain is made."""
        shop = Shop(lab)
        first = shop.fetch.call("a")
        with pytest.raises(InvalidTask, match="begins with"):
            chain(shop.fetch, shop.store)  # type: ignore[call-overload]
        with pytest.raises(InvalidTask, match="begins with"):
            chain(chain(first, shop.store.call(1)).call, shop.store)
        with pytest.raises(InvalidTask, match="goes on with"):
            chain(first, NewTask("a", id="b"))  # type: ignore[call-overload]
        with pytest.raises(InvalidTask, match="goes on with"):
            chain(first, chain(first, shop.store.call(1)).call)
        with pytest.raises(InvalidTask, match="has 1 steps"):
            chain(first)  # type: ignore[call-overload]
        with pytest.raises(InvalidTask, match="has 101 steps"):
            chain(first, *[shop.store.call(1)] * MAX_STEPS)  # type: ignore[call-overload]

    def test_a_handler_without_arguments_takes_no_result(self, lab: Lab) -> None:
        """It goes on with a call, which says so."""
        shop = Shop(lab)

        @lab.task("none")
        async def none(ctx: Context) -> None: ...

        @lab.task("any")
        async def anything(ctx: Context, **arguments: object) -> None: ...

        for each in (none, anything):
            with pytest.raises(InvalidTask, match="no parameter that could receive a result"):
                chain(shop.fetch.call("a"), each)  # type: ignore[call-overload]

    async def test_a_rest_that_is_too_long_is_refused(self) -> None:
        """It has the limit that a payload has."""
        lab = Lab(max_payload=500)
        shop = Shop(lab)
        step = shop.fetch.call("x" * 300)
        with pytest.raises(InvalidTask, match=r"the rest of its chain is .* at most 500"):
            await chain(step, step).enqueue()

    @pytest.mark.parametrize("value", [object(), "x" * 600])
    async def test_a_result_that_cannot_be_passed_on_ends_the_chain(self, value: object) -> None:
        """The step is dead, and says why."""
        lab = Lab(max_payload=500)
        shop = Shop(lab)

        @lab.task("odd")
        async def odd(ctx: Context) -> Any:
            return value

        handle = await chain(odd.call(), shop.store).enqueue()
        await lab.run_due()
        with pytest.raises(NoResult, match=r"step 1 of 2.*its result cannot be passed on"):
            await handle.result()

    async def test_a_call_of_no_queue_needs_a_client(self, lab: Lab) -> None:
        """One that was made by hand, or is of a router of its own."""
        shop = Shop(lab)
        bound = shop.fetch.call("a")
        call = Call(bound.template, bound.signature, bound.args, bound.kwargs)
        whole = chain(call, Step(shop.store.call(1), None))
        with pytest.raises(InvalidOption, match="belongs to no queue"):
            await whole.enqueue()
        assert (await whole.enqueue(lab.client)).is_new


async def fetch_elsewhere(ctx: Context, url: str) -> str:
    """Fetch."""
    return url
