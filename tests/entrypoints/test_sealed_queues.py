"""What is not sealed as it should be is never run, and says why."""

import json
import logging
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import pytest
import structlog
from attrs import evolve

from qcore import Context, Handle, Qcore, State, Task
from qcore.adapters.instruments.logging import LoggingInstrument
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.sealing import EncryptedSerializer, SignedSerializer
from qcore.adapters.serializers import JsonSerializer, MessagePackSerializer
from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.origin import Origin, OriginKind
from qcore.errors import CannotDecode
from qcore.ports import Broker, Serializer
from qcore.testing import ManualClock, assert_enqueued, drain
from qcore.testing.builders import a_task

T = TypeVar("T")
Kind = type[SignedSerializer] | type[EncryptedSerializer]

OLD = b"the-old-secret-of-just-32-bytes!"
NEW = b"the-new-secret-of-just-32-bytes!"
BOTH = [SignedSerializer, EncryptedSerializer]

signed_and_encrypted = pytest.mark.parametrize("kind", BOTH)


class Recorder(JsonSerializer):
    """JSON that tells what it was asked to read."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[bytes] = []

    def loads(self, data: bytes, kind: type[T]) -> T:
        self.shown.append(data)
        return super().loads(data, kind)


class Mail:
    """A queue with one task; others may share its broker."""

    def __init__(self, serializer: Serializer | None, broker: Broker | None = None) -> None:
        self.broker = broker or MemoryBroker()
        self.q = Qcore(
            broker=self.broker, clock=ManualClock(), serializer=serializer, instruments=()
        )
        self.sent: list[str] = []

        @self.q.task("mail", retention=60)
        async def mail(ctx: Context, to: str) -> str:
            self.sent.append(to)
            return f"sent to {to}"

        self.mail = mail

    async def put(self, payload: bytes, content_type: str) -> Handle[Any]:
        """Store a task as whoever may write to the store can."""
        task = a_task(name="mail", payload=payload, content_type=content_type)
        return await self.q.client.enqueue(task)


async def reason(handle: Handle[Any]) -> str:
    """Return why a task is dead."""
    task = await handle.task()
    assert task is not None
    assert task.state is State.DEAD
    assert task.error is not None
    return task.error


@signed_and_encrypted
async def test_a_sealed_task_is_run_and_its_result_is_read(kind: Kind) -> None:
    """Arguments and result go through the store sealed, and nobody who uses them notices."""
    side = Mail(kind(keys={"a": OLD}))
    handle = await side.mail.enqueue(to="Ann")
    await drain(side.q)
    assert await handle.result() == "sent to Ann"
    task = await handle.task()
    assert task is not None
    assert task.spec.content_type == task.result_type == kind(keys={"a": OLD}).content_type
    assert task.spec.payload.startswith(b"\x01\x01a")
    assert task.result is not None
    assert task.result.startswith(b"\x01\x01a")
    assert (b"Ann" in task.spec.payload + task.result) is (kind is SignedSerializer)


@signed_and_encrypted
def test_code_that_blocks_seals_too(kind: Kind) -> None:
    """Both clients write with the one codec, and a test helper reads with it."""
    side = Mail(kind(keys={"a": OLD}))
    side.mail.enqueue_sync(to="Ann")
    task = assert_enqueued(side.mail, to="Ann")
    assert task.spec.content_type == kind(keys={"a": OLD}).content_type


@signed_and_encrypted
@pytest.mark.parametrize("plain", [JsonSerializer(), MessagePackSerializer()])
async def test_a_task_without_a_seal_is_dead_and_never_decoded(
    kind: Kind, plain: Serializer
) -> None:
    """What anybody could have written is not run, whichever format it has."""
    inner = Recorder()
    side = Mail(kind(inner, keys={"a": OLD}))
    handle = await side.put(plain.dumps({"to": "Eve"}), plain.content_type)
    await drain(side.q)
    why = await reason(handle)
    assert f"content type '{plain.content_type}' is unknown here" in why
    assert f"this side reads {side.q.codec.content_type}" in why
    assert inner.shown == []
    assert side.sent == []


@signed_and_encrypted
async def test_a_task_that_only_says_that_it_is_sealed_is_dead(kind: Kind) -> None:
    """The name of the content type is no seal."""
    inner = Recorder()
    side = Mail(kind(inner, keys={"a": OLD}))
    handle = await side.put(b'{"to":"Eve"}', side.q.codec.content_type)
    await drain(side.q)
    assert await reason(handle) == "CannotDecode: it has no seal: expected one of version 1"
    assert inner.shown == []
    assert side.sent == []


@signed_and_encrypted
async def test_a_task_sealed_with_an_unknown_key_is_dead(kind: Kind) -> None:
    """The reason names the key that is missing, and those that are there."""
    inner = Recorder()
    other = Mail(kind(keys={"stranger": NEW}))
    side = Mail(kind(inner, keys={"a": OLD}), other.broker)
    handle = await other.mail.enqueue(to="Eve")
    await drain(side.q)
    assert await reason(handle) == (
        "CannotDecode: its seal is of the key 'stranger', which is unknown here: this side has a"
    )
    assert inner.shown == []
    assert side.sent == []


@signed_and_encrypted
@pytest.mark.parametrize(
    "tamper",
    [
        lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1]),
        lambda sealed: sealed[:-1],
        lambda sealed: sealed + b" ",
        lambda sealed: sealed[:30] + bytes(32) + sealed[62:],
    ],
    ids=["flipped", "cut", "added", "overwritten"],
)
async def test_a_task_that_was_tampered_with_is_dead(
    kind: Kind, tamper: Callable[[bytes], bytes]
) -> None:
    """Whoever may write to the store cannot make a worker run what they wrote."""
    inner = Recorder()
    side = Mail(kind(inner, keys={"a": OLD}))
    sealed = kind(keys={"a": OLD}).dumps({"to": "Ann"})
    handle = await side.put(tamper(sealed), side.q.codec.content_type)
    await drain(side.q)
    assert (await reason(handle)).startswith("CannotDecode: its seal is not that of the key 'a'")
    assert inner.shown == []
    assert side.sent == []


@signed_and_encrypted
async def test_a_result_that_was_tampered_with_is_not_read(kind: Kind) -> None:
    """Nor can they make a client believe what its task returned."""

    class Tampered(ForwardingBroker):
        changed: bytes | None = None
        content_type: str | None = None

        async def get(self, queue: str, ids: Sequence[str]) -> Sequence[Task | None]:
            tasks = await super().get(queue, ids)
            return [
                task and evolve(task, result=self.changed, result_type=self.content_type)
                for task in tasks
            ]

    inner = Recorder()
    side = Mail(kind(inner, keys={"a": OLD}))
    handle = await side.mail.enqueue(to="Ann")
    await drain(side.q)
    inner.shown.clear()
    task = await handle.task()
    assert task is not None
    assert task.result is not None
    side.q.client.broker = tampered = Tampered(side.broker)

    tampered.changed, tampered.content_type = task.result[:-1], task.result_type
    with pytest.raises(CannotDecode, match="its seal is not that of the key 'a'"):
        await handle.result()
    for content_type in (None, task.result_type):
        tampered.changed, tampered.content_type = b'"sent to Eve"', content_type
        with pytest.raises(CannotDecode, match="it has no seal"):
            await handle.result()
    tampered.content_type = "application/json"
    with pytest.raises(CannotDecode, match="'application/json' is unknown here"):
        await handle.result()
    assert inner.shown == []


@signed_and_encrypted
async def test_keys_are_changed_without_a_pause(kind: Kind) -> None:
    """In each step producers and workers of this and of the last step understand each other."""
    broker = MemoryBroker()
    steps: list[dict[str, bytes]] = [
        {"old": OLD},
        {"old": OLD, "new": NEW},
        {"new": NEW, "old": OLD},
        {"new": NEW},
    ]
    sides = [Mail(kind(keys=keys), broker) for keys in steps]
    for behind, ahead in pairwise(sides):
        for producer, worker in ((behind, ahead), (ahead, behind)):
            handle = await producer.mail.enqueue(to="Ann")
            await drain(worker.q)
            assert await handle.result() == "sent to Ann"


async def test_a_change_to_seals_needs_no_pause_if_plain_tasks_are_allowed_for_a_while() -> None:
    """First read seals, then write them and read plain tasks too, then read seals alone."""
    broker = MemoryBroker()
    signed = SignedSerializer(keys={"a": OLD})

    class Reading(JsonSerializer):
        also_reads = (signed,)

    lenient = SignedSerializer(keys={"a": OLD}, also_reads=[JsonSerializer()])
    sides = [Mail(each, broker) for each in (Reading(), lenient, signed)]
    for behind, ahead in pairwise(sides):
        handle = await behind.mail.enqueue(to="Ann")
        await drain(ahead.q)
        assert await handle.result() == "sent to Ann"
        handle = await ahead.mail.enqueue(to="Bob")
        await drain(behind.q)
        assert await handle.result() == "sent to Bob"


@pytest.mark.parametrize("plain", [JsonSerializer(), MessagePackSerializer()])
async def test_what_is_read_beside_seals_is_what_was_named(plain: Serializer) -> None:
    """A queue that allows plain JSON for a while does not allow plain MessagePack."""
    side = Mail(SignedSerializer(keys={"a": OLD}, also_reads=[JsonSerializer()]))
    handle = await side.put(plain.dumps({"to": "Ann"}), plain.content_type)
    await drain(side.q)
    assert (side.sent == ["Ann"]) is (plain.content_type == "application/json")
    assert ((await handle.status()) is State.DEAD) is (plain.content_type != "application/json")


async def test_another_seal_or_format_is_read_while_it_is_named() -> None:
    """A change from signed JSON to encrypted MessagePack loses no task."""
    broker = MemoryBroker()
    signed = SignedSerializer(keys={"a": OLD})
    encrypted = EncryptedSerializer(MessagePackSerializer(), keys={"b": NEW}, also_reads=[signed])
    before, after = Mail(signed, broker), Mail(encrypted, broker)
    await before.mail.enqueue(to="Ann")
    await after.mail.enqueue(to="Bob")
    await drain(after.q)
    assert after.sent == ["Ann", "Bob"]


async def test_a_wrapper_around_a_seal_reads_nothing_plain() -> None:
    """A serializer of one's own that has an `inner` is not read around, unless it says so."""

    class Shouting:
        content_type = "text/shouted"

        def __init__(self, inner: Serializer) -> None:
            self.inner = inner

        def dumps(self, value: object) -> bytes:
            return b"!" + self.inner.dumps(value)

        def loads(self, data: bytes, kind: type[T]) -> T:
            return self.inner.loads(data[1:], kind)

    side = Mail(Shouting(SignedSerializer(keys={"a": OLD})))
    await side.mail.enqueue(to="Ann")
    handle = await side.put(b'{"to":"Eve"}', "application/json")
    await drain(side.q)
    assert side.sent == ["Ann"]
    assert "this side reads text/shouted" in await reason(handle)


