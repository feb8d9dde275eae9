import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, get_args, get_origin, get_type_hints

import attrs
import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import TransformingBroker
from qcore.domain.answers import Moved
from qcore.domain.errors import BrokerUnusable
from qcore.domain.new_task import NewTask
from qcore.domain.periodic.changes import EntryChange
from qcore.domain.periodic.editing import added
from qcore.domain.periodic.entry import Entry, StoredEntry
from qcore.domain.run_details import Details, DetailsUpdate
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.task import Demand, RetentionPolicy, Task, Verdict, updated
from qcore.domain.transitions import Succeeded
from qcore.ports import Aggregating, Broker, Limiting, Periodic
from qcore.testing.builders import LEASE, NOW, a_demand, a_lease, a_stored_task, a_task
from qcore.testing.contract.changes import UpdateCases
from qcore.testing.contract.followups import FollowUpCases
from qcore.testing.contract.groups import GroupContract
from qcore.testing.contract.queries import BrowseCases, GetCases
from qcore.testing.contract.restoring import RestoreCases
from qcore.testing.contract.restoring_over import RestoreOverCases
from qcore.testing.contract.run_details import DetailCases, SaveDetailsCases
from qcore.testing.contract.settle import SettleCases
from qcore.testing.entries import MINUTELY, an_entry, tick

PLAIN = b"in the clear"


def flip(content: bytes) -> bytes:
    """Return bytes of which none is as before; twice, the bytes again."""
    return bytes(each ^ 0xFF for each in content)


class Sealing(TransformingBroker):
    """Stores nothing in the clear, and marks each task on its way in, which is unmarked again."""

    def on_task_in(self, task: NewTask) -> NewTask:
        return attrs.evolve(task, tags=(*task.tags, "sealed")) if len(task.tags) < 10 else task

    def on_update_in(self, queue: str, changes: Mapping[str, object]) -> Mapping[str, object]:
        tags: Any = changes.get("tags")
        return changes if tags is None else {**changes, "tags": (*tags, "sealed")}

    def on_task_out(self, task: Task) -> Task:
        tags = tuple(each for each in task.spec.tags if each != "sealed")
        return attrs.evolve(task, spec=attrs.evolve(task.spec, tags=tags))

    def on_content_in(self, queue: str, content: bytes) -> bytes:
        return flip(content)

    def on_content_out(self, queue: str, content: bytes) -> bytes:
        return flip(content)


class TestSealing(
    SettleCases,
    FollowUpCases,
    UpdateCases,
    GetCases,
    BrowseCases,
    SaveDetailsCases,
    DetailCases,
    RestoreCases,
    RestoreOverCases,
    GroupContract,
):
    """A broker whose contents are changed on their way in and back on their way out keeps these."""

    def make_broker(self, keep: RetentionPolicy) -> Broker:
        return Sealing(MemoryBroker(keep=keep))


class TestBlockingSealing(SaveDetailsCases, FollowUpCases):
    """So does its blocking twin."""

    blocking = True

    def make_broker(self, keep: RetentionPolicy) -> Broker:
        return Sealing(MemoryBroker(keep=keep))


async def test_nothing_enters_past_the_hooks() -> None:
    """Whatever is written by whatever verb is stored as the hooks have made it."""
    inner = MemoryBroker()
    broker = Sealing(inner)
    asked = a_task(payload=PLAIN, retention=60)
    follow_up, member, whole = (a_task(payload=PLAIN, group=group) for group in (None, "g", None))
    await broker.enqueue([asked, member], now=NOW)
    [claim] = await broker.claim(a_demand(), now=NOW, until=NOW + LEASE)
    await broker.save_details([DetailsUpdate(claim.lease, saved=PLAIN)])
    outcome = Succeeded(PLAIN, "text/plain", (follow_up,))
    await broker.settle([Verdict(claim.lease, outcome)], now=NOW)
    await broker.aggregate("default", "g", [member.id], whole, now=NOW)
    ids = [asked.id, follow_up.id, whole.id]
    stored = [task for task in await inner.get("default", ids) if task is not None]
    assert [each.spec.tags for each in stored] == [("sealed",)] * 3
    assert [each.spec.payload for each in stored] == [flip(PLAIN)] * 3
    assert stored[0].result == flip(PLAIN)
    [details] = await inner.details("default", [asked.id])
    assert details is not None
    assert details.saved == flip(PLAIN)
    elsewhere = attrs.evolve(claim.task, spec=attrs.evolve(asked, queue="b"), result=PLAIN)
    await broker.restore([TaskSnapshot(elsewhere, Details(saved=PLAIN))], now=NOW)
    [restored], [kept] = await inner.get("b", [asked.id]), await inner.details("b", [asked.id])
    assert restored is not None
    assert (restored.spec.payload, restored.spec.tags) == (flip(PLAIN), ("sealed",))
    assert (restored.result, kept) == (flip(PLAIN), Details(saved=flip(PLAIN)))
    order = updated(payload=b"another", tags=["new"])
    [answer] = await broker.execute("default", [whole.id], order, now=NOW)
    assert answer == Moved(State.PENDING)
    [changed] = await inner.get("default", [whole.id])
    assert changed is not None
    assert (changed.spec.payload, changed.spec.tags) == (flip(b"another"), ("new", "sealed"))


