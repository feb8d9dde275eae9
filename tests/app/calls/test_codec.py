"""Which serializer reads a task: the one that wrote it, also where two claim its content type."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from qcore import Context, Handle, NewTask, State
from qcore.adapters.sealing import EncryptedSerializer, SignedSerializer
from qcore.adapters.serializers import JsonSerializer, MessagePackSerializer
from qcore.app.calls.codec import Codec
from qcore.domain.uniqueness import digest_of
from tests.app.kit import Lab, stored

T = TypeVar("T")


class Backwards:
    """Write JSON back to front, under whatever content type it is told."""

    def __init__(self, content_type: str) -> None:
        self.content_type = content_type

    def dumps(self, value: object) -> bytes:
        """Return a value as bytes."""
        return json.dumps(value).encode()[::-1]

    def loads(self, data: bytes, kind: type[T]) -> T:
        """Return the value that `data` is."""
        return JsonSerializer().loads(data[::-1], kind)


class BackwardsJson(JsonSerializer):
    """Write JSON back to front, as a kind of the built-in serializer."""

    def dumps(self, value: object) -> bytes:
        """Return a value as bytes."""
        return super().dumps(value)[::-1]

    def loads(self, data: bytes, kind: type[T]) -> T:
        """Return the value that `data` is."""
        return super().loads(data[::-1], kind)


class Around:
    """Write what another serializer writes, back to front; be that one in all else."""

    def __init__(self, inner: JsonSerializer) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        """Return what the other one has."""
        return getattr(self._inner, name)

    def dumps(self, value: object) -> bytes:
        """Return a value as bytes."""
        return self._inner.dumps(value)[::-1]

    def loads(self, data: bytes, kind: type[T]) -> T:
        """Return the value that `data` is."""
        return self._inner.loads(data[::-1], kind)


async def with_a_sum(own: Any) -> tuple[Lab, Handle[int]]:
    """Return a laboratory with a serializer of a user's own, by which a task waits in it."""
    lab = Lab(serializer=own)

    @lab.task("add", retention=60)
    async def add(ctx: Context, first: int, second: int) -> int:
        return first + second

    handle = await add.enqueue(40, second=2)
    assert (await stored(handle)).spec.payload == own.dumps({"first": 40, "second": 2})
    return lab, handle


@pytest.mark.parametrize(
    "own", [BackwardsJson(), Around(JsonSerializer())], ids=["of its kind", "around it"]
)
async def test_no_other_than_the_serializer_itself_reads_arguments(own: Any) -> None:
    """Though the built-in one, which it is made of, has a quicker way: that is not its own."""
    lab, handle = await with_a_sum(own)
    await lab.client.enqueue(
        NewTask("add", id="forged", payload=JsonSerializer().dumps({"first": 1, "second": 2}))
    )
    await lab.run_due()
    assert await handle.result() == 42
    task = await lab.client.handle("default", "forged").task()
    assert task is not None
    assert task.state is State.DEAD


async def test_a_serializer_may_have_a_quicker_way_to_read() -> None:
    """It reads what it can; the rest is read, and refused, by `loads`."""
    asked: list[bytes] = []

    class Quick(Backwards):
        def reader(self, kind: type[T]) -> Callable[[bytes], T]:
            def read(data: bytes) -> T:
                asked.append(data)
                if data.endswith(b"{"):
                    return JsonSerializer().loads(data[::-1], kind)
                raise ZeroDivisionError

            return read

    own = Quick("application/json")
    lab = Lab(serializer=own)

    @lab.task("show", retention=60)
    async def show(ctx: Context, text: str) -> str:
        return text

    handle = await show.enqueue("a")
    await lab.client.enqueue(NewTask("show", id="odd", payload=b"odd", max_retry=0))
    await lab.run_due()
    assert await handle.result() == "a"
    assert asked == [own.dumps({"text": "a"}), b"odd"]
    odd = await lab.client.handle("default", "odd").task()
    assert odd is not None
    assert odd.state is State.DEAD


@pytest.mark.parametrize("builtin", [JsonSerializer, MessagePackSerializer])
async def test_a_serializer_of_a_users_own_reads_what_it_wrote(
    builtin: type[JsonSerializer | MessagePackSerializer],
) -> None:
    """Though a built-in serializer has the same content type: arguments and results come back."""
    own = Backwards(builtin.content_type)
    lab, handle = await with_a_sum(own)
    await lab.run_due()
    assert await handle.result() == 42


def test_a_digest_is_of_what_a_value_is_before_it_is_sealed() -> None:
    """Unique keys are made of it, however many seals a serializer puts around it."""
    sealed = SignedSerializer(EncryptedSerializer(keys={"k": bytes(32)}), keys={"k": b"s" * 32})
    codec = Codec([sealed])
    assert codec.dumps({"a": 1}) != codec.dumps({"a": 1})
    assert codec.digests({"a": 1}) == {"a": digest_of(b"1")}