@signed_and_encrypted
async def test_what_is_unique_is_so_whoever_seals_it(kind: Kind) -> None:
    """The same arguments are the same task, though they are never encrypted in the same way."""
    side = Mail(kind(keys={"new": NEW, "old": OLD}))
    behind = Mail(kind(keys={"old": OLD, "new": NEW}), side.broker)
    first = await side.mail.using(unique_for=60).enqueue(to="Ann")
    again = await behind.mail.using(unique_for=60).enqueue(to="Ann")
    assert (again.id, again.is_new) == (first.id, False)


@signed_and_encrypted
async def test_what_a_task_followed_can_be_read_without_a_key(kind: Kind) -> None:
    """It stands in a header, as the id of a task is no secret."""
    q = Qcore("memory://", clock=ManualClock(), serializer=kind(keys={"new": NEW}))

    @q.task("second", retention=60)
    async def second(ctx: Context) -> None: ...

    @q.task("first")
    async def first(ctx: Context) -> None:
        ctx.then(second.call())

    made = await first.enqueue()
    await drain(q)
    [task] = (await q.inspector.browse("default", State.COMPLETED)).tasks
    assert task.origin == Origin(OriginKind.AFTER, "default", made.id)


@pytest.mark.parametrize("kind", [None, *BOTH])
async def test_no_payload_key_or_result_is_in_the_log(
    kind: Kind | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of runs that succeed, fail, retry and are refused the log tells names and reasons alone."""
    keys = {"new": NEW, "old": OLD}
    log = structlog.wrap_logger(
        structlog.PrintLogger(),
        processors=[structlog.processors.JSONRenderer(default=repr)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )
    q = Qcore(
        "memory://",
        clock=ManualClock(),
        serializer=None if kind is None else kind(keys=keys),
        instruments=[LoggingInstrument(log)],
    )

    @q.task("works", retention=60)
    async def works(ctx: Context, text: str) -> str:
        return f"{text} result"

    @q.task("fails", max_retry=1)
    async def fails(ctx: Context, text: str) -> None:
        raise ValueError("no luck")

    @q.task("dies")
    async def dies(ctx: Context, number: int) -> None: ...

    await works.enqueue(text="Geheimnis")
    await fails.enqueue(text="Geheimnis")
    misfit = q.codec.dumps({"number": "Geheimnis"})
    for task in (
        a_task(name="dies", payload=misfit, content_type=q.codec.content_type),
        a_task(name="dies", payload=misfit + b"!", content_type=q.codec.content_type),
    ):
        await q.client.enqueue(task)
    await drain(q)
    await q.client.enqueue(a_task(name="nobody", payload=misfit))
    await q.client.enqueue(a_task(name="dies", payload=misfit, content_type="text/plain"))
    with pytest.raises(AssertionError, match="no handler"):
        await drain(q)

    told = capsys.readouterr().out
    lines = [json.loads(line) for line in told.splitlines()]
    assert {line["event"] for line in lines} >= {
        "task succeeded",
        "task failed",
        "task is out of retries",
        "task rejected",
        "no handler for this name",
    }
    for secret in ("Geheimnis", OLD.decode(), NEW.decode()):
        assert secret not in told