async def test_the_payload_of_an_entry_is_stored_as_the_hooks_have_made_it() -> None:
    """It comes back as it was; a task that a tick makes passes the hooks as any other."""
    inner = MemoryBroker()
    broker = Sealing(inner)
    entry = an_entry(task={"payload": PLAIN, "tags": ("eu",)})
    await broker.write_entries([added(None, entry, MINUTELY, NOW)], now=NOW)
    [found] = await broker.entries("default", ["report"])
    [listed] = await broker.browse_entries("default", 9)
    assert isinstance(found, StoredEntry)
    assert found == listed
    assert found.entry == entry
    [stored] = await inner.entries("default", ["report"])
    assert isinstance(stored, StoredEntry)
    assert (stored.entry.task.payload, stored.entry.task.tags) == (flip(PLAIN), ("eu",))
    await tick(broker)
    [made] = await inner.claim(a_demand(), now=NOW + 60, until=NOW + 90)
    assert (made.task.spec.payload, made.task.spec.tags) == (flip(PLAIN), ("eu", "sealed"))
    [again] = await inner.entries("default", ["report"])
    assert isinstance(again, StoredEntry)
    assert again.entry == stored.entry


VERBS = {
    name: verb
    for port in (Broker, Limiting, Aggregating, Periodic)
    for name, verb in inspect.getmembers(port, inspect.iscoroutinefunction)
}


def reached(kind: Any, seen: set[Any] | None = None) -> set[Any]:
    """Return all types that a value of a type may hold."""
    seen = set() if seen is None else seen
    if kind in seen:
        return seen
    seen.add(kind)
    # what a callback is given is no part of it
    inner = [] if get_origin(kind) is Callable else [*get_args(kind)]
    if attrs.has(kind):
        inner += get_type_hints(kind).values()
    for each in inner:
        reached(each, seen)
    return seen


def holding(*kinds: type, of: Callable[[Mapping[str, Any]], Collection[Any]]) -> set[str]:
    """Return the verbs whose parameters, or whose answers, may hold values of some types."""
    return {
        name
        for name, verb in VERBS.items()
        if any({*kinds} & reached(each) for each in of(get_type_hints(verb)))
    }


ENTRIES_OUT = {"entries", "browse_entries", "due_entries"}


def test_every_verb_by_which_contents_pass_calls_the_hooks() -> None:
    """A new verb that takes or returns tasks, or bytes, is known by its types."""
    own = {name for name in VERBS if name in vars(TransformingBroker)}
    into = holding(
        NewTask, bytes, object, of=lambda hints: [hints[n] for n in hints if n != "return"]
    )
    out = holding(Task, Entry, bytes, of=lambda hints: [hints["return"]])
    assert into == {
        "enqueue",
        "settle",
        "save_details",
        "execute",
        "restore",
        "aggregate",
        "write_entries",
    }
    assert out == {"claim", "get", "browse", "members", "details", *ENTRIES_OUT}
    assert own == into | out


LEASED = a_lease(queue="ours")


class Ours(TransformingBroker):
    """Refuses the queues of others."""

    def on_queue(self, queue: str) -> None:
        if queue != "ours":
            raise BrokerUnusable(f"{queue!r} is not ours")


def calls_about(queue: str) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Yield a call of each verb, and of each way in which one names a queue."""
    task, now = a_task(queue=queue), {"now": NOW}
    lease = attrs.evolve(LEASED, queue=queue)
    yield "enqueue", ([a_task(queue="ours"), task],), now
    yield "claim", (Demand(1, {"ours": 0, queue: 0}),), {**now, "until": NOW}
    yield "settle", ([Verdict(lease, Succeeded())],), now
    yield "settle", ([Verdict(LEASED, Succeeded(then=(task,)))],), now
    yield "extend", ([LEASED, lease],), {"until": NOW}
    yield "save_details", ([DetailsUpdate(lease)],), {}
    yield "sweep", (["ours", queue], 1), now
    yield "next_due", ([queue],), {}
    yield "subscribe", ([queue], [], print), {}
    yield "get", (queue, ["a"]), {}
    yield "details", (queue, ["a"]), {}
    yield "browse", (queue, State.PENDING, 1), {}
    yield "ready_since", (["ours", queue],), now
    yield "execute", (queue, ["a"], updated(priority=1)), now
    yield "restore", ([TaskSnapshot(a_stored_task(task))],), now
    yield "remove_queue", (queue,), now
    yield "set_limit", (queue, None), now
    yield "limits", (["ours", queue],), {}
    yield "ready_since", (["ours", queue],), now
    yield "groups", (queue, 1), {}
    yield "members", (queue, "g", 1), {}
    yield "aggregate", (queue, "g", ["a"], a_task(queue="ours")), now
    yield "aggregate", ("ours", "g", ["a"], task), now
    changes = [EntryChange(name, "a", None, None) for name in ("ours", queue)]
    yield "write_entries", (changes,), now
    yield "entries", (queue, ["a"]), {}
    yield "browse_entries", (queue, 1), {}
    yield "due_entries", (["ours", queue], 1), now


@pytest.mark.parametrize(("verb", "args", "kwargs"), [*calls_about("theirs")])
async def test_a_call_that_names_a_queue_shows_it_to_the_hook(
    verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Wherever in its arguments the name is."""
    with pytest.raises(BrokerUnusable, match="'theirs' is not ours"):
        await getattr(Ours(MemoryBroker()), verb)(*args, **kwargs)


def test_every_verb_but_a_few_names_a_queue() -> None:
    """The cases above have all the others."""
    assert VERBS.keys() - {verb for verb, _, _ in calls_about("any")} == {
        "open",
        "close",
        "count",
        "entry_queues",
        "limited_queues",
    }
