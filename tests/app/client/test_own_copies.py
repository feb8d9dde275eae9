"""What is asked for is copied before it is checked: who changes it afterwards changes nothing."""

import asyncio
import pickle
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from copy import copy, deepcopy
from pathlib import Path
from typing import Any

import pytest

from qcore import Context, NewTask, Qcore, Retry, State
from qcore.app.worker.settings import WorkerSettings
from qcore.domain.frozen_dict import FrozenDict
from qcore.domain.task import updated
from qcore.testing import a_context
from tests.app.kit import Lab, stored

LATER = 4_000_000_000.0


async def test_headers_and_tags_of_a_task_are_its_own() -> None:
    """They are stored as they were checked, whatever they would be now."""
    lab = Lab()
    headers: dict[str, Any] = {"as": "asked"}
    tags = ["eu"]
    task = NewTask("mail", id="one", headers=headers, tags=tags)  # type: ignore[arg-type]
    headers["wrong"] = 5
    tags.append("a b")
    handle = await lab.client.enqueue(task)
    spec = (await stored(handle)).spec
    assert (spec.headers, spec.tags) == ({"as": "asked"}, ("eu",))


async def test_options_of_a_handler_are_its_own() -> None:
    """Those of its declaration, and those of `using`, before and after the first enqueue."""
    lab = Lab()
    headers: dict[str, Any] = {"as": "asked"}
    tags = {"eu"}

    @lab.task("mail", headers=headers, tags=tags)
    async def mail(ctx: Context) -> None: ...

    urgent = mail.using(headers=headers, tags=tags)
    for _ in range(2):
        headers["wrong"] = object()
        tags.add("a b")
        for task in (mail, urgent):
            spec = (await stored(await task.enqueue())).spec
            assert (spec.headers, spec.tags) == ({"as": "asked"}, ("eu",))


async def test_what_is_to_be_changed_is_copied_too() -> None:
    """Also where one command is for many tasks."""
    headers = {"as": "asked"}
    command = updated(headers=headers)
    headers["wrong"] = "later"
    assert command.changes == {"headers": {"as": "asked"}}


async def test_what_is_changed_while_the_store_is_opened_counts_for_nothing(tmp_path: Path) -> None:
    """A command means what it was given, though the first one has to wait for the store."""
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    blocking = Qcore(url).blocking
    handle = blocking.enqueue(NewTask("mail", id="one", due=LATER))
    blocking.close()
    given: dict[str, Any] = {"headers": {"as": "asked"}, "tags": ["eu"], "arguments": {"to": ["a"]}}
    ids = ["one"]
    q, other, third = Qcore(url), Qcore(url), Qcore(url)
    async with AsyncExitStack() as stack:
        for each in (q, other, third):
            stack.push_async_callback(each.close)
        updating = asyncio.create_task(q.client.handle("default", "one").update(**given))
        moving = asyncio.create_task(other.inspector.update("default", ids, priority=3))
        rest = {"headers": given["headers"]}
        all_of_them = asyncio.create_task(third.inspector.update_all(rest, state=State.SCHEDULED))
        await asyncio.sleep(0)
        ids.append("two")
        given["headers"]["wrong"] = 5
        given["tags"].append("a b")
        given["arguments"]["to"].append(object())
        await updating
        assert len(await moving) == 1
        await all_of_them
    task = handle.task()
    blocking.close()
    assert task is not None
    assert (task.spec.headers, task.spec.tags) == ({"as": "asked"}, ("eu",))
    assert (task.spec.payload, task.spec.priority) == (b'{"to":["a"]}', 3)


async def test_what_a_handler_does_with_its_headers_stays_in_its_run() -> None:
    """It may do with them as it likes; the next attempt, and the next task, have them as asked."""
    lab = Lab()
    seen: list[dict[str, str]] = []

    @lab.task("mail", max_retry=1)
    async def mail(ctx: Context) -> None:
        seen.append(dict(ctx.headers))
        own: Any = ctx.headers
        own["leaked"] = "yes"
        assert ctx.headers["leaked"] == "yes"
        if ctx.attempt == 1:
            raise Retry(delay=0)

    await mail.enqueue()
    await mail.using(headers={"as": "asked"}).enqueue()
    await lab.run_due()
    await lab.run_due()
    assert seen == [{}, {"as": "asked"}] * 2
    assert a_context().headers == {}


def test_the_headers_of_a_task_cannot_be_changed() -> None:
    """A task is frozen, and shared by all that look at it."""
    task: Any = NewTask("mail", id="one", headers={"as": "asked"})
    headers = task.headers
    for change in (
        lambda: headers.update(a="b"),
        lambda: headers.setdefault("a", "b"),
        lambda: headers.__setitem__("a", "b"),
        lambda: headers.__delitem__("as"),
        lambda: headers.__ior__({"a": "b"}),
        headers.clear,
        headers.popitem,
        lambda: headers.pop("as"),
        lambda: NewTask("mail", id="two").headers.update(a="b"),  # type: ignore[attr-defined]
    ):
        with pytest.raises(TypeError, match="cannot be changed"):
            change()
    pickled = pickle.loads(pickle.dumps(headers))  # noqa: S301  (its own bytes)
    for twin in (pickled, copy(headers), deepcopy(headers)):
        assert (twin, type(twin)) == ({"as": "asked"}, FrozenDict)


def test_any_mapping_will_do_for_headers() -> None:
    """It is read once: one that answers otherwise later has no say."""

    class Moody(Mapping[str, str]):
        reads = 0

        def __getitem__(self, key: str) -> str:
            self.reads += 1
            return "asked" if self.reads == 1 else object()  # type: ignore[return-value]

        def __iter__(self) -> Iterator[str]:
            return iter(["as"])

        def __len__(self) -> int:
            return 1

    assert NewTask("mail", id="one", headers=Moody()).headers == {"as": "asked"}


def test_a_workers_queues_are_its_own() -> None:
    """A list that grows later does not change which queues it serves."""
    queues = ["a"]
    weights = {"a": 1}
    first, second = WorkerSettings(queues=queues), WorkerSettings(queues=weights)
    queues.append("b c")
    weights["b c"] = 0
    assert first.queue_weights([]).queues == second.queue_weights([]).queues == ("a",)
