"""Which serializer reads a task: the one that wrote it, also where two claim its content type."""

import json
from typing import TypeVar

import pytest

from qcore import Context
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


@pytest.mark.parametrize("builtin", [JsonSerializer, MessagePackSerializer])
async def test_a_serializer_of_a_users_own_reads_what_it_wrote(
    builtin: type[JsonSerializer | MessagePackSerializer],
) -> None:
    """Though a built-in serializer has the same content type: arguments and results come back."""
    own = Backwards(builtin.content_type)
    lab = Lab(serializer=own)

    @lab.task("add", retention=60)
    async def add(ctx: Context, first: int, second: int) -> int:
        return first + second

    handle = await add.enqueue(40, second=2)
    assert (await stored(handle)).spec.payload == own.dumps({"first": 40, "second": 2})
    await lab.run_due()
    assert await handle.result() == 42


def test_a_digest_is_of_what_a_value_is_before_it_is_sealed() -> None:
    """Unique keys are made of it, however many seals a serializer puts around it."""
    sealed = SignedSerializer(EncryptedSerializer(keys={"k": bytes(32)}), keys={"k": b"s" * 32})
    codec = Codec([sealed])
    assert codec.dumps({"a": 1}) != codec.dumps({"a": 1})
    assert codec.digests({"a": 1}) == {"a": digest_of(b"1")}
