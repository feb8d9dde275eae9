import asyncio
import re
from typing import Any

import pytest

from qcore import Context, InvalidTask, NewTask, State, chain
from qcore.adapters.memory import MemoryBroker
from qcore.answers import Refused
from qcore.app.client.handles import Handle
from qcore.errors import CannotEncode
from qcore.ports import Capability
from qcore.testing import a_task
from tests.app.kit import Lab, stored


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab(autojump=True)


async def test_what_is_enqueued_is_stored(lab: Lab) -> None:
    """The handle names the task that the broker now has."""

    @lab.task("mail", queue="critical")
    async def mail(ctx: Context, to: str) -> None: ...

    handle = await mail.enqueue(to="a@example.com")
    task = await stored(handle)
    assert handle.is_new
    assert (handle.queue, task.id) == ("critical", handle.id)
    assert (task.name, task.spec.payload) == ("mail", b'{"to":"a@example.com"}')
    assert task.spec.content_type == "application/json"
    assert await handle.status() is State.PENDING


async def test_the_plain_layer_takes_a_new_task(lab: Lab) -> None:
    """A `NewTask` made by hand goes in as it is."""
    task = a_task(name="plain", payload=b"\x00", headers={"a": "b"}, priority=3)
    handle = await lab.client.enqueue(task)
    assert (await stored(handle)).spec == task


async def test_a_live_id_is_answered_with_the_task_that_has_it(lab: Lab) -> None:
    """A second task of a live id is not stored, and the handle is the first one's."""

    @lab.task("mail")
    async def mail(ctx: Context, to: str) -> None: ...

    first = await mail.using(task_id="one").enqueue(to="first")
    second = await mail.using(task_id="one").enqueue(to="second")
    assert (first.is_new, second.is_new) == (True, False)
    assert second.id == "one"
    assert (await stored(second)).spec.payload == b'{"to":"first"}'


async def test_ids_sort_by_time(lab: Lab) -> None:
    """An id made two milliseconds later sorts later, and no two are the same."""
    ids: list[str] = []
    for _ in range(100):
        ids.append(lab.client.new_id())
        lab.manual.advance(1 / 512)
    assert ids == sorted(set(ids))


async def test_a_handle_of_what_nobody_stored_is_gone(lab: Lab) -> None:
    """A handle may be made of any queue and id, and says honestly that there is no such task."""
    handle = lab.client.handle("default", "nobody")
    assert await handle.task() is None
    assert await handle.status() is State.GONE
    assert "default/nobody" in repr(handle)


class TestBatch:
    async def test_answers_are_at_their_places(self, lab: Lab) -> None:
        """`enqueue_many` answers in the order asked, calls and plain tasks alike."""

        @lab.task("mail")
        async def mail(ctx: Context, to: int) -> None: ...

        await mail.using(task_id="there").enqueue(0)
        answers = await lab.client.enqueue_many(
            [
                mail.using(task_id="a").call(1),
                mail.using(task_id="there").call(2),
                NewTask("plain", id="b"),
            ]
        )
        handles = [each for each in answers if isinstance(each, Handle)]
        assert [(h.id, h.is_new) for h in handles] == [("a", True), ("there", False), ("b", True)]

    async def test_what_is_wrong_is_refused_and_the_others_go_in(self, lab: Lab) -> None:
        """Of a batch, each bad one is `Refused` at its place, naming the value."""

        @lab.task("mail")
        async def mail(ctx: Context, to: int) -> None: ...

        wrong: list[tuple[object, str]] = [
            (mail.call("x"), "'x'"),  # pyright: ignore[reportArgumentType]
            (mail.using(queue="{a}").call(1), "{a}"),
            (mail.using(delay=-1).call(1), "-1"),
            (mail.using(headers={"a": "\ud800"}).call(1), "surrogates"),
            (mail.call(object()), "object"),  # pyright: ignore[reportArgumentType]
        ]
        calls: list[Any] = [mail.call(0)]
        for call, _ in wrong:
            calls += [call, mail.call(0)]
        answers = await lab.client.enqueue_many(calls)
        for answer, (_, named) in zip(answers[1::2], wrong, strict=True):
            assert isinstance(answer, Refused)
            assert named in str(answer.error)
        assert all(isinstance(answer, Handle) for answer in answers[::2])
        counts = await lab.inspector.counts()
        assert counts == {"default": {State.PENDING: 6}}

    async def test_an_empty_batch_is_no_work(self, lab: Lab) -> None:
        """Nothing asked is nothing answered."""
        assert await lab.client.enqueue_many([]) == []


class TestPayload:
    async def test_a_payload_may_be_as_large_as_the_limit(self) -> None:
        """The limit is the last size that goes in; one byte more is refused with both sizes."""
        lab = Lab(max_payload=1000)

        @lab.task("mail")
        async def mail(ctx: Context, text: str) -> None: ...

        room = 1000 - len('{"text":""}')
        await mail.enqueue("x" * room)
        with pytest.raises(InvalidTask, match=r"1,001 bytes: expected at most 1,000"):
            await mail.enqueue("x" * (room + 1))
        with pytest.raises(InvalidTask, match="1,001"):
            await lab.client.enqueue(a_task(payload=b"x" * 1001))
        assert await lab.inspector.counts() == {"default": {State.PENDING: 1}}

    async def test_the_limit_is_a_mebibyte(self, lab: Lab) -> None:
        """Unless told otherwise, 1 MiB goes in and a byte more does not."""
        await lab.client.enqueue(a_task(payload=b"x" * 2**20))
        with pytest.raises(InvalidTask, match="1,048,577"):
            await lab.client.enqueue(a_task(payload=b"x" * (2**20 + 1)))

    async def test_what_has_no_form_is_refused(self, lab: Lab) -> None:
        """A value that the serializer cannot write is named, and nothing is stored."""

        @lab.task("mail")
        async def mail(ctx: Context, what: object) -> None: ...

        for bad in (object(), float("nan"), {"deep": [asyncio.Lock()]}):
            with pytest.raises(CannotEncode, match=re.escape("['what']")):
                await mail.enqueue(bad)
        assert await lab.inspector.counts() == {}

    async def test_a_group_needs_a_broker_with_groups(self) -> None:
        """What the broker cannot do is refused, not ignored."""

        class Plain(MemoryBroker):
            capabilities = frozenset[Capability]()

        lab = Lab(Plain())
        with pytest.raises(InvalidTask, match="'g'"):
            await lab.client.enqueue(a_task(group="g"))


def test_a_call_shows_no_arguments(lab: Lab) -> None:
    """They may be secrets: the `repr` of a call, a step and a chain names the tasks alone."""

    @lab.task("login")
    async def login(ctx: Context, password: str) -> None: ...

    whole = chain(login.call(password="hunter2"), login.step(), login.call("hunter2"))
    for each in (login.call("hunter2"), login.call(password="hunter2"), whole, whole.call):
        assert "hunter2" not in repr(each)
        assert "login" in repr(each)
